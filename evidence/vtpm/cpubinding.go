package vtpm

import (
	"crypto/sha512"
	"encoding/binary"

	"github.com/assay-tee/assay/evidence"
)

// cpuLabel separates this use of SHA-512 from others.
const cpuLabel = "assay tpm attestation key v1\x00"

// CPUReportData is what the report data of a CPU TEE must be so that it vouches for an attestation key: SHA-512 over
// "assay tpm attestation key v1" NUL, the length of the nonce in two bytes, the nonce, and the SubjectPublicKeyInfo of
// the key. A guest that asks for it shows that TPM and CPU evidence come from one machine.
func CPUReportData(nonce, spki []byte) [64]byte {
	b := append([]byte(cpuLabel), binary.BigEndian.AppendUint16(nil, uint16(len(nonce)))...)
	return sha512.Sum512(append(append(b, nonce...), spki...))
}

// CPUBinding is the binding of [CPUReportData].
func CPUBinding(nonce, spki []byte) (evidence.Binding, error) {
	d := CPUReportData(nonce, spki)
	return evidence.ExpectExact(d[:])
}
