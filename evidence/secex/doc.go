// Package secex is the driver for IBM Secure Execution for Linux on s390x (Ultravisor, "UV").
//
// The Verifier speaks first: it encrypts an attestation request (ARCB) to the host keys of the machines it is willing
// to trust, and keeps the measurement key in it to itself. The Ultravisor answers with an HMAC under that key over the
// header tags of the booted image, the configuration UID, the user data and the additional data. The measurement is
// symmetric, so everything depends on nobody but the Verifier ever holding the measurement key; that is why this
// driver proves the Challenger interface.
//
// All integers are big-endian. Layouts are those of ibm-s390-linux/s390-tools v2.43.0 (rust/pv); bits of flag words are
// counted from the most significant, as there.
package secex
