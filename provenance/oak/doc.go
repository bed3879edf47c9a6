// Package oak is Project Oak's share of provenance (oak.md sections 11 to 18): it reads the messages Endorsements and
// ReferenceValues, verifies endorsements (signature, in-toto statement, validity, claims, Rekor entry), and compares what
// authentic evidence says with what the reference values ask for.
//
// Reference values are the word of whoever hands them over; nothing signs them. Endorsements are strangers' words until an
// endorser's key that a reference value names has verified them. Every value that is missing, or whose oneof is empty, is
// a failure: who wants none must say skip, and each skip is listed in the outcome.
//
// What is stricter than upstream: regular expressions match the whole line; a log entry must have a valid inclusion proof
// and checkpoint; the strategy "all" needs at least one populated reference; mitigation vectors are bit sets.
package oak
