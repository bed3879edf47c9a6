package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

// exchange is a guest's side of one exchange on the native wire.
type exchange struct {
	w     *world
	key   jwe.PrivateKey
	bind  native.Binding
	reply native.NonceReply
}

// begin asks for a nonce.
func (w *world) begin(tee string, p native.Purpose) *exchange {
	w.t.Helper()
	x := &exchange{w: w}
	resp, out := w.raw("POST", "/v1/nonce", "", `{"tee":"`+tee+`","purpose":"`+string(p)+`"}`)
	if resp.StatusCode != 200 || json.Unmarshal([]byte(out), &x.reply) != nil {
		w.t.Fatalf("%d %s", resp.StatusCode, out)
	}
	must := func(b []byte, err error) []byte {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
		return b
	}
	var err error
	if x.key, err = jwe.Generate("P-256"); err != nil {
		w.t.Fatal(err)
	}
	pub, err := x.key.Public()
	if err != nil {
		w.t.Fatal(err)
	}
	x.bind = native.Binding{TEE: tee, Purpose: p, Key: pub, Session: [16]byte(must(native.Decode("session", x.reply.Session))),
		Nonce: [32]byte(must(native.Decode("nonce", x.reply.Nonce)))}
	return x
}

// submission is evidence of g, bound as bind says, for the session of x.
func (x *exchange) submission(g *simulator.Guest, bind native.Binding) *native.Submission {
	x.w.t.Helper()
	rd, err := bind.ReportData()
	if err != nil {
		x.w.t.Fatal(err)
	}
	ev, err := g.Evidence(rd)
	if err != nil {
		x.w.t.Fatal(err)
	}
	s := &native.Submission{Session: x.bind.Session, TEE: x.bind.TEE, Evidence: native.NewItem("application/octet-stream", ev.Data), Key: x.bind.Key}
	s.AddCollateral(native.NewItem(native.TypeAux, ev.Aux))
	if x.bind.Purpose == native.Release {
		s.Resource = "default/key/1"
	}
	return s
}

func (x *exchange) send(path string, s *native.Submission) (int, string) {
	x.w.t.Helper()
	body, err := s.JSON()
	if err != nil {
		x.w.t.Fatal(err)
	}
	resp, out := x.w.raw("POST", path, "", string(body))
	return resp.StatusCode, out
}

func (x *exchange) open(out string) (string, error) {
	var r native.ReleaseReply
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return "", err
	}
	b, err := jwe.DecryptCompact(x.key, []byte(r.Secret))
	return string(b), err
}

// refused reads class and reason of a problem document.
func refused(out string) (class, reason string) {
	var p struct{ Class, Reason string }
	if json.Unmarshal([]byte(out), &p) != nil {
		return "no problem document", out
	}
	return p.Class, p.Reason
}

func TestNativeRelease(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	g := w.guest(simulator.GuestConfig{Measurement: good})
	x := w.begin("snp", native.Release)
	if left := x.reply.Expires.Sub(w.clock.now()); left > 2*time.Minute || left < time.Minute || x.reply.Challenge != nil {
		t.Errorf("%+v", x.reply)
	}
	s := x.submission(g, x.bind)
	status, out := x.send("/v1/release", s)
	if status != 200 {
		t.Fatalf("%d %s", status, out)
	}
	if got, err := x.open(out); err != nil || got != "the secret" {
		t.Fatalf("%q %v", got, err)
	}
	for name, body := range map[string]*native.Submission{"the same": s, "new evidence": x.submission(g, x.bind)} {
		if status, out = x.send("/v1/release", body); status == 200 {
			t.Errorf("%s in a used session: %s", name, out)
		} else if class, reason := refused(out); class != "stale" || reason != "nonce_used" {
			t.Errorf("%s in a used session: %d %s", name, status, out)
		}
	}
	_, log := w.call("GET", "/v1/log?limit=1000", "")
	for _, want := range []string{`"kind":"appraise"`, `"kind":"release"`, `"kind":"deny"`, `"reason":"nonce_used"`, `"tee":"snp"`, `"tier":"affirming"`} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log has no %s", want)
		}
	}
}

func TestNativeVerifyReleasesNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	for name, tc := range map[string]struct {
		purpose native.Purpose
		guest   simulator.GuestConfig
	}{
		"affirming":       {native.Verify, simulator.GuestConfig{Measurement: good}},
		"contraindicated": {native.Verify, simulator.GuestConfig{Measurement: bad}},
		"for SPIRE":       {native.SPIRE, simulator.GuestConfig{Measurement: good}},
	} {
		g := w.guest(tc.guest)
		x := w.begin("snp", tc.purpose)
		s := x.submission(g, x.bind)
		status, out := x.send("/v1/verify", s)
		var r native.VerifyReply
		if err := json.Unmarshal([]byte(out), &r); status != 200 || err != nil || strings.Count(r.EAR, ".") != 2 || strings.Contains(out, "secret") {
			t.Errorf("%s: %d %s", name, status, out)
		}
		if status, out := x.send("/v1/verify", s); status == 200 {
			t.Errorf("%s again: %s", name, out)
		}
		// Evidence for a result gets no secret, in its own session or in one for a release.
		s.Resource = "default/key/1"
		if status, out := x.send("/v1/release", s); status == 200 {
			t.Errorf("%s: released in a session for %s: %s", name, tc.purpose, out)
		}
		y := w.begin("snp", tc.purpose)
		s = y.submission(g, y.bind)
		s.Resource = "default/key/1"
		if _, out := y.send("/v1/release", s); !strings.Contains(out, "binding_mismatch") {
			t.Errorf("%s: %s", name, out)
		}
	}
	x := w.begin("snp", native.Release)
	s := x.submission(w.guest(simulator.GuestConfig{Measurement: good}), x.bind)
	s.Resource = ""
	if _, out := x.send("/v1/verify", s); !strings.Contains(out, "binding_mismatch") {
		t.Error("a nonce for a release gives a result:", out)
	}
}

// TestNativeBinding: each field of B4 changed alone.
func TestNativeBinding(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	g := w.guest(simulator.GuestConfig{Measurement: good})
	other := w.begin("snp", native.Release)
	for name, change := range map[string]func(*native.Binding, *native.Submission){
		"tee":                    func(b *native.Binding, _ *native.Submission) { b.TEE = "tdx" },
		"purpose":                func(b *native.Binding, _ *native.Submission) { b.Purpose = native.Verify },
		"session":                func(b *native.Binding, _ *native.Submission) { b.Session[3] ^= 1 },
		"key":                    func(b *native.Binding, _ *native.Submission) { b.Key = other.bind.Key },
		"nonce":                  func(b *native.Binding, _ *native.Submission) { b.Nonce[31] ^= 1 },
		"another session's":      func(b *native.Binding, _ *native.Submission) { *b = other.bind },
		"key of the request":     func(_ *native.Binding, s *native.Submission) { s.Key = other.bind.Key },
		"session of the request": func(_ *native.Binding, s *native.Submission) { s.Session = w.begin("snp", native.Release).bind.Session },
		"tee of the request":     func(_ *native.Binding, s *native.Submission) { s.TEE = "tdx" },
	} {
		x := w.begin("snp", native.Release)
		bind := x.bind
		change(&bind, new(native.Submission))
		s := x.submission(g, bind)
		change(new(native.Binding), s)
		status, out := x.send("/v1/release", s)
		if class, _ := refused(out); status == 200 || class != "binding" {
			t.Errorf("%s: %d %s", name, status, out)
		}
	}
}

func TestNativeRefusals(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	fine := simulator.GuestConfig{Measurement: good}
	for _, tc := range []struct {
		name   string
		guest  simulator.GuestConfig
		change func(*native.Submission)
		class  fault.Class
		reason string
	}{
		{"unknown measurement", simulator.GuestConfig{Measurement: bad}, nil, fault.Denied, "policy_denied"},
		{"debug", simulator.GuestConfig{Measurement: good, Policy: 0x30000 | 1<<19}, nil, fault.Denied, "policy_denied"},
		{"forged", simulator.GuestConfig{Measurement: good, Change: func(r *simulator.Report) { r.MutateSigned = func(b []byte) { b[0x90] ^= 1 } }}, nil, fault.Signature, ""},
		{"unknown session", fine, func(s *native.Submission) { s.Session[0] ^= 1 }, fault.Binding, "nonce_unknown"},
		{"nothing stored", fine, func(s *native.Submission) { s.Resource = "default/key/none" }, fault.Denied, "secret_missing"},
		{"path that climbs", fine, func(s *native.Submission) { s.Resource = "default/../1" }, fault.Malformed, ""},
		{"no firmware that takes secrets", fine, func(s *native.Submission) { s.Form = native.AddSecret }, fault.Unsupported, ""},
		{"evidence cut short", fine, func(s *native.Submission) {
			s.Evidence = native.NewItem("application/octet-stream", s.Evidence.Bytes()[:100])
		}, fault.Malformed, ""},
	} {
		x := w.begin("snp", native.Release)
		s := x.submission(w.guest(tc.guest), x.bind)
		if tc.change != nil {
			tc.change(s)
		}
		status, out := x.send("/v1/release", s)
		class, reason := refused(out)
		if status == 200 || class != tc.class.String() || tc.reason != "" && reason != tc.reason {
			t.Errorf("%s: %d %s", tc.name, status, out)
		}
	}
	for body, class := range map[string]string{
		`{"tee":"nonsense","purpose":"release"}`: "unsupported", `{"tee":"SNP","purpose":"release"}`: "unsupported", `{"tee":"nvidia","purpose":"release"}`: "unsupported",
		`{"tee":"snp","purpose":"spare"}`: "unsupported", `{}`: "malformed", `nonsense`: "malformed",
	} {
		if resp, out := w.raw("POST", "/v1/nonce", "", body); resp.StatusCode != 400 && resp.StatusCode != 415 && resp.StatusCode != 422 || !strings.Contains(out, `"class":"`+class+`"`) {
			t.Errorf("%s: %d %s", body, resp.StatusCode, out)
		}
	}
	x := w.begin("snp", native.Release)
	s := x.submission(w.guest(fine), x.bind)
	w.clock.add(3 * time.Minute)
	if _, out := x.send("/v1/release", s); !strings.Contains(out, "nonce_expired") && !strings.Contains(out, "nonce_unknown") {
		t.Errorf("after its time: %s", out)
	}
}

