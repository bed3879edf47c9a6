package server_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/store"
)

// sampleDriver takes the sample evidence of the KBS tests. It is evidence of nothing, and exists in tests only.
type sampleDriver struct{ t testing.TB }

func (d sampleDriver) Authenticate(_ context.Context, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	if err := env.Check(); err != nil {
		return nil, err
	}
	var s struct {
		ReportData string `json:"report_data"`
		SVN        string `json:"svn"`
	}
	if err := json.Unmarshal(ev.Data, &s); err != nil {
		return nil, fault.As(fault.Malformed, err)
	}
	rd, err := base64.StdEncoding.DecodeString(s.ReportData)
	if err != nil {
		return nil, fault.As(fault.Malformed, err)
	}
	bound, err := env.Binding.Check("report_data", rd)
	if err != nil {
		return nil, err
	}
	return evidencetest.New(d.t, evidencetest.Content{TEE: ev.TEE, Time: env.Time, Binding: bound, Root: evidence.Root{Name: "sample"},
		Claims: func() claim.Object { return claim.Object{{Name: "svn", Value: claim.S(s.SVN)}} }}), nil
}

const allowAll = `package assay

assertion contains {"attester": a.label, "member": m, "value": 2} if {
	some a in input.attesters
	some m in ["hardware", "configuration", "executables", "runtime-opaque"]
}

allow if input.question.release == true
`

func sampleWorld(t *testing.T, change func(*server.Config)) *world {
	return newWorld(t, func(c *server.Config) {
		pol, err := rego.Compile(rego.Config{Name: "allow-all", Modules: []rego.Module{{Name: "allow.rego", Text: allowAll}}})
		if err != nil {
			t.Fatal(err)
		}
		c.Parts.Policy = pol
		c.Parts.Drivers = map[string]evidence.Driver{"sample": sampleDriver{t}, "sampledevice": sampleDriver{t}, "snp": c.Parts.Drivers["snp"]}
		if change != nil {
			change(c)
		}
	})
}

type transcript struct {
	Name  string
	Nonce string `json:"server_nonce"`
	Steps []struct {
		Request struct {
			Method, Path, Body string
		}
		Response struct {
			Status    int
			BodyShape string `json:"body_shape"`
		}
	}
}

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: no recorded handshakes to replay")
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// TestTranscripts replays what each client generation sends, byte for byte, over a session with the recorded nonce, and
// opens the response with the recorded key.
func TestTranscripts(t *testing.T) {
	var v struct{ Accept []transcript }
	readVectors(t, "kbs/transcripts.json", &v)
	keys := recipientKeys(t)
	for _, tr := range v.Accept {
		t.Run(tr.Name, func(t *testing.T) {
			switch {
			case tr.Name == "0.4.0-sample-init-data":
				t.Skip("init-data has a test of its own")
			case tr.Name == "0.4.0-aproxy-snp":
				t.Skip("the recorded report is unsigned, a verifier refuses it")
			case tr.Name == "0.1.1-sample-sha256-selected":
				t.Skip("this server selects no hash for the sample TEE")
			}
			w := sampleWorld(t, nil)
			w.put("default/key/1", "", "the secret")
			resp, out := w.raw("POST", tr.Steps[0].Request.Path, "", tr.Steps[0].Request.Body)
			if resp.StatusCode != 200 {
				t.Fatalf("auth: %d %s", resp.StatusCode, out)
			}
			var version struct{ Version, TEE string }
			if err := json.Unmarshal([]byte(tr.Steps[0].Request.Body), &version); err != nil {
				t.Fatal(err)
			}
			cookie := strings.Repeat("0123456789abcdef", 2)
			now := w.clock.now()
			if err := w.store.CreateSession(t.Context(), store.Session{ID: sha256.Sum256([]byte(cookie)), Version: version.Version,
				TEE: version.TEE, Nonce: tr.Nonce, Created: now, Expires: now.Add(time.Minute)}); err != nil {
				t.Fatal(err)
			}
			if resp, out = w.raw("POST", tr.Steps[1].Request.Path, cookie, tr.Steps[1].Request.Body); resp.StatusCode != 200 {
				t.Fatalf("attest: %d %s", resp.StatusCode, out)
			}
			if !strings.HasPrefix(out, `{"token":"`) || resp.Header.Get("Set-Cookie") == "" {
				t.Errorf("%s", out)
			}
			resp, out = w.raw("GET", tr.Steps[2].Request.Path, cookie, "")
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("fetch: %d %s", resp.StatusCode, out)
			}
			opened := false
			for _, k := range keys {
				if got, err := jwe.Decrypt(k, []byte(out)); err == nil {
					opened = string(got) == "the secret"
				}
			}
			if !opened {
				t.Errorf("no recorded key opens %s", out)
			}
			if legacy := strings.HasPrefix(out, `{"protected":"{\"alg\"`); legacy != strings.HasPrefix(tr.Name, "0.1") {
				t.Errorf("the form of another generation: %s", out)
			}
		})
	}
}

