// Package native is Assay's own wire of release in two steps (specs keylime-broker.md section 5): the broker gives a
// nonce, and the guest answers with evidence that commits to the nonce, to its session, to what it is for and to a key
// of the guest's (binding B4). JSON in UTF-8, unknown members refused, binary members in base64url without padding.
package native