// TestNativeBrokenBodyConsumesTheNonce: the first body that names the session is its only attempt.
func TestNativeBrokenBodyConsumesTheNonce(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	x := w.begin("snp", native.Release)
	if resp, out := w.raw("POST", "/v1/release", "", `{"session":"`+x.reply.Session+`","nonsense":1}`); resp.StatusCode != 400 {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
	if _, out := x.send("/v1/release", x.submission(w.guest(simulator.GuestConfig{Measurement: good}), x.bind)); !strings.Contains(out, "nonce_used") {
		t.Error(out)
	}
}

// TestNativeOneShot: the lost reply is sent again, nothing else is.
func TestNativeOneShot(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "?one_shot=true", "once")
	g := w.guest(simulator.GuestConfig{Measurement: good, HostData: [32]byte{0xaa}})
	ask := func() (*exchange, *native.Submission, string) {
		x := w.begin("snp", native.Release)
		s := x.submission(g, x.bind)
		_, out := x.send("/v1/release", s)
		return x, s, out
	}
	if _, _, out := ask(); !strings.Contains(out, "ticket_missing") {
		t.Fatal(out)
	}
	w.ticket(`{"resource":"default/key/1","where":[{"claim":"host_data","equals":"aa00000000000000000000000000000000000000000000000000000000000000"}]}`)
	x, s, out := ask()
	if got, err := x.open(out); err != nil || got != "once" {
		t.Fatalf("%s: %v", out, err)
	}
	if _, again := x.send("/v1/release", s); again != out {
		t.Errorf("the same request got other bytes: %s", again)
	}
	if _, out := x.send("/v1/release", x.submission(g, x.bind)); !strings.Contains(out, "nonce_used") {
		t.Error("new evidence in the same session:", out)
	}
	if _, _, out := ask(); !strings.Contains(out, "ticket_used") {
		t.Error("another session:", out)
	}
	w.close()
	w.start()
	if _, again := x.send("/v1/release", s); again != out {
		t.Errorf("the same request after a restart: %s", again)
	}
	w.clock.add(61 * time.Second)
	if _, again := x.send("/v1/release", s); !strings.Contains(again, "ticket_used") {
		t.Error("after the window:", again)
	}
}

// TestNativeParallel: 100 sessions, one ticket, one secret.
func TestNativeParallel(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "?one_shot=true", "once")
	w.ticket(`{"resource":"default/key/1"}`)
	g := w.guest(simulator.GuestConfig{Measurement: good})
	var released atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		x := w.begin("snp", native.Release)
		s := x.submission(g, x.bind)
		wg.Go(func() {
			switch status, out := x.send("/v1/release", s); {
			case status == 200:
				released.Add(1)
			case !strings.Contains(out, "ticket_used"):
				t.Error(out)
			}
		})
	}
	wg.Wait()
	if released.Load() != 1 {
		t.Errorf("released %d times", released.Load())
	}
}

