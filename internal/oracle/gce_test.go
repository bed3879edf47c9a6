package oracle

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"testing"
	"time"

	epb "github.com/google/gce-tcb-verifier/proto/endorsement"
	"github.com/google/gce-tcb-verifier/verify"
	"github.com/google/gce-tcb-verifier/verify/verifytest"
	"google.golang.org/protobuf/proto"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/corim/profiles/assaytdx"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/endorse/gce"
	"github.com/assay-tee/assay/internal/fault"
)

// What Google's own signer makes is admitted with the values that its tests publish; and where any byte is changed, we
// refuse at least what their verifier refuses.
func TestLaunchEndorsementAgreesWithGoogle(t *testing.T) {
	theirsSigned := verifytest.FakeEndorsement(t)
	at := time.Now()
	data, root := signedAnew(t, theirsSigned, at)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	admit := func(b []byte) (*endorse.Builder, *endorse.Receipt, error) {
		bld, err := endorse.NewBuilder(endorse.Config{Time: at, Profiles: profiles.All(), Forms: []endorse.Form{gce.Form()},
			Anchors: []*endorse.Anchor{{Name: "dev", Certificates: []*x509.Certificate{root}, Scope: endorse.AnyEnvironmentScope()}}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := bld.Admit(b)
		return bld, r, err
	}
	if err := verify.Endorsement(data, &verify.Options{RootsOfTrust: roots, Now: at}); err != nil {
		t.Fatalf("their verifier: %v", err)
	}
	bld, r, err := admit(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d relations, tags %v", r.Relations, r.Tags)
	for _, want := range []struct {
		hex string
		env claim.Environment
		key claim.ID
	}{
		{verifytest.CleanExampleMeasurement, amdsnp.Class(false), claim.Uint(amdsnp.KeyMeasurement)},
		{verifytest.CleanExampleMeasurement, amdsnp.Class(true), claim.Uint(amdsnp.KeyMeasurement)},
		{verifytest.CleanTdxExampleMeasurement, assaytdx.TD(), claim.Text(claim.TagNone, assaytdx.MKeyMRTD)},
	} {
		m, _ := hex.DecodeString(want.hex)
		var sel endorse.Selection
		bld.Set().Select(&want.env, []*claim.Element{{Key: want.key, Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: m}}}}}, &sel)
		found := false
		for _, x := range sel.References {
			found = found || string(x.Elements[0].Values.Digests[0].Value) == string(m)
		}
		if !found {
			t.Errorf("%s is not among the reference values of %v", want.hex, want.env)
		}
	}
	if _, _, err := admit(theirsSigned); !fault.Is(err, fault.Unsupported) {
		t.Errorf("signed by a test key of RSA 2048: %v", err)
	}
	theirs, ours := 0, 0
	for i := 0; i < len(data); i += 7 {
		b := append([]byte(nil), data...)
		b[i] ^= 1
		if verify.Endorsement(b, &verify.Options{RootsOfTrust: roots, Now: at}) != nil {
			theirs++
		}
		if _, _, err := admit(b); err != nil {
			ours++
			if fault.Is(err, fault.Internal) {
				t.Errorf("byte %d: %v", i, err)
			}
		} else {
			t.Errorf("byte %d changed, and admitted", i)
		}
	}
	t.Logf("of the changed endorsements they refuse %d, we %d", theirs, ours)
}

// signedAnew puts the content that their tool made under a certificate and key of the size that Google uses: the test
// keys of the tool have RSA 2048, which is refused here.
func signedAnew(t *testing.T, data []byte, at time.Time) ([]byte, *x509.Certificate) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	rootKey, err := rsa.GenerateKey(rand.Reader, 3072)
	must(err)
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	must(err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "GCE-cc-tcb-root"}, NotBefore: at.AddDate(-1, 0, 0), NotAfter: at.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, rootKey.Public(), rootKey)
	must(err)
	root, err := x509.ParseCertificate(der)
	must(err)
	var e epb.VMLaunchEndorsement
	must(proto.Unmarshal(data, &e))
	var g epb.VMGoldenMeasurement
	must(proto.Unmarshal(e.SerializedUefiGolden, &g))
	g.Cert, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "GCE-uefi-signer"},
		NotBefore: tmpl.NotBefore, NotAfter: tmpl.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature}, root, key.Public(), rootKey)
	must(err)
	e.SerializedUefiGolden, err = proto.Marshal(&g)
	must(err)
	sum := sha256.Sum256(e.SerializedUefiGolden)
	e.Signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	must(err)
	out, err := proto.Marshal(&e)
	must(err)
	return out, root
}
