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
func PCRName(n int) string { return pcrNames[n] }

// pcrNames, and bankLabels below, are made once: no text is formatted while evidence is verified.
var pcrNames = func() (out [NumPCRs]string) {
	for n := range out {
		out[n] = fmt.Sprintf("pcr%02d", n)
	}
	return out
}()

// bankLabels are the mkeys and fields of the PCRs of one bank.
type bankLabels struct {
	bank      claim.ID
	field     string
	keys      [NumPCRs]claim.ID
	fields    [NumPCRs]string
	registers [NumPCRs]claim.ID
}

func newBankLabels(h Hash) *bankLabels {
	l := &bankLabels{bank: claim.Text(claim.TagNone, "pcr."+h.String()), field: "PCRs of the " + h.String() + " bank"}
	for i := range l.keys {
		l.keys[i] = claim.Text(claim.TagNone, fmt.Sprintf("pcr.%s.%d", h, i))
		l.fields[i] = fmt.Sprintf("PCR %d of the %s bank", i, h)
		l.registers[i] = claim.Uint(uint64(i))
	}
	return l
}

var labels256, labels384, labels512 = newBankLabels(SHA256), newBankLabels(SHA384), newBankLabels(SHA512)

func labels(h Hash) *bankLabels {
	switch h {
	case SHA256:
		return labels256
	case SHA384:
		return labels384
	case SHA512:
		return labels512
	}
	return newBankLabels(h)
}

var (
	mkeyFirmware = claim.Text(claim.TagNone, "tpm.firmware-version")
	mkeyReset    = claim.Text(claim.TagNone, "tpm.reset-count")
	mkeyRestart  = claim.Text(claim.TagNone, "tpm.restart-count")
)

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
	l := labels(q.Bank.Hash)
	els := make([]claim.Element, 0, NumPCRs+6)
	regs := make([]claim.Register, 0, NumPCRs)
	digests := make([]claim.Digest, NumPCRs)
	for i, v := range q.Bank.Values {
		if v == nil {
			continue
		}
		digests[i] = q.Bank.Hash.digest(v)
		d := digests[i : i+1 : i+1]
		els = append(els, claim.Element{Key: l.keys[i], Name: pcrNames[i], Field: l.fields[i], Values: claim.Values{Digests: d}})
		regs = append(regs, claim.Register{ID: l.registers[i], Digests: d})
	}
	add := func(mkey claim.ID, name, field string, v claim.Values) {
		els = append(els, claim.Element{Key: mkey, Name: name, Field: field, Values: v})
	}
	num := func(u uint64) claim.Values {
		return claim.Values{IntRange: &claim.IntRange{Value: &claim.Int{Mag: u}}}
	}
	add(l.bank, "pcrs", l.field, claim.Values{Registers: regs})
	add(mkeyFirmware, "firmware_version", "TPMS_ATTEST.firmwareVersion", num(q.FirmwareVersion))
	add(mkeyReset, "reset_count", "TPMS_ATTEST.clockInfo.resetCount", num(uint64(q.ResetCount)))
	add(mkeyRestart, "restart_count", "TPMS_ATTEST.clockInfo.restartCount", num(uint64(q.RestartCount)))
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
