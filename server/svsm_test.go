package server_test

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

// svsm does what an SVSM guest and the host's aproxy do (specs svsm.md sections 4 and 5).
type svsm struct {
	w    *world
	g    *simulator.Guest
	priv jwe.PrivateKey
	key  *jwe.Key
	// tamper changes REPORT_DATA before the report is made.
	tamper func(*[64]byte)
}

func newSVSM(t *testing.T, w *world, cfg simulator.GuestConfig) *svsm {
	t.Helper()
	priv, err := jwe.Generate("P-521")
	if err != nil {
		t.Fatal(err)
	}
	key, err := priv.Public()
	if err != nil {
		t.Fatal(err)
	}
	return &svsm{w: w, g: w.guest(cfg), priv: priv, key: key}
}

// run makes the three calls and opens the reply as the guest does; the text is the secret or the body of the refusal.
func (v *svsm) run() (status int, text string) {
	t := v.w.t
	t.Helper()
	session, nonce := v.w.auth(authBody, "")
	challenge, err := base64.StdEncoding.DecodeString(nonce)
	if err != nil || len(challenge) != 32 {
		t.Fatalf("%q %v", nonce, err)
	}
	x, y := v.key.XY()
	rd := sha512.Sum512(append(append(append([]byte(nil), x...), y...), challenge...))
	if v.tamper != nil {
		v.tamper(&rd)
	}
	report, err := v.g.Report(rd)
	if err != nil {
		t.Fatal(err)
	}
	table, err := v.g.CertTable()
	if err != nil {
		t.Fatal(err)
	}
	certs := "null"
	if len(table) > 0 {
		certs = `"` + base64.StdEncoding.EncodeToString(table) + `"`
	}
	// As aproxy writes it: members of tee-pubkey sorted, kty in the middle.
	body := fmt.Sprintf(`{"init-data":null,"runtime-data":{"nonce":"%s","tee-pubkey":%s},"tee-evidence":{"primary_evidence":{"snp-report":"%s","certs-buf":%s},"additional_evidence":""}}`,
		nonce, v.key.JSON(), base64.StdEncoding.EncodeToString(report), certs)
	resp, out := v.w.raw("POST", "/kbs/v0/attest", session, body)
	if resp.StatusCode != 200 {
		return resp.StatusCode, out
	}
	if resp, out = v.w.raw("GET", "/kbs/v0/resource/default/sample/test", session, ""); resp.StatusCode != 200 {
		return resp.StatusCode, out
	}
	secret, err := v.open(out)
	if err != nil {
		t.Errorf("the guest cannot open %s: %v", out, err)
	}
	return 200, secret
}

// open is the proxy's way with a reply: it takes the response apart, writes the header again from what it understood, and
// hands the guest the pieces, whose sizes the guest does not check.
func (v *svsm) open(reply string) (string, error) {
	var m map[string]string
	if err := json.Unmarshal([]byte(reply), &m); err != nil {
		return "", err
	}
	head, err := base64.RawURLEncoding.DecodeString(m["protected"])
	if err != nil {
		return "", err
	}
	var h struct {
		Alg, Enc string
		EPK      struct{ Crv, Kty, X, Y string }
	}
	if err := json.Unmarshal(head, &h); err != nil {
		return "", err
	}
	again := fmt.Sprintf(`{"alg":"%s","enc":"%s","epk":{"crv":"%s","kty":"%s","x":"%s","y":"%s"}}`, h.Alg, h.Enc, h.EPK.Crv, h.EPK.Kty, h.EPK.X, h.EPK.Y)
	if again != string(head) {
		return "", fmt.Errorf("the header %s would be written again as %s", head, again)
	}
	for name, size := range map[string]int{"encrypted_key": 40, "iv": 12, "tag": 16} {
		if b, err := base64.RawURLEncoding.DecodeString(m[name]); err != nil || len(b) != size {
			return "", fmt.Errorf("%s has %d bytes, which halts the guest", name, len(b))
		}
	}
	for _, c := range []string{h.EPK.X, h.EPK.Y} {
		if b, err := base64.RawURLEncoding.DecodeString(c); err != nil || len(b) != 66 {
			return "", fmt.Errorf("a coordinate of %d bytes", len(b))
		}
	}
	secret, err := jwe.Decrypt(v.priv, []byte(reply))
	return string(secret), err
}

// markedSet has a statement that says of builds with that measurement whether they are binding-safe.
func markedSet(t *testing.T, w *world, measurement [48]byte, value bool) *endorse.Set {
	t.Helper()
	b, err := endorse.NewBuilder(endorse.Config{Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Local("the test", "snp", []endorse.Expectation{{Name: "measurement", Values: [][]byte{good[:]}}}); err != nil {
		t.Fatal(err)
	}
	// The condition is the measurement as the driver states it.
	v := w.verified(measurement)
	var cond, add claim.ECT
	for _, e := range v.ECTs() {
		for _, el := range e.Elements {
			if el.Name == "measurement" {
				cond = claim.ECT{Environment: e.Environment, Elements: []claim.Element{{Key: el.Key, Values: el.Values}}, CMType: claim.CMEndorsements}
			}
		}
	}
	if len(cond.Elements) == 0 {
		t.Fatal("no measurement in the evidence")
	}
	cond.Environment.Instance = claim.ID{}
	add = claim.ECT{Environment: cond.Environment, CMType: claim.CMEndorsements,
		Elements: []claim.Element{{Key: claim.Text(claim.TagNone, server.BindingSafeElement), Values: claim.Values{Bool: &value}}}}
	src := &endorse.Source{Kind: "corim", ID: "svsm-build", Signer: "builder", Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("builder"))}}
	if err := b.Assert(src, endorse.Relations{Endorsements: []*endorse.Endorsement{{Conditional: true, Conditions: []claim.ECT{cond}, Additions: []claim.ECT{add}}}}); err != nil {
		t.Fatal(err)
	}
	return b.Set()
}

