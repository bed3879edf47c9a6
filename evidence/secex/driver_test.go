package secex_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator/ultravisor"
)

type given [][]byte

func (g given) Given() [][]byte { return g }
func (given) Get(context.Context, evidence.Request) (evidence.Response, error) {
	return evidence.Response{}, fault.New(fault.Unavailable, "offline")
}

// world is a machine, an image, a verifier and everything between them.
type world struct {
	now     time.Time
	pki     *ultravisor.PKI
	machine *ultravisor.Machine
	image   *ultravisor.Image
	guest   *ultravisor.Guest
	hkd     *x509.Certificate
	revoked []*x509.Certificate
	docs    []*x509.Certificate
	headers [][]byte
	driver  *secex.Driver
	session []byte
	t       testing.TB
}

func newWorld(t testing.TB, stateless bool) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), session: []byte("session-0123456789"), t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.pki, err = ultravisor.NewPKI(w.now)
	must(err)
	w.machine, err = ultravisor.NewMachine()
	must(err)
	w.image, err = ultravisor.NewImage(w.machine, []byte("kernel and initrd"), 0)
	must(err)
	w.guest, err = w.machine.Boot(w.image)
	must(err)
	w.hkd, err = w.pki.Document(w.machine.HostKey(), time.Time{}, time.Time{})
	must(err)
	w.docs, w.headers = []*x509.Certificate{w.hkd}, [][]byte{w.image.Header}
	cfg := secex.Config{Flags: secex.FlagSecretStoreHash | secex.FlagFirmwareState}
	if stateless {
		cfg.SealKeys = [][]byte{bytes.Repeat([]byte{1}, 32)}
	}
	w.driver, err = secex.New(cfg)
	must(err)
	return w
}

func (w *world) collateral() given {
	lists, err := w.pki.Lists(w.revoked...)
	if err != nil {
		w.t.Fatal(err)
	}
	g := given{w.pki.Signing.Raw, w.pki.Intermediate.Raw}
	for _, d := range w.docs {
		g = append(g, d.Raw)
	}
	for _, l := range lists {
		g = append(g, l.Raw)
	}
	return append(g, w.headers...)
}

func (w *world) anchors() *evidence.Anchors {
	a, err := evidence.NewAnchors(evidence.AnchorsConfig{Roots: []*x509.Certificate{w.pki.Root}, AllowSimulatorUnsafe: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) challenge() *evidence.Challenge {
	w.t.Helper()
	ch, err := w.driver.Challenge(context.Background(), evidence.ChallengeRequest{Time: w.now, Session: w.session, Anchors: w.anchors(), Collateral: w.collateral(), Lifetime: time.Minute})
	if err != nil {
		w.t.Fatal(err)
	}
	return ch
}

type wireChallenge struct {
	Request []byte `json:"request_blob"`
	Key     []byte `json:"encr_measurement_key"`
	Nonce   []byte `json:"encr_request_nonce"`
	Tags    []byte `json:"image_hdr_tags"`
}

func (w *world) answer(ch *evidence.Challenge, user []byte) map[string]string {
	w.t.Helper()
	var c wireChallenge
	if err := json.Unmarshal(ch.Wire, &c); err != nil {
		w.t.Fatal(err)
	}
	a, err := w.guest.Attest(c.Request, user)
	if err != nil {
		w.t.Fatal(err)
	}
	b := base64.StdEncoding.EncodeToString
	return map[string]string{"measurement": b(a.Measurement), "additional_data": b(a.Additional), "user_data": b(user), "cuid": b(a.CUID),
		"encr_measurement_key": b(c.Key), "encr_request_nonce": b(c.Nonce), "image_hdr_tags": b(c.Tags)}
}

func (w *world) verify(ch *evidence.Challenge, ans map[string]string, digest []byte) (*evidence.Verified, error) {
	raw, err := json.Marshal(ans)
	if err != nil {
		w.t.Fatal(err)
	}
	bind, err := evidence.ExpectFit(digest)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.driver.Authenticate(context.Background(), evidence.Evidence{Data: raw}, evidence.Env{
		Time: w.now, Binding: bind, Anchors: w.anchors(), Collateral: w.collateral(), Session: w.session, ChallengeState: ch.State,
	})
}

func digest() []byte { d := sha512.Sum512([]byte("nonce and key")); return d[:] }

func TestGuestIsAuthenticatedInBothModes(t *testing.T) {
	for name, stateless := range map[string]bool{"state sealed on the wire": true, "state kept": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, stateless)
			ch := w.challenge()
			if (ch.State == nil) != stateless {
				t.Errorf("state kept: %v", ch.State != nil)
			}
			v, err := w.verify(ch, w.answer(ch, digest()), digest())
			if err != nil {
				t.Fatal(err)
			}
			cuid, _ := v.Claims().Get("cuid")
			if !bytes.Equal(cuid.Bytes(), w.guest.CUID[:]) {
				t.Errorf("cuid %v", cuid)
			}
			if !v.Root().Simulated || len(v.Unsafe()) == 0 {
				t.Error("a simulated root is not marked")
			}
			fw, _ := v.Claims().Get("firmware_state")
			if len(fw.Bytes()) != 320 {
				t.Errorf("firmware state of %d bytes", len(fw.Bytes()))
			}
		})
	}
}