func TestVersionsCanBeSwitchedOff(t *testing.T) {
	w := sampleWorld(t, func(c *server.Config) { c.Versions = c.Versions[:0:0]; c.Versions = append(c.Versions, "0.4.0") })
	resp, out := w.raw("POST", "/kbs/v0/auth", "", `{"version":"0.1.0","tee":"sample","extra-params":""}`)
	if resp.StatusCode != 401 || !strings.Contains(out, "KBS Client Protocol Version Mismatch: expect =0.4.0 while the request is 0.1.0") {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
}

// TestWeakKeysAreForOldClientsOnly: a client of today cannot be talked down to PKCS #1 v1.5.
func TestWeakKeysAreForOldClientsOnly(t *testing.T) {
	priv, err := jwe.Generate("RSA")
	if err != nil {
		t.Fatal(err)
	}
	key, err := priv.Public()
	if err != nil {
		t.Fatal(err)
	}
	weak := bytes.Replace(key.JSON(), []byte("RSA-OAEP-256"), []byte("RSA1_5"), 1)
	w := sampleWorld(t, nil)
	session, nonce := w.auth(`{"version":"0.4.0","tee":"sample","extra-params":""}`, "")
	body := `{"runtime-data":{"nonce":"` + nonce + `","tee-pubkey":` + string(weak) + `},"tee-evidence":{"primary_evidence":{},"additional_evidence":""}}`
	if resp, out := w.raw("POST", "/kbs/v0/attest", session, body); resp.StatusCode != 401 || !strings.Contains(out, "key_invalid") {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
	session, _ = w.auth(`{"version":"0.1.1","tee":"sample","extra-params":""}`, "")
	if resp, out := w.raw("POST", "/kbs/v0/attest", session, `{"tee-pubkey":`+string(key.JSON())+`,"tee-evidence":{}}`); resp.StatusCode != 401 || !strings.Contains(out, "key_invalid") {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
}

// recipientKeys reads the published private keys of the JWE vectors.
func recipientKeys(t *testing.T) []jwe.PrivateKey {
	t.Helper()
	var v struct {
		Cases []struct {
			D   string            `json:"recipient_private_d"`
			JWK map[string]string `json:"recipient_private_jwk"`
		}
	}
	readVectors(t, "kbs/jwe.json", &v)
	var out []jwe.PrivateKey
	for _, c := range v.Cases {
		d, err := hex.DecodeString(c.D)
		if err != nil {
			t.Fatal(err)
		}
		curve := map[int]ecdh.Curve{32: ecdh.P256(), 66: ecdh.P521()}[len(d)]
		if curve != nil {
			k, err := curve.NewPrivateKey(d)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, jwe.PrivateKey{EC: k})
			continue
		}
		num := func(n string) *big.Int {
			b, err := base64.RawURLEncoding.DecodeString(c.JWK[n])
			if err != nil {
				t.Fatal(err)
			}
			return new(big.Int).SetBytes(b)
		}
		if c.JWK["n"] == "" {
			continue
		}
		k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: num("n"), E: int(num("e").Int64())}, D: num("d"), Primes: []*big.Int{num("p"), num("q")}}
		k.Precompute()
		out = append(out, jwe.PrivateKey{RSA: k})
	}
	return out
}

