package server_test

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator/ultravisor"
)

// given is collateral that the operator handed over, and nothing else.
type given struct {
	collateral.Offline
	blobs [][]byte
}

func (g given) Given() [][]byte { return g.blobs }

// seWorld is a broker with two simulated s390x machines; the image is built for the first.
type seWorld struct {
	*world
	pki            *ultravisor.PKI
	first, second  *ultravisor.Machine
	image, another *ultravisor.Image
}

func newSEWorld(t *testing.T, change func(*server.Config)) *seWorld {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := &seWorld{}
	var err error
	s.pki, err = ultravisor.NewPKI(time.Now())
	must(err)
	s.first, err = ultravisor.NewMachine()
	must(err)
	s.second, err = ultravisor.NewMachine()
	must(err)
	s.image, err = ultravisor.NewImage(s.first, []byte("kernel"), 0)
	must(err)
	s.another, err = ultravisor.NewImage(s.second, []byte("kernel"), 0)
	must(err)
	blobs := [][]byte{s.image.Header, s.another.Header, s.pki.Signing.Raw, s.pki.Intermediate.Raw}
	for _, m := range []*ultravisor.Machine{s.first, s.second} {
		doc, err := s.pki.Document(m.HostKey(), time.Time{}, time.Time{})
		must(err)
		blobs = append(blobs, doc.Raw)
	}
	lists, err := s.pki.Lists()
	must(err)
	for _, l := range lists {
		blobs = append(blobs, l.Raw)
	}
	var tags [][]byte
	for _, img := range []*ultravisor.Image{s.image, s.another} {
		h, err := secex.ParseHeader(img.Header)
		must(err)
		tags = append(tags, h.Tags[:])
	}
	driver, err := secex.New(secex.Config{SealKeys: [][]byte{make([]byte, 32)}})
	must(err)
	anchors, err := evidence.NewAnchors(evidence.AnchorsConfig{Roots: []*x509.Certificate{s.pki.Root}, AllowSimulatorUnsafe: true})
	must(err)
	s.world = newWorld(t, func(c *server.Config) {
		c.Parts.Drivers["se"], c.Parts.Anchors, c.Parts.Collateral = driver, anchors, given{blobs: blobs}
		b, err := endorse.NewBuilder(endorse.Config{Time: time.Now()})
		must(err)
		must(b.Local("the test", "se", []endorse.Expectation{{Name: "image_hdr_tags", Values: tags}}))
		set := b.Set()
		c.Parts.Statements = func() *endorse.Set { return set }
		if change != nil {
			change(c)
		}
	})
	return s
}