// Each case breaks exactly one thing that a check guards.
func TestForgedAnswersAreRefused(t *testing.T) {
	b64 := base64.StdEncoding
	flip := func(member string, at int) func(*world, map[string]string) {
		return func(_ *world, a map[string]string) {
			raw, _ := b64.DecodeString(a[member])
			raw[at] ^= 1
			a[member] = b64.EncodeToString(raw)
		}
	}
	for name, tc := range map[string]struct {
		after func(*world, map[string]string)
		want  fault.Class
	}{
		"measurement flipped":    {flip("measurement", 0), fault.Signature},
		"cuid flipped":           {flip("cuid", 3), fault.Signature},
		"user data flipped":      {flip("user_data", 10), fault.Binding},
		"image host key flipped": {flip("additional_data", 0), fault.Signature},
		"firmware state flipped": {flip("additional_data", 200), fault.Signature},
		"echoed tags flipped":    {flip("image_hdr_tags", 5), fault.Binding},
		"echoed nonce flipped":   {flip("encr_request_nonce", 5), fault.Binding},
		"sealed session flipped": {flip("encr_measurement_key", 20), fault.Signature},
		"additional data cut": {func(_ *world, a map[string]string) {
			raw, _ := b64.DecodeString(a["additional_data"])
			a["additional_data"] = b64.EncodeToString(raw[:64])
		}, fault.Malformed},
		"another session":            {func(w *world, _ map[string]string) { w.session = []byte("another-session-0000") }, fault.Signature},
		"another image":              {func(w *world, _ map[string]string) { w.headers = [][]byte{w.otherImage()} }, fault.Signature},
		"no reference":               {func(w *world, _ map[string]string) { w.headers = nil }, fault.Unavailable},
		"too late":                   {func(w *world, _ map[string]string) { w.now = w.now.Add(2 * time.Minute) }, fault.Binding},
		"document revoked meanwhile": {func(w *world, _ map[string]string) { w.revoked = []*x509.Certificate{w.hkd} }, fault.Revoked},
		"signing key revoked":        {func(w *world, _ map[string]string) { w.revoked = []*x509.Certificate{w.pki.Signing} }, fault.Revoked},
		"document of another host": {func(w *world, _ map[string]string) {
			k, _ := ecdh.P521().GenerateKey(rand.Reader)
			d, err := w.pki.Document(k.PublicKey(), time.Time{}, time.Time{})
			if err != nil {
				w.t.Fatal(err)
			}
			w.docs = []*x509.Certificate{d}
		}, fault.Signature},
		"document expired": {func(w *world, _ map[string]string) {
			d, err := w.pki.Document(w.machine.HostKey(), w.now.AddDate(-1, 0, 0), w.now.AddDate(0, 0, -1))
			if err != nil {
				w.t.Fatal(err)
			}
			w.docs = []*x509.Certificate{d}
		}, fault.Stale},
		"look-alike authority": {func(w *world, _ map[string]string) {
			other, err := ultravisor.NewPKI(w.now)
			if err != nil {
				w.t.Fatal(err)
			}
			d, err := other.Document(w.machine.HostKey(), time.Time{}, time.Time{})
			if err != nil {
				w.t.Fatal(err)
			}
			w.docs = []*x509.Certificate{d}
		}, fault.Signature},
		"member missing": {func(_ *world, a map[string]string) { delete(a, "cuid") }, fault.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			ch := w.challenge()
			ans := w.answer(ch, digest())
			if _, err := w.verify(ch, ans, digest()); err != nil {
				t.Fatalf("the unbroken answer: %v", err)
			}
			tc.after(w, ans)
			if _, err := w.verify(ch, ans, digest()); !fault.Is(err, tc.want) {
				t.Errorf("class %v, want %v: %v", fault.ClassOf(err), tc.want, err)
			}
		})
	}
}

