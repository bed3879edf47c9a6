package sigstore

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/provenance/internal/vectors"
	"github.com/assay-tee/assay/provenance/intoto"
)

func TestVectors(t *testing.T) {
	n := 0
	for _, c := range vectors.Cases(t) {
		if c.Bundle == "" || c.BuilderID != "" || c.SourceURI != "" {
			continue // what needs a builder or a source is decided by package provenance
		}
		n++
		t.Run(c.ID, func(t *testing.T) {
			c.Check(t, func() error {
				cfg := Config{TrustedRoot: vectors.Read(t, c.TrustedRoot)}
				if c.Key != "" {
					block, _ := pem.Decode(vectors.Read(t, c.Key))
					pub, err := x509.ParsePKIXPublicKey(block.Bytes)
					if err != nil {
						t.Fatal(err)
					}
					k := Key{Name: "configured", Public: pub}
					if from, to, ok := strings.Cut(c.KeyValidity, " to "); ok {
						k.NotBefore, _ = time.Parse(time.RFC3339, from)
						k.NotAfter, _ = time.Parse(time.RFC3339, to)
					}
					cfg.Keys = []Key{k}
				}
				cfg.TimestampOnly = strings.Contains(c.Require, "no log entry")
				v, err := New(cfg)
				if err != nil {
					return err
				}
				var a *Artefact
				switch {
				case c.Artifact != "":
					a = &Artefact{Bytes: vectors.Read(t, c.Artifact)}
				case c.SHA512 != "":
					a = &Artefact{Digests: intoto.Digests{"sha512": c.SHA512}}
				}
				att, err := v.Verify(vectors.Read(t, c.Bundle), a)
				if err != nil {
					return err
				}
				if c.Time != "any" {
					if got := att.Times()[0].At; !got.Equal(c.At(t)) {
						t.Errorf("judged at %s, stated %s", got, c.Time)
					}
				}
				if c.Identity == "" {
					return nil
				}
				return Identity{SAN: c.Identity, Issuer: c.Issuer}.Check(att)
			}())
		})
	}
	if n < 30 {
		t.Errorf("%d cases", n)
	}
}
