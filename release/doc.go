// Package release is stage 6: a secret goes out, wrapped to the key that evidence bound, on a decision that allows it
// and, where the secret asks for one, on a ticket that is spent by it.
//
// The order of steps is that of specs keylime-broker.md section 7: whatever fails, and wherever the process dies, a
// ticket never leads to the secret under two keys, and never disappears without a line that says so.
package release
