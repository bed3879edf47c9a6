package scitt_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/provenance/internal/vectors"
	"github.com/assay-tee/assay/provenance/scitt"
)

const microsoft = "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.2"

func pemKey(t testing.TB, name string) crypto.PublicKey {
	t.Helper()
	b, _ := pem.Decode(vectors.Read(t, name))
	k, err := x509.ParsePKIXPublicKey(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// serviceKeys reads the ledger's list of service certificates.
func serviceKeys(t testing.TB, name string) (keys []crypto.PublicKey) {
	t.Helper()
	var list struct {
		Parameters []struct {
			ServiceCertificate []byte `json:"serviceCertificate"`
		}
	}
	if err := json.Unmarshal(vectors.Read(t, name), &list); err != nil {
		t.Fatal(err)
	}
	for _, p := range list.Parameters {
		c, err := x509.ParseCertificate(p.ServiceCertificate)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, c.PublicKey)
	}
	return keys
}

func uvmConfig(t testing.TB, c *vectors.Case) scitt.Config {
	return scitt.Config{DIDs: []string{microsoft}, Subject: "ContainerPlat-AMD-UVM", MinReceipts: 1, Services: []scitt.Service{{
		Issuer: "esrp-cts-db.confidential-ledger.azure.com", TrustTime: true, Keys: serviceKeys(t, c.ServiceKeys)}}}
}

func flip(b, part []byte) []byte {
	i := bytes.Index(b, part)
	out := bytes.Clone(b)
	out[i+len(part)/2] ^= 1
	return out
}

// report verifies an SNP report with the driver that the product verifies evidence with.
func report(t testing.TB, at time.Time) func(rep, certs []byte) (*scitt.ReportClaims, error) {
	d, err := snp.New(snp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return func(rep, certs []byte) (*scitt.ReportClaims, error) {
		if len(rep) < 0x90 {
			t.Fatal("short report")
		}
		bind, err := evidence.ExpectExact(rep[0x50:0x90])
		if err != nil {
			return nil, err
		}
		v, err := d.Authenticate(context.Background(), evidence.Evidence{TEE: "snp", Data: rep, Endorsements: [][]byte{certs}},
			evidence.Env{Time: at, Binding: bind, Anchors: evidence.BuiltinAnchors()})
		if err != nil {
			return nil, err
		}
		get := func(name string) []byte {
			n, _ := v.Claims().Get(name)
			b, _ := hex.DecodeString(n.Text())
			return b
		}
		guest, _ := v.Claims().Get("policy")
		debug, _ := guest.Object().Get("debug")
		vmpl, _ := v.Claims().Get("vmpl")
		return &scitt.ReportClaims{Measurement: get("measurement"), ReportData: rep[0x50:0x90], HostData: get("host_data"), VMPL: uint32(vmpl.Uint()), Debug: debug.Bool(), Product: v.Product()}, nil
	}
}

func TestVectors(t *testing.T) {
	n := 0
	for _, c := range vectors.Cases(t) {
		if !strings.HasPrefix(c.ID, "scitt-") {
			continue
		}
		n++
		t.Run(c.ID, func(t *testing.T) {
			switch {
			case strings.HasPrefix(c.ID, "scitt-uvm"):
				testUVM(t, &c)
			case strings.HasPrefix(c.ID, "scitt-attested"):
				testAttested(t, &c)
			default:
				testBeside(t, &c)
			}
		})
	}
	if n < 20 {
		t.Errorf("%d cases", n)
	}
}

func testBeside(t *testing.T, c *vectors.Case) {
	file, rec := vectors.Read(t, c.Statement), vectors.Read(t, c.Receipt)
	s, err := scitt.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	r, rerr := scitt.ParseReceipt(rec)
	issuer := ""
	if rerr == nil {
		issuer = r.Issuer
	}
	cfg := scitt.Config{Keys: []scitt.Key{{Issuer: s.Issuer, Public: pemKey(t, c.Keys[0])}}, MinReceipts: 1, At: time.Date(2026, 6, 27, 0, 0, 0, 0, time.UTC),
		Services: []scitt.Service{{Issuer: issuer, Keys: []crypto.PublicKey{pemKey(t, c.Keys[1])}}}}
	if strings.HasPrefix(s.Issuer, "did:x509:") {
		cfg.Keys, cfg.DIDs = nil, []string{s.Issuer} // its chain leads to the same key
		cfg.At = s.Chain[0].NotBefore
	}
	res, err := scitt.Verify(file, [][]byte{rec}, cfg)
	c.Check(t, err)
	if err == nil && hex.EncodeToString(res.Receipts[0].Root[:]) != c.Root {
		t.Errorf("root %x, stated %s", res.Receipts[0].Root, c.Root)
	}
}

func testUVM(t *testing.T, c *vectors.Case) {
	file := vectors.Read(t, c.Transparent)
	cfg := uvmConfig(t, c)
	good, err := scitt.Verify(file, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	switch c.ID {
	case "scitt-uvm":
		if got := hex.EncodeToString(good.Receipts[0].Root[:]); got != c.Root || good.Receipts[0].TxID != c.TxID {
			t.Errorf("root %s txid %s", got, good.Receipts[0].TxID)
		}
		if hex.EncodeToString(good.Statement.Payload) != c.PayloadSHA384 || good.Statement.SVN != "104" {
			t.Errorf("payload %x svn %s", good.Statement.Payload, good.Statement.SVN)
		}
	case "scitt-uvm-payload":
		file = flip(file, good.Statement.Payload)
	case "scitt-uvm-signature":
		file = bytes.Clone(file)
		file[len(file)-100] ^= 1
	case "scitt-uvm-other-receipt":
		file = withReceipt(t, file, vectors.Read(t, "scitt/scitt-cose-v1/valid-ccf-vds2/receipt.cose"))
	case "scitt-uvm-no-service-key":
		// Every certificate of the key under which the receipt verifies is taken away.
		alone := cfg
		var others []crypto.PublicKey
		for _, k := range cfg.Services[0].Keys {
			alone.Services = []scitt.Service{cfg.Services[0]}
			alone.Services[0].Keys = []crypto.PublicKey{k}
			if _, err := scitt.Verify(file, nil, alone); err != nil {
				others = append(others, k)
			}
		}
		if len(others) == 0 || len(others) == len(cfg.Services[0].Keys) {
			t.Fatalf("%d of %d keys are others", len(others), len(cfg.Services[0].Keys))
		}
		cfg.Services[0].Keys = others
	case "scitt-uvm-expired":
		cfg.At = c.At(t)
	case "scitt-uvm-other-eku":
		cfg.DIDs = []string{strings.Replace(microsoft, "1.3.6.1.4.1.311.76.59.1.2", "1.3.6.1.5.5.7.3.3", 1)}
	case "scitt-uvm-vds-unprotected":
		i := bytes.Index(file, []byte{0x19, 0x01, 0x8b, 0x02})
		file = slices.Concat(file[:i], []byte{0x19, 0x01, 0x8d, 0x02}, file[i+4:]) // 395 is gone from the protected header
		j := bytes.Index(file, []byte{0xa1, 0x19, 0x01, 0x8c})
		file = slices.Concat(file[:j], []byte{0xa2, 0x19, 0x01, 0x8b, 0x02}, file[j+1:])
		k := bytes.Index(file, []byte{0x81, 0x59, 0x02, 0x6b})
		if k < 0 {
			t.Fatal("the receipt's length is not where it was")
		}
		file[k+3] += 4
	default:
		t.Fatal("a case that is not known here")
	}
	_, err = scitt.Verify(file, nil, cfg)
	c.Check(t, err)
}

// withReceipt replaces the one receipt of a transparent statement.
func withReceipt(t *testing.T, file, receipt []byte) []byte {
	t.Helper()
	i := bytes.Index(file, []byte{0xa1, 0x19, 0x01, 0x8a, 0x81, 0x59})
	if i < 0 {
		t.Fatal("no receipt")
	}
	n := int(file[i+6])<<8 | int(file[i+7])
	out := append(bytes.Clone(file[:i+6]), byte(len(receipt)>>8), byte(len(receipt)))
	return append(append(out, receipt...), file[i+8+n:]...)
}

func testAttested(t *testing.T, c *vectors.Case) {
	file := vectors.Read(t, c.Statement)
	if c.Mutation != "" {
		i := bytes.Index(file, []byte("cose_key"))
		j := i + bytes.Index(file[i:], []byte{0x21, 0x58})
		file = bytes.Clone(file)
		file[j+10] ^= 1
	}
	at := c.At(t)
	cfg := scitt.Config{Attested: &scitt.AttestedConfig{Report: report(t, at), MinGuestSVN: 101,
		UVM: scitt.Config{DIDs: []string{microsoft}, Subject: "ContainerPlat-AMD-UVM", AllowStatementTime: true}}}
	res, err := scitt.Verify(file, nil, cfg)
	c.Check(t, err)
	if err != nil {
		return
	}
	if hex.EncodeToString(res.Attested.Measurement) != c.Measurement || hex.EncodeToString(res.Attested.HostData) != c.HostData || !strings.HasPrefix(res.Attested.Product, c.Product) {
		t.Errorf("%x %x %s", res.Attested.Measurement, res.Attested.HostData, res.Attested.Product)
	}
}

// Statements of other issuers: the signature holds and the issuer resolves; receipts of the first, non-COSE form count
// as unsupported where a receipt is demanded.
func TestStatements(t *testing.T) {
	for _, name := range []string{"cosesign1tool-scitt-a3be7e5", "cts-hashv-cwtclaims-b64url", "manifest.spdx.json.sha384.digest"} {
		file := vectors.Read(t, "scitt/statements/"+name+".cose")
		s, err := scitt.Parse(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		cfg := scitt.Config{DIDs: []string{s.Issuer}, AllowStatementTime: true}
		if s.IssuedAt.IsZero() {
			cfg.At = s.Chain[0].NotBefore.Add(time.Hour)
		}
		if _, err := scitt.Verify(file, nil, cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"inclusion-receipt", "consistency-receipt"} {
		r, err := scitt.ParseReceipt(vectors.Read(t, "scitt/rfc9942/"+name+".cbor"))
		if name == "inclusion-receipt" && (err != nil || r.VDS != 1) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
