package check

import (
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/assay-tee/assay/provenance/dsse"
	"github.com/assay-tee/assay/provenance/gcb"
	"github.com/assay-tee/assay/provenance/internal/vectors"
	"github.com/assay-tee/assay/provenance/intoto"
	"github.com/assay-tee/assay/provenance/sigstore"
	"github.com/assay-tee/assay/provenance/slsa"
	"github.com/assay-tee/assay/provenance/vsa"
)

func publicKey(t testing.TB, b []byte) any {
	t.Helper()
	block, _ := pem.Decode(b)
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// config turns a case of the manifest into what a user would configure.
func config(t testing.TB, c *vectors.Case) (file []byte, cfg Config) {
	cfg.Build = slsa.Expectation{Source: c.SourceURI, Builder: c.BuilderID, Tag: c.SourceTag, VersionedTag: c.SourceVTag, Branch: c.SourceBranch}
	cfg.Package, cfg.Version = c.Package, c.PackageVersion
	if c.TrustedRoot != "" {
		cfg.TrustedRoot = vectors.Read(t, c.TrustedRoot)
	}
	for alg, v := range map[string]string{"sha256": c.SHA256, "sha512": c.SHA512} {
		if v != "" {
			cfg.Artefact = &sigstore.Artefact{Digests: intoto.Digests{alg: v}}
		}
	}
	if c.ImageSHA256 != "" {
		cfg.Artefact = &sigstore.Artefact{Digests: intoto.Digests{"sha256": c.ImageSHA256}}
	}
	if c.Artifact != "" {
		cfg.Artefact = &sigstore.Artefact{Bytes: vectors.Read(t, c.Artifact)}
	}
	if c.VerifierID != "" {
		d, err := intoto.ParseDigest(c.SubjectDigest)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Summary = &vsa.Expectation{Verifier: c.VerifierID, Resource: c.ResourceURI, Subjects: []intoto.Digests{d}, Levels: c.Levels}
	}
	if c.Key != "" {
		k := dsse.Key{Name: "configured", ID: c.KeyID, Require: c.KeyID != "", Public: publicKey(t, vectors.Read(t, c.Key))}
		if c.Encoding == "p1363" {
			k.Encoding = dsse.P1363
		}
		cfg.Keys = []dsse.Key{k}
	}
	for name, path := range map[string]string{"global": "global", "us-west2": "us-west2", "provenanceSigner": "global-pae-provenanceSigner_1", "google-hosted-worker": "global-pae-google-hosted-worker_1"} {
		id := gcb.KeyID(name)
		cfg.GCBKeys = append(cfg.GCBKeys, gcb.Key{ID: id, Key: dsse.Key{Name: name, ID: id, Public: publicKey(t, vectors.Read(t, "gcb/keys/"+path+".pem"))}})
	}
	for _, p := range []string{c.Bundle, c.Envelope, c.Attestations, c.Provenance} {
		if p != "" {
			file = vectors.Read(t, p)
		}
	}
	return file, cfg
}

func TestVectors(t *testing.T) {
	n := 0
	for _, c := range vectors.Cases(t) {
		if c.SourceURI == "" && c.Envelope == "" && c.Attestations == "" && c.Provenance == "" {
			continue
		}
		n++
		t.Run(c.ID, func(t *testing.T) {
			file, cfg := config(t, &c)
			v, err := File(file, cfg)
			c.Check(t, err)
			if err != nil {
				return
			}
			if c.SourceURI != "" && (v.Commit == "" && c.SourceURI[:5] != "gs://" || v.Builder == "") {
				t.Errorf("no commit or builder: %+v", v)
			}
			if c.SAN != "" && v.Signer.Identity != c.SAN {
				t.Errorf("signed by %q, stated %q", v.Signer.Identity, c.SAN)
			}
			if c.Time != "any" && !v.At().Equal(c.At(t)) {
				t.Errorf("signed at %s, stated %s", v.At(), c.Time)
			}
		})
	}
	if n < 50 {
		t.Errorf("%d cases", n)
	}
}