func (w *world) otherImage() []byte {
	img, err := ultravisor.NewImage(w.machine, []byte("another kernel"), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return img.Header
}

// A genuine image on the same machine, booted by the attacker, answers with its own tags: the tags come from the
// reference header, so it does not pass, whatever the guest echoes.
func TestAnotherGenuineImageDoesNotPass(t *testing.T) {
	w := newWorld(t, true)
	other := &ultravisor.Image{Header: w.otherImage()}
	g, err := w.machine.Boot(other)
	if err != nil {
		t.Fatal(err)
	}
	ch := w.challenge()
	w.guest = g
	if _, err := w.verify(ch, w.answer(ch, digest()), digest()); !fault.Is(err, fault.Signature) {
		t.Errorf("class %v: %v", fault.ClassOf(err), err)
	}
}

func TestUserDataLengths(t *testing.T) {
	d48 := digest()[:48]
	for name, tc := range map[string]struct {
		user, expect []byte
		ok           bool
	}{
		"48 for a digest of 48":            {d48, d48, true},
		"48 padded to 64":                  {append(bytes.Clone(d48), make([]byte, 16)...), d48, true},
		"64 for a digest of 64":            {digest(), digest(), true},
		"digest of 64 cut to 48":           {d48, digest(), false},
		"something behind the digest":      {append(bytes.Clone(digest()), 1), digest(), false},
		"padded beyond 64":                 {append(bytes.Clone(digest()), make([]byte, 8)...), digest(), false},
		"one zero byte, as old clients do": {[]byte{0}, d48, false},
	} {
		w := newWorld(t, true)
		ch := w.challenge()
		_, err := w.verify(ch, w.answer(ch, tc.user), tc.expect)
		if (err == nil) != tc.ok || (err != nil && !fault.Is(err, fault.Binding)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A request bound to the CUID of verified evidence is taken by that guest and by no other of the same image.
func TestAddedSecretReachesOnlyTheAttestedGuest(t *testing.T) {
	w := newWorld(t, true)
	h, err := secex.ParseHeader(w.image.Header)
	if err != nil {
		t.Fatal(err)
	}
	req, err := secex.NewAddSecretRequest(secex.AddSecretConfig{
		HostKeys: []*ecdh.PublicKey{w.machine.HostKey()}, Tags: &h.Tags, CUID: w.guest.CUID[:], Type: secex.SecretAES256,
		ID: secex.SecretID("disk"), Secret: bytes.Repeat([]byte{7}, 32),
	})
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.machine.Boot(w.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.AddSecret(req); err != ultravisor.SecretNotAdded {
		t.Errorf("another guest of the same image: %v", err)
	}
	if err := w.guest.AddSecret(req); err != nil {
		t.Errorf("the attested guest: %v", err)
	}
	id := secex.SecretID("disk")
	if !bytes.Equal(w.guest.Secrets[string(id[:])], bytes.Repeat([]byte{7}, 32)) {
		t.Error("the secret did not arrive")
	}
	w.guest.LockSecrets()
	if err := w.guest.AddSecret(req); err != ultravisor.SecretStoreLocked {
		t.Errorf("locked store: %v", err)
	}
}

// What was verified once is remembered by all that it rested on; none of it makes a later refusal impossible.
func TestRememberedDocumentsAreJudgedByTheClock(t *testing.T) {
	w := newWorld(t, true)
	ch := w.challenge()
	ans := w.answer(ch, digest())
	for range 2 {
		if _, err := w.verify(ch, ans, digest()); err != nil {
			t.Fatal(err)
		}
	}
	coll := w.collateral() // the lists below are those that were remembered
	for name, tc := range map[string]struct {
		at   time.Time
		want fault.Class
	}{
		"lists run out":        {w.now.AddDate(0, 2, 0), fault.Binding}, // the challenge is over before that
		"before the lists":     {w.now.Add(-2 * time.Hour), fault.Unavailable},
		"before the documents": {w.now.AddDate(-2, 0, 0), fault.Stale},
	} {
		raw, err := json.Marshal(ans)
		if err != nil {
			t.Fatal(err)
		}
		bind, err := evidence.ExpectFit(digest())
		if err != nil {
			t.Fatal(err)
		}
		env := evidence.Env{Time: w.now, Binding: bind, Anchors: w.anchors(), Collateral: coll, Session: w.session}
		if _, err := w.driver.Authenticate(context.Background(), evidence.Evidence{Data: raw}, env); err != nil {
			t.Fatal(err)
		}
		env.Time = tc.at
		if _, err := w.driver.Authenticate(context.Background(), evidence.Evidence{Data: raw}, env); !fault.Is(err, tc.want) {
			t.Errorf("%s: class %v, want %v: %v", name, fault.ClassOf(err), tc.want, err)
		}
	}
}
