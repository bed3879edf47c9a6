package vtpm_test

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/evidence/vtpm"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

// sevProto renders a report as go-sev-guest does.
func sevProto(report, vcek []byte) []byte {
	var r []byte
	num := func(n protowire.Number, at, size int) {
		var b [8]byte
		copy(b[:], report[at:at+size])
		r = protowire.AppendVarint(protowire.AppendTag(r, n, protowire.VarintType), binary.LittleEndian.Uint64(b[:]))
	}
	raw := func(n protowire.Number, at, size int) {
		r = protowire.AppendBytes(protowire.AppendTag(r, n, protowire.BytesType), report[at:at+size])
	}
	num(1, 0, 4)
	num(2, 4, 4)
	num(3, 8, 8)
	raw(4, 0x10, 16)
	raw(5, 0x20, 16)
	num(6, 0x30, 4)
	num(7, 0x34, 4)
	num(8, 0x38, 8)
	num(9, 0x40, 8)
	num(10, 0x48, 4)
	raw(11, 0x50, 64)
	raw(12, 0x90, 48)
	raw(13, 0xC0, 32)
	raw(14, 0xE0, 48)
	raw(15, 0x110, 48)
	raw(16, 0x140, 32)
	raw(17, 0x160, 32)
	num(18, 0x180, 8)
	raw(19, 0x1A0, 64)
	num(20, 0x1E0, 8)
	for i, at := range []int{0x1E8, 0x1E9, 0x1EA, 0x1EC, 0x1ED, 0x1EE} {
		num(protowire.Number(21+i), at, 1)
	}
	num(27, 0x1F0, 8)
	raw(28, 0x2A0, 512)
	family, model, step := uint64(report[0x188]), uint64(report[0x189]), uint64(report[0x18A])
	base, ext := min(family, 0xF), family-min(family, 0xF)
	r = protowire.AppendVarint(protowire.AppendTag(r, 29, protowire.VarintType), ext<<20|model>>4<<16|base<<8|model&0xF<<4|step)
	num(30, 0x1F8, 8)
	num(31, 0x200, 8)
	out := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), r)
	chain := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), vcek)
	return protowire.AppendBytes(protowire.AppendTag(out, 2, protowire.BytesType), chain)
}

// A CPU's report beside the quote vouches for the key only if its report data commits to it; with the nonce alone it shows no
// more than that both are fresh.
func TestCPUBesideQuote(t *testing.T) {
	amd, err := simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, Products: simulator.Products(), KeyBits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	chip, err := amd.ChipWithID(simulator.Milan, [64]byte{4})
	if err != nil {
		t.Fatal(err)
	}
	cpu, err := snp.New(snp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	q := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey())
	nonce := q.attest.ExtraData
	spki, err := x509.MarshalPKIXPublicKey(q.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	akPublic := rsaPublic(t, q)
	var padded, other [64]byte
	copy(padded[:], nonce)
	other[0] = 1
	keys := []evidence.AnchorKey{{TEE: vtpm.Name, Name: "enrolled", Key: q.key.Public()}}
	for _, tc := range []struct {
		name  string
		data  [64]byte
		keys  []evidence.AnchorKey
		trust string
		note  bool
		class fault.Class
	}{
		{"commits to the key", vtpm.CPUReportData(nonce, spki), nil, vtpm.TrustCPU, false, 0},
		{"nonce alone, key enrolled", padded, keys, vtpm.TrustEnrolled, true, 0},
		{"nonce alone, key not enrolled", padded, nil, "", false, fault.Signature},
		{"commits to another key", vtpm.CPUReportData(nonce, []byte("other")), keys, "", false, fault.Binding},
		{"something else", other, keys, "", false, fault.Binding},
	} {
		r := chip.NewReport()
		r.ReportData = tc.data
		report, err := chip.Report(r)
		if err != nil {
			t.Fatal(err)
		}
		vcek, err := chip.VCEK(r.ReportedTCB)
		if err != nil {
			t.Fatal(err)
		}
		data := vtpm.AppendAttestation(nil, vtpm.Attestation{AKPublic: akPublic, Quotes: []vtpm.AttestationQuote{q.part(t)}})
		data = protowire.AppendBytes(protowire.AppendTag(data, 8, protowire.BytesType), sevProto(report, vcek.Raw))
		cfg := amd.Anchors()
		cfg.Keys = tc.keys
		d := newDriver(t, vtpm.Config{CPU: map[string]evidence.Driver{snp.Name: cpu}})
		v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, evidence.Env{Time: now, Binding: fit(t, nonce), Anchors: anchors(t, cfg)})
		if tc.trust == "" {
			if !fault.Is(err, tc.class) {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		how, _ := v.Claims().Get("ak_trust")
		if how.Text() != tc.trust || slices.Contains(v.Notes(), "cpu_not_bound_to_ak") != tc.note || len(v.Parts()) != 1 {
			t.Errorf("%s: trust %s, notes %v", tc.name, how, v.Notes())
		}
	}
}

// rsaPublic is TPMT_PUBLIC of the key of q, as an attestation key.
func rsaPublic(tb testing.TB, q *softQuote) []byte {
	tb.Helper()
	n := rsaKey().N.Bytes()
	be := binary.BigEndian
	b := be.AppendUint32([]byte{0, 1, 0, 0x0b}, 0x00050032)
	b = append(b, 0, 0, 0, 0x10, 0, 0x14, 0, 0x0b)
	b = be.AppendUint32(be.AppendUint16(b, uint16(8*len(n))), 0)
	return append(be.AppendUint16(b, uint16(len(n))), n...)
}
