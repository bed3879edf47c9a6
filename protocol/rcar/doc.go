// Package rcar is the wire of the KBS protocol (request, challenge, attestation, response) that the clients of
// Trustee and the proxy of COCONUT-SVSM speak, for both sides. It decides nothing: it reads and writes messages,
// computes what evidence must be bound to, and holds a client.
//
// Facts: specs kbs-protocol.md (sections are quoted), svsm.md section 5.
package rcar
