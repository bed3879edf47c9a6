package didx509

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/assay-tee/assay/provenance/internal/vectors"
)

func TestVectors(t *testing.T) {
	var list []struct {
		ID    string
		Input struct {
			DID   string
			Chain []string
		}
		Output struct {
			Error    string
			Document *struct{ ID string }
		}
	}
	if err := json.Unmarshal(vectors.Read(t, "didx509/test-vectors.json"), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 58 {
		t.Errorf("%d cases", len(list))
	}
	for _, c := range list {
		var chain []*x509.Certificate
		var err error
		for _, s := range c.Input.Chain {
			der, derr := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
			if derr != nil {
				t.Fatal(derr)
			}
			x, perr := x509.ParseCertificate(der)
			if perr != nil {
				err = perr
				break
			}
			chain = append(chain, x)
		}
		if err == nil {
			_, err = Resolve(c.Input.DID, chain)
		}
		if (err == nil) != (c.Output.Error == "") {
			t.Errorf("%s: %v, stated %q", c.ID, err, c.Output.Error)
		}
		if err == nil {
			d, _ := Parse(c.Input.DID)
			if d.Text != c.Output.Document.ID {
				t.Errorf("%s: %s", c.ID, d.Text)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("did:x509:0:sha256:wB-YrYI1eo_9-9izSw6aviwkdLz4O7-kgrK_VzU4_OA::eku:1.3.6.1.4.1.311.10.3.13::san:dns:a%20b#x")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s)
		if err == nil && len(d.predicates) == 0 {
			t.Error("accepted without a predicate")
		}
	})
}