// verified authenticates evidence of a guest with that measurement.
func (w *world) verified(measurement [48]byte) *evidence.Verified {
	w.t.Helper()
	ev, err := w.guest(simulator.GuestConfig{Measurement: measurement}).Evidence([64]byte{1})
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := w.cfg.Parts.Drivers["snp"].Authenticate(context.Background(), ev, evidence.Env{Time: w.clock.now(), Binding: evidence.UnboundUnsafe(), Anchors: w.cfg.Parts.Anchors})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func TestSVSM(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.AcceptHostChosenBindingUnsafe = true })
	w.put("vms/a/key", "?one_shot=1", "of a")
	w.ticket(`{"resource":"default/sample/test","secret":"vms/a/key","where":[{"claim":"host_data","equals":"aa` + strings.Repeat("00", 31) + `"}]}`)
	guest := simulator.GuestConfig{Measurement: good, HostData: [32]byte{0xaa}}
	if status, out := newSVSM(t, w, guest).run(); status != 200 || out != "of a" {
		t.Fatalf("%d %s", status, out)
	}
	if status, out := newSVSM(t, w, guest).run(); status != 401 || !strings.Contains(out, "ticket_used") {
		t.Errorf("a second boot: %d %s", status, out)
	}
	_, out := w.call("GET", "/v1/log", "")
	if !strings.Contains(string(out), `"event":"host_chosen_binding"`) || !strings.Contains(string(out), `"event":"clone_suspect"`) {
		t.Errorf("the log does not say what was accepted: %s", out)
	}
	bad := newSVSM(t, w, guest)
	bad.tamper = func(rd *[64]byte) { rd[63] ^= 1 }
	if status, out := bad.run(); status != 401 || !strings.Contains(out, `"class":"binding"`) {
		t.Errorf("one bit of REPORT_DATA: %d %s", status, out)
	}
	bad = newSVSM(t, w, guest)
	bad.tamper = func(rd *[64]byte) { // B2, where a raw report asks for B1
		*rd = [64]byte{}
		copy(rd[:], rcar.PrimaryDigest("", "x", bad.key, ""))
	}
	if status, out := bad.run(); status != 401 || !strings.Contains(out, `"class":"binding"`) {
		t.Errorf("another variant: %d %s", status, out)
	}
	for name, cfg := range map[string]simulator.GuestConfig{
		"VMPL 2": {Measurement: good, VMPL: 2, HostData: guest.HostData}, "debug": {Measurement: good, Policy: 0x30000 | 1<<19, HostData: guest.HostData},
	} {
		if status, out := newSVSM(t, w, cfg).run(); status != 401 || !strings.Contains(out, "policy_denied") {
			t.Errorf("%s: %d %s", name, status, out)
		}
	}
}

// TestSVSMBuildsHaveToBeCalledBindingSafe: by default nothing goes to a build that nobody vouches for in this respect.
func TestSVSMBuildsHaveToBeCalledBindingSafe(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mark   *bool
		when   [48]byte
		status int
	}{
		{"no statement", nil, good, 401},
		{"marked", ptr(true), good, 200},
		{"marked false", ptr(false), good, 401},
		{"another build is marked", ptr(true), [48]byte{7}, 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil)
			if tc.mark != nil {
				w.close()
				set := markedSet(t, w, tc.when, *tc.mark)
				w.cfg.Parts.Statements = func() *endorse.Set { return set }
				w.start()
			}
			w.put("default/sample/test", "", "the secret")
			status, out := newSVSM(t, w, simulator.GuestConfig{Measurement: good}).run()
			if status != tc.status || status != 200 && !strings.Contains(out, "binding_unsafe_build") {
				t.Errorf("%d %s", status, out)
			}
		})
	}
}

// TestUnsafeBuildsAreUnsafeOnEveryWire: a host that has the SVSM hash what it likes needs no aproxy to name its own key.
func TestUnsafeBuildsAreUnsafeOnEveryWire(t *testing.T) {
	for _, tc := range []struct {
		name string
		mark *bool
		when [48]byte
		ok   bool
	}{
		{"no statement", nil, good, true},
		{"marked safe", ptr(true), good, true},
		{"marked unsafe", ptr(false), good, false},
		{"another build is unsafe", ptr(false), [48]byte{7}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil)
			if tc.mark != nil {
				w.close()
				set := markedSet(t, w, tc.when, *tc.mark)
				w.cfg.Parts.Statements = func() *endorse.Set { return set }
				w.start()
			}
			w.put("default/key/1", "", "the secret")
			guest := simulator.GuestConfig{Measurement: good}
			x := w.begin("snp", native.Release)
			status, out := x.send("/v1/release", x.submission(w.guest(guest), x.bind))
			if (status == 200) != tc.ok {
				t.Errorf("native wire: %d %s", status, out)
			}
			if _, err := w.client(guest).Attest(t.Context()); (err == nil) != tc.ok {
				t.Errorf("KBS: %v", err)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }
