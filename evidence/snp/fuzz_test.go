package snp

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

func plainReport(version uint32) []byte {
	r := Report{Version: version, Policy: policyReservedOne | PolicySMT, SignatureAlgo: 1, CPUID: CPUID{0x19, 0x01, 0x01}, ChipID: [64]byte{1}}
	if version < 3 {
		r.CPUID = CPUID{}
	}
	return r.AppendTo(nil)
}

func FuzzParse(f *testing.F) {
	for v := uint32(1); v < 7; v++ {
		f.Add(plainReport(v))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			if !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Unsupported) {
				t.Fatalf("class %v: %v", fault.ClassOf(err), err)
			}
			return
		}
		if string(r.AppendTo(nil)) != string(b) {
			t.Fatal("does not round-trip")
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add(table(tableEntry{guidVCEK, []byte("one")}, tableEntry{guidASK, []byte("two")}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := parseTable(b)
		if err != nil {
			return
		}
		total := 0
		for _, e := range entries {
			total += len(e.data)
		}
		if total > len(b) {
			t.Fatalf("%d bytes out of %d", total, len(b))
		}
	})
}

// FuzzEvidence feeds whole evidence to the driver: whatever it is, nothing unsigned is accepted.
func FuzzEvidence(f *testing.F) {
	f.Add(plainReport(3), []byte{}, []byte{})
	f.Add([]byte(`{"attestation_report":{"version":3},"cert_chain":[{"cert_type":"VCEK","data":[48]}]}`), []byte{}, []byte{})
	f.Add([]byte(`{"primary_evidence":{"snp-report":"AAAA","certs-buf":null}}`), []byte{}, []byte{})
	f.Add([]byte("03000000"), table(tableEntry{guidVCEK, []byte("-----BEGIN CERTIFICATE-----")}), []byte{0x30, 0x82})
	d, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	env := evidence.Env{Time: time.Unix(1.8e9, 0), Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors()}
	f.Fuzz(func(t *testing.T, data, aux, cert []byte) {
		ev := evidence.Evidence{Data: data, Aux: aux, Endorsements: [][]byte{cert}}
		if _, err := d.Authenticate(context.Background(), ev, env); err == nil || fault.Is(err, fault.Internal) {
			t.Fatalf("%v", err)
		}
		Detect(data)
		d.Inspect(ev)
	})
}

// FuzzJSON holds the JSON form against the parser: what is rebuilt has the length of a report.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"attestation_report":{"version":3,"current_tcb":{"fmc":null}}}`))
	f.Add([]byte(`{"snp-report":"AAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := unwrapJSON(b, 0)
		if err == nil && c.format == FormatKBS && len(c.report) != ReportSize {
			t.Fatalf("%d bytes", len(c.report))
		}
		if err != nil && !fault.Is(err, fault.Malformed) {
			t.Fatalf("class %v: %v", fault.ClassOf(err), err)
		}
	})
}

func FuzzVEKExtensions(f *testing.F) {
	b, err := rootFiles.ReadFile("roots/sev-milan.pem")
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(b)
	f.Add(uint8(3), uint8(1), []byte{2, 1, 7})
	f.Add(uint8(4), uint8(0), make([]byte, 64))
	f.Add(uint8(5), uint8(0), []byte("\x16\x02CN"))
	f.Fuzz(func(t *testing.T, arc, sub uint8, value []byte) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		id := append(oidArc[:len(oidArc):len(oidArc)], int(arc))
		if sub != 0 {
			id = append(id, int(sub))
		}
		c.Extensions = append(c.Extensions[:0:0], c.Extensions...)
		for range 2 {
			c.Extensions = append(c.Extensions, c.Extensions[0])
			c.Extensions[len(c.Extensions)-1].Id, c.Extensions[len(c.Extensions)-1].Value = id, value
		}
		e, err := decodeExtensions(c)
		known := arc >= 1 && arc <= 2 && sub == 0 || arc == 3 && sub >= 1 && sub <= 9 || arc >= 4 && arc <= 5 && sub == 0
		if err == nil || known && !fault.Is(err, fault.Malformed) {
			t.Fatalf("a duplicate, or nothing at all, is accepted: %+v, %v", e, err)
		}
	})
}
