package vtpm

import (
	"encoding/binary"
	"fmt"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
)

// ProfileTPM is the profile of the tuples of this package (docs/design/vtpm.md).
const ProfileTPM = "tag:assay,2026:tpm"

// ClassTPM is UUIDv5 (namespace URL) of tag:assay,2026:tpm#tpm.
var ClassTPM = claim.Bytes(claim.TagUUID, []byte{0xe2, 0xbf, 0x55, 0x41, 0xc5, 0x47, 0x54, 0x26, 0xaa, 0x48, 0x08, 0x0a, 0xfa, 0x97, 0x33, 0x73})

func m(name string, n claim.Node) claim.Member { return claim.Member{Name: name, Value: n} }

// PCRName is the name of a PCR in claims and tuples: "pcr04".
func PCRName(n int) string { return fmt.Sprintf("pcr%02d", n) }

// PCRClaims are the values by name.
func (b *Bank) PCRClaims() claim.Object {
	o := make(claim.Object, 0, NumPCRs)
	for i, v := range b.Values {
		if v != nil {
			o = append(o, m(PCRName(i), claim.H(v)))
		}
	}
	return o
}

// Claims are what the TPM signed beside the PCRs.
func (q *Quote) Claims() claim.Object {
	var fw [8]byte
	binary.BigEndian.PutUint64(fw[:], q.FirmwareVersion)
	return claim.Object{
		m("pcr_bank", claim.S(q.Bank.Hash.String())),
		m("pcr_selection", claim.S(pcrList(q.Bank.Mask()))),
		m("clock", claim.U(q.Clock)),
		m("reset_count", claim.U(uint64(q.ResetCount))),
		m("restart_count", claim.U(uint64(q.RestartCount))),
		m("clock_safe", claim.B(q.Safe)),
		m("firmware_version", claim.H(fw[:])),
		m("qualified_signer", claim.H(q.QualifiedSigner)),
		m("signature_scheme", claim.S(q.Scheme.String()+"-"+q.SignatureHash.String())),
	}
}

// Elements are the quote in CoRIM's terms. PCR n of the bank named first has the name pcrNN; its mkey is the text
// "pcr.<bank>.<n>", so that statements about different banks do not meet by accident.
func (q *Quote) Elements() []claim.Element {
	els := make([]claim.Element, 0, NumPCRs+5)
	var regs []claim.Register
	for i, v := range q.Bank.Values {
		if v == nil {
			continue
		}
		d := []claim.Digest{q.Bank.Hash.digest(v)}
		els = append(els, claim.Element{Key: claim.Text(claim.TagNone, fmt.Sprintf("pcr.%s.%d", q.Bank.Hash, i)), Name: PCRName(i),
			Field: fmt.Sprintf("PCR %d of the %s bank", i, q.Bank.Hash), Values: claim.Values{Digests: d}})
		regs = append(regs, claim.Register{ID: claim.Uint(uint64(i)), Digests: d})
	}
	add := func(mkey, name, field string, v claim.Values) {
		els = append(els, claim.Element{Key: claim.Text(claim.TagNone, mkey), Name: name, Field: field, Values: v})
	}
	num := func(u uint64) claim.Values {
		return claim.Values{IntRange: &claim.IntRange{Value: &claim.Int{Mag: u}}}
	}
	add("pcr."+q.Bank.Hash.String(), "pcrs", "PCRs of the "+q.Bank.Hash.String()+" bank", claim.Values{Registers: regs})
	add("tpm.firmware-version", "firmware_version", "TPMS_ATTEST.firmwareVersion", num(q.FirmwareVersion))
	add("tpm.reset-count", "reset_count", "TPMS_ATTEST.clockInfo.resetCount", num(uint64(q.ResetCount)))
	add("tpm.restart-count", "restart_count", "TPMS_ATTEST.clockInfo.restartCount", num(uint64(q.RestartCount)))
	return els
}

// CheckExtraData compares extraData with the binding. A quote over fewer bytes than were asked for is refused: which
// ones the sender left out, nothing signs.
func (q *Quote) CheckExtraData(b evidence.Binding, least int) (evidence.Bound, error) {
	const field = "TPMS_ATTEST.extraData"
	if len(q.ExtraData) < min(b.Len(), least) {
		return evidence.Bound{}, bindingFault(field, len(q.ExtraData), b.Len())
	}
	return b.Check(field, q.ExtraData)
}
