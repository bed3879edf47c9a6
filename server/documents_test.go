package server_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

// loader is what cmd wires: here reference values named snp_launch_measurement vouch for measurements.
func loader(t *testing.T, base server.Parts, now func() time.Time) func(context.Context, server.Documents) (server.Live, error) {
	return func(_ context.Context, docs server.Documents) (server.Live, error) {
		l := server.Live{Policy: base.Policy, Statements: base.Statements}
		for _, d := range docs.Policies {
			switch {
			case d.ID == server.ResourcePolicyID:
				p, err := rego.CompileResource(string(d.Data))
				if err != nil {
					return l, err
				}
				l.Resource = p
			case strings.HasPrefix(d.ID, server.AttestationPrefix):
				return l, fault.New(fault.Unsupported, "not here")
			}
		}
		b, err := endorse.NewBuilder(endorse.Config{Time: now()})
		if err != nil {
			return l, err
		}
		for _, d := range docs.Statements {
			var rv struct {
				Name  string
				Value []string
			}
			if err := json.Unmarshal(d.Data, &rv); err != nil {
				return l, fault.As(fault.Malformed, err)
			}
			var values [][]byte
			for _, v := range rv.Value {
				x, err := hex.DecodeString(v)
				if err != nil {
					return l, fault.As(fault.Malformed, err)
				}
				values = append(values, x)
			}
			if err := b.Local("rvps", "snp", []endorse.Expectation{{Name: "measurement", Values: values}}); err != nil {
				return l, err
			}
		}
		set := b.Set()
		l.Statements = func() *endorse.Set { return set }
		return l, nil
	}
}

func b64url(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

const denyAll = "package policy\ndefault allow := false"

func TestAdministrationAsKBSClientDoesIt(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Parts.Load = loader(t, c.Parts, time.Now) })
	w.put("default/key/1", "", "the secret")
	c := w.client(simulator.GuestConfig{Measurement: good})
	if _, err := c.Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
	get := func(want string) {
		t.Helper()
		s, err := c.Get(t.Context(), "default/key/1", "")
		if got := string(s) + reason(err); got != want {
			t.Errorf("%s %v, want %s", got, err, want)
		}
	}
	ok := func(method, path, body, want string) {
		t.Helper()
		if status, out := w.call(method, path, body); status != 200 || string(out) != want {
			t.Fatalf("%s %s: %d %s", method, path, status, out)
		}
	}
	get("policy_denied") // nobody vouches for the measurement
	rv := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"snp_launch_measurement":["%x"],"svn":1}`, good))
	msg := fmt.Sprintf(`{"version":"0.1.0","type":"sample","payload":"%s"}`, rv)
	if status, out := w.call("POST", "/kbs/v0/reference-value", msg); status != 401 || !strings.Contains(string(out), "RvpsError") {
		t.Errorf("a value that cannot be loaded was stored: %d %s", status, out)
	}
	rv = base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"snp_launch_measurement":["%x"]}`, good))
	ok("POST", "/kbs/v0/reference-value", fmt.Sprintf(`{"version":"0.1.0","type":"sample","payload":"%s"}`, rv), "")
	ok("GET", "/kbs/v0/reference-value/snp_launch_measurement", "", fmt.Sprintf(`["%x"]`, good))
	get("the secret") // the appraisal of the session follows the statements

	ok("POST", "/kbs/v0/resource-policy", `{"policy":"`+b64url(denyAll)+`"}`, "")
	get("policy_denied")
	ok("GET", "/kbs/v0/resource-policy", "", `["resource-policy"]`)
	ok("GET", "/v1/policies/resource-policy", "", denyAll)
	ok("POST", "/kbs/v0/resource-policy", `{"policy":"`+b64url("package policy\nallow if {\n data[\"resource-path\"] == [\"default\",\"key\",\"1\"]\n input[\"ear.status\"] != 1\n}")+`"}`, "")
	get("policy_denied")
	ok("POST", "/kbs/v0/resource-policy", `{"policy":"`+b64url("package policy\nallow if {\n data[\"resource-path\"] == [\"default\",\"key\",\"1\"]\n data.plugin == \"resource\"\n some _, s in input.submods\n}")+`"}`, "")
	get("the secret")
	if status, out := w.call("POST", "/kbs/v0/resource-policy", `{"policy":"`+b64url("package policy\nallow if {")+`"}`); status != 401 || !strings.Contains(string(out), "ParsePolicyError") {
		t.Errorf("%d %s", status, out)
	}
	get("the secret")
	_, out := w.call("GET", "/v1/policies/resource-policy?history", "")
	if !strings.Contains(string(out), `"version":3`) || !strings.Contains(string(out), `"by":"root"`) {
		t.Errorf("history: %s", out)
	}
	if status, _ := w.call("DELETE", "/v1/policies/resource-policy", ""); status != 204 {
		t.Error(status)
	}
	get("the secret")
	if status, out := w.call("POST", "/kbs/v0/attestation-policy", `{"type":"rego","policy_id":"default_cpu","policy":"`+b64url("package policy")+`"}`); status != 401 || !strings.Contains(string(out), "Set Attestation Policy failed") {
		t.Errorf("%d %s", status, out)
	}
	w.clock.add(366 * 24 * time.Hour)
	if status, out := w.call("GET", "/kbs/v0/reference-value/snp_launch_measurement", ""); status != 401 || !strings.Contains(string(out), "No reference value found for the given id: snp_launch_measurement") {
		t.Errorf("a lapsed value: %d %s", status, out)
	}
}

