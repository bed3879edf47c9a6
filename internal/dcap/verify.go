package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"

	"github.com/assay-tee/assay/internal/fault"
)

// VerifyBody checks the quote signature by the attestation key over header and body (section 5). Its errors are of
// class signature.
func (q *Quote) VerifyBody(ak *ecdsa.PublicKey) error {
	if !VerifyRaw(ak, q.Signed, q.Signature) {
		return fault.New(fault.Signature, "the quote is not signed by its attestation key")
	}
	return nil
}

// VerifyBinding checks that the QE report names the attestation key and the authentication data (section 5). The upper
// half of REPORT_DATA is zero in every known quote; Intel's library ignores it, here it must be zero. It is cheap and
// means nothing until [Quote.VerifyQE] has found the report itself authentic. Its errors are of class signature.
func (q *Quote) VerifyBinding() error {
	var stack [keySize + 64]byte
	d := sha256.Sum256(append(append(stack[:0], q.AttestationKey...), q.QEAuthData...))
	rd := q.QE().ReportData()
	if !bytes.Equal(rd[:32], d[:]) {
		return fault.New(fault.Signature, "the QE report is of another attestation key or of other authentication data")
	}
	if [32]byte(rd[32:]) != [32]byte{} {
		return fault.New(fault.Signature, "the upper half of the QE's REPORT_DATA is not zero")
	}
	return nil
}

// VerifyQE checks the signature by the PCK over the QE report. Its errors are of class signature.
func (q *Quote) VerifyQE(pck *ecdsa.PublicKey) error {
	if !VerifyRaw(pck, q.QEReport, q.QESignature) {
		return fault.New(fault.Signature, "the QE report is not signed by the PCK")
	}
	return nil
}
