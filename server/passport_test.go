package server_test

import (
	"context"
	"crypto"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/result"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

// issuing makes the world's tokens with key in Trustee's dialect, as a verifier of its own would.
func issuing(t *testing.T, key *keys.Private) func(*server.Config) {
	is, err := result.NewIssuer(result.IssuerConfig{Key: key, Profile: result.ProfileTrustee})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *server.Config) {
		c.Parts.Issue = func(_ context.Context, a *appraise.Appraisal, d *policy.Decision, in server.TokenInput) (string, error) {
			out, err := is.Issue(a, d, result.Options{Time: in.Now, RuntimeData: in.RuntimeClaims(), InitData: in.InitData})
			return string(out), err
		}
	}
}

func TestPassport(t *testing.T) {
	affirming, err := rego.CompileResource(rego.AffirmingResource)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	verifier := newWorld(t, issuing(t, key))
	broker := newWorld(t, func(c *server.Config) {
		c.Passport = &server.Passport{Keys: []crypto.PublicKey{key.Signer.Public()}, AllowInsecure: true, Policy: affirming}
	})
	broker.put("default/key/1", "", "the secret")
	broker.put("default/key/2", "?one_shot=1", "once")
	broker.ticket(`{"resource":"default/key/2","where":[{"claim":"host_data","equals":"aa` + strings.Repeat("00", 31) + `"}]}`)

	for _, kind := range []string{"P-256", "P-521", "RSA"} {
		priv, err := jwe.Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		at, err := verifier.guest(simulator.GuestConfig{Measurement: good, HostData: [32]byte{0xaa}}).Attester()
		if err != nil {
			t.Fatal(err)
		}
		cv, err := rcar.NewClient(rcar.ClientConfig{URL: verifier.http.URL, Source: source{at}, Key: &priv})
		if err != nil {
			t.Fatal(err)
		}
		token, err := cv.Attest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cb, err := rcar.NewClient(rcar.ClientConfig{URL: broker.http.URL, Source: source{at}, Key: &priv})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cb.Get(t.Context(), "default/key/1", token); err != nil || string(got) != "the secret" {
			t.Errorf("%s: %q %v", kind, got, err)
		}
		want := ""
		if kind == "P-256" {
			want = "once"
		}
		got, err := cb.Get(t.Context(), "default/key/2", token)
		if string(got) != want || want == "" && reason(err) != "ticket_used" {
			t.Errorf("%s: %q %v", kind, got, err)
		}
		if got, err := verifier.clientOf(verifier.guest(simulator.GuestConfig{Measurement: good})).Get(t.Context(), "default/key/1", token); err == nil {
			t.Errorf("a server without trust in results released %q", got)
		}
		// Somebody else who got hold of the token gets bytes that he cannot open.
		thief, err := rcar.NewClient(rcar.ClientConfig{URL: broker.http.URL, Source: source{at}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := thief.Get(t.Context(), "default/key/1", token); err == nil {
			t.Errorf("a stolen token gave %q", got)
		}
		head, rest, _ := strings.Cut(token, ".")
		body, sig, _ := strings.Cut(rest, ".")
		for name, bad := range map[string]string{
			"cut":      head + "." + body + ".",
			"alg none": "eyJhbGciOiJub25lIn0." + body + ".",
			"HS256":    "eyJhbGciOiJIUzI1NiJ9." + body + "." + sig,
			"altered":  head + "." + body[:len(body)-4] + "AAAA." + sig,
			"garbage":  "x",
		} {
			if _, err := cb.Get(t.Context(), "default/key/1", bad); err == nil || fault.Is(err, fault.Unavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		broker.clock.add(time.Hour)
		if _, err := cb.Get(t.Context(), "default/key/1", token); !fault.Is(err, fault.Expired) {
			t.Errorf("expired: %v", err)
		}
		broker.clock.add(-time.Hour)
	}

	c := verifier.client(simulator.GuestConfig{Measurement: bad})
	token, err := c.Attest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if resp, out := bearer(t, broker, token); resp != 401 || !strings.Contains(out, "PolicyDeny") {
		t.Errorf("a contraindicated machine: %d %s", resp, out)
	}
	other, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	stranger := newWorld(t, issuing(t, other))
	if token, err = stranger.client(simulator.GuestConfig{Measurement: good}).Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if resp, out := bearer(t, broker, token); resp != 401 || !strings.Contains(out, "TokenVerifierError") || !strings.Contains(out, `"class":"signature"`) {
		t.Errorf("a verifier that nobody trusts: %d %s", resp, out)
	}
}

func bearer(t *testing.T, w *world, token string) (int, string) {
	t.Helper()
	status, out := w.callAs(token, "GET", "/kbs/v0/resource/default/key/1", "")
	return status, string(out)
}

// TestEveryKeyKindIsServed, with the token in Trustee's dialect.
func TestEveryKeyKindIsServed(t *testing.T) {
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, issuing(t, key))
	w.put("default/key/1", "", "the secret")
	at, err := w.guest(simulator.GuestConfig{Measurement: good}).Attester()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"P-256", "P-521", "RSA", "ML-KEM-768"} {
		c, err := rcar.NewClient(rcar.ClientConfig{URL: w.http.URL, Source: source{at}, KeyKind: kind})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Attest(t.Context()); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got, err := c.Get(t.Context(), "default/key/1", ""); err != nil || string(got) != "the secret" {
			t.Errorf("%s: %q %v", kind, got, err)
		}
	}
}