func (s *seWorld) boot(m *ultravisor.Machine, img *ultravisor.Image) *ultravisor.Guest {
	s.t.Helper()
	g, err := m.Boot(img)
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

// answer is a guest's side of the challenge: what its Ultravisor says about the user data, in the form of Trustee's guests.
func (x *exchange) answer(g *ultravisor.Guest, userData []byte) *native.Submission {
	x.w.t.Helper()
	fatal := func(err error) {
		if err != nil {
			x.w.t.Helper()
			x.w.t.Fatal(err)
		}
	}
	wire, err := native.Decode("challenge", x.reply.Challenge.Value)
	fatal(err)
	var req struct {
		Request []byte `json:"request_blob"`
		Key     []byte `json:"encr_measurement_key"`
		Nonce   []byte `json:"encr_request_nonce"`
		Tags    []byte `json:"image_hdr_tags"`
	}
	fatal(json.Unmarshal(wire, &req))
	ans, err := g.Attest(req.Request, userData)
	fatal(err)
	ev, err := json.Marshal(map[string][]byte{"measurement": ans.Measurement, "additional_data": ans.Additional, "user_data": userData, "cuid": ans.CUID,
		"encr_measurement_key": req.Key, "encr_request_nonce": req.Nonce, "image_hdr_tags": req.Tags})
	fatal(err)
	s := &native.Submission{Session: x.bind.Session, TEE: "se", Evidence: native.NewItem("application/json", ev), Key: x.bind.Key}
	if x.bind.Purpose == native.Release {
		s.Resource = "default/key/1"
	}
	return s
}

func (x *exchange) userData() []byte {
	rd, err := x.bind.ReportData()
	if err != nil {
		x.w.t.Fatal(err)
	}
	return rd[:]
}

func TestNativeSEChallengeAndAppraise(t *testing.T) {
	w := newSEWorld(t, nil)
	w.put("default/key/1", "", "s390x secret")
	g := w.boot(w.first, w.image)
	x := w.begin("se", native.Verify)
	if x.reply.Challenge == nil || x.reply.Challenge.Type != native.TypeChallengeSE {
		t.Fatalf("%+v", x.reply)
	}
	if status, out := x.send("/v1/verify", x.answer(g, x.userData())); status != 200 || !strings.Contains(out, `"ear":`) {
		t.Fatalf("%d %s", status, out)
	}
	x = w.begin("se", native.Release)
	status, out := x.send("/v1/release", x.answer(g, x.userData()))
	if got, err := x.open(out); status != 200 || err != nil || got != "s390x secret" {
		t.Fatalf("%d %s: %q %v", status, out, got, err)
	}
	for name, tc := range map[string]struct {
		answer func(x *exchange) *native.Submission
		class  string
	}{
		"user data of another session": {func(x *exchange) *native.Submission { return x.answer(g, w.begin("se", native.Release).userData()) }, "binding"},
		"user data cut":                {func(x *exchange) *native.Submission { return x.answer(g, x.userData()[:48]) }, "binding"},
		"another session's challenge": {func(x *exchange) *native.Submission {
			y := w.begin("se", native.Release)
			s := y.answer(g, x.userData())
			s.Session = x.bind.Session
			s.Key = x.bind.Key
			return s
		}, "signature"},
		"another CUID said": {func(x *exchange) *native.Submission {
			s := x.answer(g, x.userData())
			var ev map[string][]byte
			if err := json.Unmarshal(s.Evidence.Bytes(), &ev); err != nil {
				t.Fatal(err)
			}
			ev["cuid"][0] ^= 1
			b, err := json.Marshal(ev)
			if err != nil {
				t.Fatal(err)
			}
			s.Evidence = native.NewItem("application/json", b)
			return s
		}, "signature"},
	} {
		x := w.begin("se", native.Release)
		s := tc.answer(x)
		s.Form = native.AddSecret
		status, out := x.send("/v1/release", s)
		if class, _ := refused(out); status == 200 || class != tc.class {
			t.Errorf("%s: %d %s", name, status, out)
		}
	}
}

// TestSEAddSecret: the request opens in the guest whose evidence it answers, and in no other.
func TestSEAddSecret(t *testing.T) {
	w := newSEWorld(t, nil)
	w.put("default/key/1", "?one_shot=true", "for one guest")
	w.ticket(`{"resource":"default/key/1"}`)
	g := w.boot(w.first, w.image)
	x := w.begin("se", native.Release)
	s := x.answer(g, x.userData())
	s.Form = native.AddSecret
	status, out := x.send("/v1/release", s)
	var r native.ReleaseReply
	if err := json.Unmarshal([]byte(out), &r); status != 200 || err != nil || r.Secret != "" || r.AddSecret == "" {
		t.Fatalf("%d %s", status, out)
	}
	if _, again := x.send("/v1/release", s); again != out {
		t.Error("the same request got another reply:", again)
	}
	request, err := native.Decode("add_secret", r.AddSecret)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(request), "for one guest") {
		t.Fatal("the secret travels in the clear")
	}
	for name, other := range map[string]*ultravisor.Guest{
		"a second guest of the image on the machine": w.boot(w.first, w.image),
		"a guest of another machine":                 w.boot(w.second, w.another),
	} {
		if err := other.AddSecret(request); err == nil || len(other.Secrets) != 0 {
			t.Errorf("%s can add the secret: %v", name, err)
		}
	}
	// Nor does it help to write the other guest's CUID into the request: it is authenticated.
	thief := w.boot(w.first, w.image)
	forged := append([]byte(nil), request...)
	copy(forged[0x108:], thief.CUID[:])
	if err := thief.AddSecret(forged); err == nil || len(thief.Secrets) != 0 {
		t.Errorf("a request with the CUID exchanged is accepted: %v", err)
	}
	if err := g.AddSecret(request); err != nil {
		t.Fatal(err)
	}
	id := secex.SecretID("default/key/1")
	want, err := secex.PlaintextSecret([]byte("for one guest"))
	if err != nil {
		t.Fatal(err)
	}
	if got := g.Secrets[string(id[:])]; string(got) != string(want) || r.SecretID != hex.EncodeToString(id[:]) {
		t.Errorf("%q under %s", got, r.SecretID)
	}
	// Another guest with valid evidence of its own finds the ticket spent.
	y := w.begin("se", native.Release)
	s = y.answer(thief, y.userData())
	s.Form = native.AddSecret
	if _, out := y.send("/v1/release", s); !strings.Contains(out, "ticket_used") {
		t.Error(out)
	}
}

// TestSEAddSecretKeepsTheTicket: a secret that an add-secret request cannot carry is refused before the ticket is taken.
func TestSEAddSecretKeepsTheTicket(t *testing.T) {
	w := newSEWorld(t, nil)
	w.put("default/key/1", "?one_shot=true", strings.Repeat("x", 8191))
	w.ticket(`{"resource":"default/key/1"}`)
	g := w.boot(w.first, w.image)
	x := w.begin("se", native.Release)
	s := x.answer(g, x.userData())
	s.Form = native.AddSecret
	if _, out := x.send("/v1/release", s); !strings.Contains(out, `"class":"unsupported"`) {
		t.Error(out)
	}
	if _, out := w.call("GET", "/v1/tickets", ""); !strings.Contains(string(out), `"state":"authorised"`) {
		t.Errorf("the ticket is gone: %s", out)
	}
	x = w.begin("se", native.Release)
	status, out := x.send("/v1/release", x.answer(g, x.userData()))
	if got, err := x.open(out); status != 200 || err != nil || len(got) != 8191 {
		t.Errorf("as a JWE: %d %v", status, err)
	}
}

// TestSETicketForOneGuest: a ticket can name the configuration UID; it is no other guest's then.
func TestSETicketForOneGuest(t *testing.T) {
	w := newSEWorld(t, nil)
	w.put("default/key/1", "?one_shot=true", "for one guest")
	mine, other := w.boot(w.first, w.image), w.boot(w.first, w.image)
	w.ticket(`{"resource":"default/key/1","where":[{"claim":"cuid","equals":"` + hex.EncodeToString(mine.CUID[:]) + `"}]}`)
	for _, tc := range []struct {
		g    *ultravisor.Guest
		want string
	}{{other, "ticket_missing"}, {mine, "add_secret"}} {
		x := w.begin("se", native.Release)
		s := x.answer(tc.g, x.userData())
		s.Form = native.AddSecret
		if _, out := x.send("/v1/release", s); !strings.Contains(out, tc.want) {
			t.Errorf("want %s: %s", tc.want, out)
		}
	}
}