// TestErrorTranscripts: what clients look for in refusals.
func TestErrorTranscripts(t *testing.T) {
	var v struct {
		Error []struct {
			Name, Step, Type, Body string
			Detail                 string `json:"detail_contains"`
			Status                 int
		}
		Accept []transcript
	}
	readVectors(t, "kbs/transcripts.json", &v)
	w := sampleWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	attest := v.Accept[0].Steps[1].Request.Body
	begin := func() string {
		t.Helper()
		cookie := strings.Repeat("0123456789abcdef", 2)
		now := w.clock.now()
		id := sha256.Sum256([]byte(cookie))
		if _, ok, _ := w.store.Session(t.Context(), id, now); ok {
			w.clock.add(time.Hour)
			now = w.clock.now()
			if _, err := w.store.SweepSessions(t.Context(), now, 10); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.store.CreateSession(t.Context(), store.Session{ID: id, Version: "0.4.0", TEE: "sample", Nonce: v.Accept[0].Nonce, Created: now, Expires: now.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		return cookie
	}
	attested := func(w *world) string {
		t.Helper()
		cookie := begin()
		if resp, out := w.raw("POST", "/kbs/v0/attest", cookie, attest); resp.StatusCode != 200 {
			t.Fatal(out)
		}
		return cookie
	}
	for _, e := range v.Error {
		t.Run(e.Name, func(t *testing.T) {
			method, path, cookie, body, at := "POST", "/kbs/v0/attest", "", attest, w
			switch e.Name {
			case "version-too-new", "unknown-tee", "auth-not-json":
				path, body = "/kbs/v0/auth", e.Body
			case "no-cookie":
			case "unknown-cookie":
				cookie = strings.Repeat("f", 32)
			case "wrong-nonce":
				cookie, body = begin(), strings.Replace(attest, v.Accept[0].Nonce, strings.Repeat("A", 43)+"=", 1)
			case "wrong-digest":
				cookie = begin()
				body = strings.Replace(attest, `"additional_evidence":""`, `"additional_evidence":"{}"`, 1)
			case "init-data-format":
				cookie = begin()
				body = strings.Replace(attest, `"init-data":null`, `"init-data":{"format":"json","body":""}`, 1)
			case "no-token":
				method, path, body = "GET", "/kbs/v0/resource/default/key/1", ""
			case "policy-denies":
				method, path, body = "GET", "/kbs/v0/resource/default/key/1", ""
				cookie = attested(w)
				deny := *w
				pol, err := rego.Compile(rego.Config{Name: "deny", Modules: []rego.Module{{Name: "deny.rego", Text: strings.Replace(allowAll, "== true", "== false", 1)}}})
				if err != nil {
					t.Fatal(err)
				}
				deny.cfg.Parts.Policy = pol
				deny.start()
				defer deny.close()
				at = &deny
			case "resource-missing":
				method, path, body = "GET", "/kbs/v0/resource/default/key/none", ""
				cookie = attested(w)
			case "plugin-missing":
				method, path, body = "GET", "/kbs/v0/nonesuch/x", ""
			case "admin-denied":
				path = "/kbs/v0/resource/a/b/c"
			default:
				t.Fatalf("an error of an unknown kind: %s", e.Step)
			}
			resp, out := at.raw(method, path, cookie, body)
			var got struct{ Type, Detail string }
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%q: %v", out, err)
			}
			if resp.StatusCode != e.Status || got.Type != e.Type || !strings.Contains(got.Detail, e.Detail) {
				t.Errorf("%d %s, want %d %s %q", resp.StatusCode, out, e.Status, e.Type, e.Detail)
			}
		})
	}
}