// partDriver delivers evidence with the evidence of a CPU inside, as the drivers of vTPMs do.
type partDriver struct{ sampleDriver }

func (d partDriver) Authenticate(ctx context.Context, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	v, err := d.sampleDriver.Authenticate(ctx, ev, env)
	if err != nil {
		return nil, err
	}
	inner := evidencetest.New(d.t, evidencetest.Content{TEE: "snp", Time: env.Time, Binding: v.Binding(), Claims: v.Claims})
	return evidencetest.New(d.t, evidencetest.Content{TEE: "sample", Time: env.Time, Binding: v.Binding(), Claims: v.Claims,
		Parts: []evidence.Part{{Label: "snp", Verified: inner}}}), nil
}

// TestChangedStatementsAndNestedAttesters: an appraisal with an Attester inside another is made again like any other.
func TestChangedStatementsAndNestedAttesters(t *testing.T) {
	var sets []*endorse.Set
	for range 2 {
		b, err := endorse.NewBuilder(endorse.Config{Time: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, b.Set())
	}
	var changed atomic.Bool
	w := sampleWorld(t, func(c *server.Config) {
		c.Parts.Drivers = map[string]evidence.Driver{"sample": partDriver{sampleDriver{t}}}
		c.Parts.Statements = func() *endorse.Set {
			if changed.Load() {
				return sets[1]
			}
			return sets[0]
		}
	})
	w.put("default/key/1", "", "the secret")
	c, err := rcar.NewClient(rcar.ClientConfig{URL: w.http.URL, Source: unboundSource{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		changed.Store(again)
		if got, err := c.Get(t.Context(), "default/key/1", ""); err != nil || string(got) != "the secret" {
			t.Errorf("statements changed: %v: %q %v", again, got, err)
		}
	}
}

// TestChangesAreSeenByOtherProcesses: two servers over one store.
func TestChangesAreSeenByOtherProcesses(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Parts.Load = loader(t, c.Parts, time.Now) })
	w.put("default/key/1", "", "the secret")
	other := *w
	other.start()
	defer other.close()
	rv := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"snp_launch_measurement":["%x"]}`, good))
	if status, out := w.call("POST", "/kbs/v0/reference-value", fmt.Sprintf(`{"type":"sample","payload":"%s"}`, rv)); status != 200 {
		t.Fatalf("%d %s", status, out)
	}
	c := other.client(simulator.GuestConfig{Measurement: good})
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := c.Attest(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := c.Get(t.Context(), "default/key/1", "")
		if err == nil && string(s) == "the secret" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestNothingIsStoredThatIsNotLoaded(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{"/v1/policies/policy/x", "/v1/statements/statement/x"} {
		if status, out := w.call("PUT", path, "x"); status != 422 || !strings.Contains(string(out), `"class":"unsupported"`) {
			t.Errorf("%s: %d %s", path, status, out)
		}
	}
	for _, path := range []string{"/v1/policies/other", "/v1/statements/rv/x", "/v1/policies/policy/" + strings.Repeat("x", 300)} {
		if status, out := w.call("PUT", path, "x"); status != 400 {
			t.Errorf("%s: %d %s", path, status, out)
		}
	}
}