// TestNativeOneBodyManyTimes: one body sent a hundred times at once takes one release of the ticket, and every answer that is
// none of a refusal has the same bytes.
func TestNativeOneBodyManyTimes(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "?one_shot=true", "once")
	w.ticket(`{"resource":"default/key/1","uses":5}`)
	x := w.begin("snp", native.Release)
	s := x.submission(w.guest(simulator.GuestConfig{Measurement: good}), x.bind)
	var mu sync.Mutex
	answers := map[string]int{}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			status, out := x.send("/v1/release", s)
			switch {
			case status == 200:
				mu.Lock()
				answers[out]++
				mu.Unlock()
			case !strings.Contains(out, "nonce_used"):
				t.Error(out)
			}
		})
	}
	wg.Wait()
	if len(answers) != 1 {
		t.Errorf("%d different answers", len(answers))
	}
	_, out := w.call("GET", "/v1/tickets", "")
	if n := strings.Count(string(out), `"state":"released"`); n != 1 || strings.Count(string(out), `"state":"authorised"`) != 4 {
		t.Errorf("%d releases: %s", n, out)
	}
}

// TestNativeTellsStrangersNothing: without explain every refusal is the same.
func TestNativeTellsStrangersNothing(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Explain = false })
	bodies := map[string]bool{}
	for _, tc := range []struct {
		guest  simulator.GuestConfig
		change func(*native.Submission)
	}{
		{simulator.GuestConfig{Measurement: bad}, func(*native.Submission) {}},
		{simulator.GuestConfig{Measurement: good}, func(*native.Submission) {}},
		{simulator.GuestConfig{Measurement: good}, func(s *native.Submission) { s.Session[0] ^= 1 }},
		{simulator.GuestConfig{Measurement: good, Change: func(r *simulator.Report) { r.ReportData[0] ^= 1 }}, func(*native.Submission) {}},
	} {
		x := w.begin("snp", native.Release)
		s := x.submission(w.guest(tc.guest), x.bind)
		tc.change(s)
		status, out := x.send("/v1/release", s)
		if status != http.StatusForbidden {
			t.Errorf("%d %s", status, out)
		}
		var p map[string]any
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatal(err)
		}
		delete(p, "request")
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		bodies[string(b)] = true
	}
	if len(bodies) != 1 {
		t.Errorf("strangers can tell refusals apart: %v", bodies)
	}
	if resp, out := w.raw("POST", "/v1/release", "", "{}"); resp.StatusCode != 400 || !strings.Contains(out, "session is missing") {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
}

// TestNativeSessionsAreTheirOwn: the id of a native session is no cookie, and a cookie no native session.
func TestNativeSessionsAreTheirOwn(t *testing.T) {
	w := newWorld(t, nil)
	x := w.begin("snp", native.Release)
	if _, out := w.raw("POST", "/kbs/v0/attest", strings.Repeat("0", 32), "{}"); !strings.Contains(out, "nonce_expired") {
		t.Error(out)
	}
	cookie, _ := w.auth(authBody, "")
	s := x.submission(w.guest(simulator.GuestConfig{Measurement: good}), x.bind)
	copy(s.Session[:], cookie)
	if _, out := x.send("/v1/release", s); !strings.Contains(out, "nonce_unknown") {
		t.Error(out)
	}
}

func TestNativeUnfinishedAreBounded(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Limits.UnfinishedPerAddress = 3 })
	for range 3 {
		w.begin("snp", native.Verify)
	}
	if resp, out := w.raw("POST", "/v1/nonce", "", `{"tee":"snp","purpose":"verify"}`); resp.StatusCode != 503 || !strings.Contains(out, "too_many_sessions") {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
	if resp, _ := w.raw("POST", "/v1/verify", "", strings.Repeat("x", native.MaxBody+1)); resp.StatusCode != 400 {
		t.Errorf("a body over the limit: %d", resp.StatusCode)
	}
}

// TestNativeBuildsThatTheHostBindsForGetNothing: a build through which the host can have any REPORT_DATA signed is refused
// on every wire and in every form, once a statement calls it so.
func TestNativeBuildsThatTheHostBindsForGetNothing(t *testing.T) {
	for _, safe := range []bool{true, false} {
		w := newWorld(t, nil)
		w.close()
		set := markedSet(t, w, good, safe)
		w.cfg.Parts.Statements = func() *endorse.Set { return set }
		w.start()
		w.put("default/key/1", "", "the secret")
		g := w.guest(simulator.GuestConfig{Measurement: good})
		x := w.begin("snp", native.Release)
		status, out := x.send("/v1/release", x.submission(g, x.bind))
		if (status == 200) != safe || !safe && !strings.Contains(out, "binding_unsafe_build") {
			t.Errorf("called binding-safe %t: %d %s", safe, status, out)
		}
		_, err := w.clientOf(g).Attest(t.Context())
		if (err == nil) != safe || !safe && reason(err) != "binding_unsafe_build" {
			t.Errorf("called binding-safe %t, in the JSON form of the KBS protocol: %v", safe, err)
		}
	}
}
