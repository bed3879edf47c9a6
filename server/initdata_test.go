package server_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

const initDoc = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n\"aa.toml\" = \"x = 1\"\n"

func TestInitData(t *testing.T) {
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, issuing(t, key))
	attest := func(doc string, host [32]byte) (string, error) {
		at, err := w.guest(simulator.GuestConfig{Measurement: good, HostData: host}).Attester()
		if err != nil {
			t.Fatal(err)
		}
		c, err := rcar.NewClient(rcar.ClientConfig{URL: w.http.URL, Source: source{at}, InitData: doc})
		if err != nil {
			t.Fatal(err)
		}
		return c.Attest(t.Context())
	}
	token, err := attest(initDoc, sha256.Sum256([]byte(initDoc)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil || !strings.Contains(string(payload), `"init_data_claims":{"aa.toml":{"x":1}}`) {
		t.Errorf("%s %v", payload, err)
	}
	if _, err := attest(initDoc+"\n", sha256.Sum256([]byte(initDoc))); !fault.Is(err, fault.Binding) {
		t.Errorf("another text: %v", err)
	}
	if _, err := attest(initDoc, [32]byte{}); !fault.Is(err, fault.Binding) {
		t.Errorf("a host that bound nothing: %v", err)
	}
	if _, err := attest("{}", [32]byte{}); !fault.Is(err, fault.Malformed) {
		t.Errorf("not TOML: %v", err)
	}
	if token, err = attest("", [32]byte{}); err != nil {
		t.Fatal(err)
	}
	payload, _ = base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if strings.Contains(string(payload), "init_data_claims") {
		t.Error("claims without a document")
	}
}

// unboundSource is a client of a TEE that binds no init-data.
type unboundSource struct{}

func (unboundSource) TEE() string { return "sample" }

func (unboundSource) Primary(_ context.Context, digest []byte) ([]byte, error) {
	return []byte(`{"svn":"1","report_data":"` + base64.StdEncoding.EncodeToString(digest) + `"}`), nil
}

func TestInitDataThatNothingBindsIsRefused(t *testing.T) {
	w := sampleWorld(t, func(c *server.Config) { c.Parts.Drivers = map[string]evidence.Driver{"sample": sampleDriver{t}} })
	c, err := rcar.NewClient(rcar.ClientConfig{URL: w.http.URL, Source: unboundSource{}, InitData: initDoc})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Attest(t.Context()); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
}
