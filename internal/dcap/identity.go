package dcap

import (
	"bytes"

	"github.com/assay-tee/assay/internal/fault"
)

// Identity is what Intel says about one of its own enclaves (section 11), decoded. It is authentic only after its
// Signed was verified.
type Identity struct {
	Signed           Signed
	ID               string // "QE", "TD_QE", "QVE", "QAE"
	Version          uint64
	Window           Window // issueDate to nextUpdate
	EvaluationNumber uint64
	MiscSelect       [4]byte
	MiscSelectMask   [4]byte
	Attributes       [16]byte
	AttributesMask   [16]byte
	MRSigner         [32]byte
	ISVProdID        uint16
	Levels           []SVNLevel // highest first
	Unknown          int
}

// IdentityID is the id of the identity that a quote of tee needs.
func IdentityID(tee TEE) string {
	if tee == TDX {
		return "TD_QE"
	}
	return "QE"
}

// ParseIdentity reads an enclave identity of version 2. Its errors are of class malformed or unsupported.
func ParseIdentity(doc []byte) (*Identity, error) {
	s, err := SplitSigned(doc)
	if err != nil {
		return nil, err
	}
	if s.Name != "enclaveIdentity" {
		return nil, fault.New(fault.Malformed, "the document is %s, not enclaveIdentity", s.Name)
	}
	d := &Identity{Signed: s}
	f := objectFields("enclaveIdentity", s.Body)
	d.Version = f.uint("version", 1<<32)
	if f.err == nil && d.Version != 2 {
		return nil, fault.New(fault.Unsupported, "enclaveIdentity version %d; 2 is known", d.Version)
	}
	d.ID = f.text("id")
	d.Window = Window{f.time("issueDate"), f.time("nextUpdate")}
	d.EvaluationNumber = f.uint("tcbEvaluationDataNumber", 1<<32)
	f.hex("miscselect", d.MiscSelect[:])
	f.hex("miscselectMask", d.MiscSelectMask[:])
	f.hex("attributes", d.Attributes[:])
	f.hex("attributesMask", d.AttributesMask[:])
	f.hex("mrsigner", d.MRSigner[:])
	d.ISVProdID = uint16(f.uint("isvprodid", 0xffff))
	d.Levels = readSVNLevels(&f)
	switch {
	case f.err != nil:
		return nil, f.err
	case d.Window.Until.Before(d.Window.From):
		return nil, fault.New(fault.Malformed, "enclaveIdentity: nextUpdate lies before issueDate")
	case d.ID != "QE" && d.ID != "TD_QE" && d.ID != "QVE" && d.ID != "QAE":
		return nil, fault.New(fault.Malformed, "enclaveIdentity: id %q is not known", d.ID)
	}
	d.Unknown = f.unknown()
	return d, nil
}

// Match checks that r is a report of the enclave that d describes (section 11). Its errors are of class binding.
func (d *Identity) Match(r EnclaveReport) error {
	switch {
	case !maskedEqual(r.MiscSelect(), d.MiscSelectMask[:], d.MiscSelect[:]):
		return mismatch(ErrIdentityMismatch, "MISCSELECT %x under mask %x is not %x", r.MiscSelect(), d.MiscSelectMask, d.MiscSelect)
	case !maskedEqual(r.Attributes(), d.AttributesMask[:], d.Attributes[:]):
		return mismatch(ErrIdentityMismatch, "ATTRIBUTES %x under mask %x are not %x", r.Attributes(), d.AttributesMask, d.Attributes)
	case !bytes.Equal(r.MRSigner(), d.MRSigner[:]):
		return mismatch(ErrIdentityMismatch, "MRSIGNER %x is not %x", r.MRSigner(), d.MRSigner)
	case r.ISVProdID() != d.ISVProdID:
		return mismatch(ErrIdentityMismatch, "ISVPRODID %d is not %d", r.ISVProdID(), d.ISVProdID)
	}
	return nil
}

func maskedEqual(have, mask, want []byte) bool {
	for i := range want {
		if have[i]&mask[i] != want[i] {
			return false
		}
	}
	return true
}
