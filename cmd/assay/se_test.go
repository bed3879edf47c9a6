package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/simulator/ultravisor"
)

// seWorld is a simulated machine with its files on disk.
type seWorld struct {
	t     *testing.T
	dir   string
	guest *ultravisor.Guest
	boot  func() (*ultravisor.Guest, error) // another guest of the same image
	trust []string                          // flags that name the files
	files []string                          // the same for --collateral

	mirror string // of revocation lists
}

func newSeWorld(t *testing.T) *seWorld {
	t.Helper()
	w := &seWorld{t: t, dir: t.TempDir()}
	pki, err := ultravisor.NewPKI(time.Now())
	must(t, err)
	m, err := ultravisor.NewMachine()
	must(t, err)
	img, err := ultravisor.NewImage(m, []byte("kernel"), 0)
	must(t, err)
	w.boot = func() (*ultravisor.Guest, error) { return m.Boot(img) }
	w.guest, err = w.boot()
	must(t, err)
	doc, err := pki.Document(m.HostKey(), time.Time{}, time.Time{})
	must(t, err)
	lists, err := pki.Lists()
	must(t, err)
	cert := func(flag, name string, c *x509.Certificate) {
		p := w.write(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
		w.trust = append(w.trust, flag, p)
		if flag != "--root-ca" {
			w.files = append(w.files, p)
		}
	}
	cert("-k", "hkd.crt", doc)
	cert("--cert", "ibm.crt", pki.Signing)
	cert("--cert", "inter.crt", pki.Intermediate)
	cert("--root-ca", "root.crt", pki.Root)
	for i, l := range lists {
		p := w.write(string(rune('a'+i))+".crl", l.Raw)
		w.trust, w.files = append(w.trust, "--crl", p), append(w.files, p)
	}
	w.files = append(w.files, w.write("image", img.Header))
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *seWorld) path(name string) string { return filepath.Join(w.dir, name) }

func (w *seWorld) write(name string, b []byte) string {
	w.t.Helper()
	must(w.t, os.WriteFile(w.path(name), b, 0o600))
	return w.path(name)
}

// assay runs one command line and returns its exit code and output.
func (w *seWorld) assay(args ...string) (int, string) {
	var out, errs bytes.Buffer
	env := func(k string) string {
		return map[string]string{"HOME": w.dir, "ASSAY_CRL_MIRROR": w.mirror}[k]
	}
	code := run(context.Background(), args, strings.NewReader(""), &out, &errs, env)
	return code, out.String() + errs.String()
}

// Lists that are not given are fetched from where the certificates say, unless --offline forbids it.
func TestSeFetchesLists(t *testing.T) {
	w := newSeWorld(t)
	asked := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path] = true
		for i, p := range ultravisor.Points {
			if "/"+strings.Replace(p, "://", "/", 1) == r.URL.Path {
				http.ServeFile(rw, r, w.path(string(rune('a'+i))+".crl"))
				return
			}
		}
		http.NotFound(rw, r)
	}))
	defer srv.Close()
	w.mirror = srv.URL
	create := append([]string{"se", "create", "-o", w.path("req"), "--arpk", w.path("arpk"), "--insecure-simulator"}, w.trust[:8]...) // without --crl
	if code, out := w.assay(append(create, "--offline")...); code != 8 || !strings.Contains(out, "revocation list") {
		t.Errorf("offline: %d %s", code, out)
	}
	if len(asked) != 0 {
		t.Errorf("asked in spite of --offline: %v", asked)
	}
	if code, out := w.assay(create...); code != 0 {
		t.Errorf("online: %d %s", code, out)
	}
	if len(asked) != 3 {
		t.Errorf("asked: %v", asked)
	}
}

// A secret for one running guest, with signed user data that software in the guest checks.
func TestSeSecretForOneGuest(t *testing.T) {
	w := newSeWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	must(t, err)
	files := []string{"--hdr", w.path("image"), "--secret", w.write("secret", []byte("disk key")), "--name", "disk", "-o", w.path("asrcb"),
		"--user-data", w.write("data", []byte("for the boot of Tuesday")), "--user-sign-key", w.write("key.der", der), "--insecure-simulator"}
	args := append(append([]string{"se", "add-secret", "--cuid", hex.EncodeToString(w.guest.CUID[:])}, files...), w.trust...)
	if code, out := w.assay(args...); code != 0 {
		t.Fatalf("add-secret: %d %s", code, out)
	}
	req, err := os.ReadFile(w.path("asrcb"))
	must(t, err)
	must(t, w.guest.AddSecret(req))
	id := secex.SecretID("disk")
	if got := w.guest.Secrets[string(id[:])]; !bytes.Contains(got, []byte("disk key")) {
		t.Errorf("the guest has %q", got)
	}
	show := []string{"se", "user-data", w.path("asrcb"), "--user-cert", w.write("signer.crt", cert)}
	if code, out := w.assay(show...); code != 0 || !strings.HasPrefix(out, "for the boot of Tuesday") {
		t.Errorf("user-data: %d %q", code, out)
	}
	req[0x218] ^= 1
	w.write("asrcb", req)
	if code, out := w.assay(show...); code != 4 || !strings.Contains(out, "signature") {
		t.Errorf("user data changed: %d %q", code, out)
	}
	if code, out := w.assay(append(args, "--user-sign-key", w.write("no.key", []byte("x")))...); code != 3 {
		t.Errorf("no key: %d %q", code, out)
	}
}

// An operator makes a request, the machine answers it, the operator verifies the answer: all through exchange files.
func TestSeRequestAndAnswerOnDisk(t *testing.T) {
	w := newSeWorld(t)
	sim := append(w.trust, "--insecure-simulator")
	if code, out := w.assay(append([]string{"se", "create", "-o", w.path("req"), "--arpk", w.path("arpk"), "--add-data", "firmware-state"}, sim...)...); code != 0 {
		t.Fatalf("create: %d %s", code, out)
	}
	if st, err := os.Stat(w.path("arpk")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the protection key is not 0600: %v %v", st.Mode(), err)
	}
	user := w.write("user", []byte("nonce of the operator"))
	answer := func(change func(*secex.Exchange)) string {
		b, err := os.ReadFile(w.path("req"))
		must(t, err)
		ex, err := secex.ParseExchange(b)
		must(t, err)
		a, err := w.guest.Attest(ex.Request, []byte("nonce of the operator"))
		must(t, err)
		ex.Measured, ex.Additional, ex.CUID, ex.UserData = a.Measurement, a.Additional, a.CUID, []byte("nonce of the operator")
		change(ex)
		b, err = ex.Marshal()
		must(t, err)
		return w.write("resp", b)
	}
	verify := func(more ...string) (int, string) {
		return w.assay(append(append([]string{"se", "verify", "--input", w.path("resp"), "--hdr", w.path("image"), "--arpk", w.path("arpk")}, sim...), more...)...)
	}
	answer(func(*secex.Exchange) {})
	if code, out := verify("--user-data", user); code != 0 || !strings.Contains(out, "AFFIRMING") {
		t.Errorf("verify: %d %s", code, out)
	}
	if code, out := verify(); code != exitNotAffirming || !strings.Contains(out, "unbound") {
		t.Errorf("verify without user data: %d %s", code, out)
	}
	if code, out := verify("--user-data", w.write("other", []byte("another nonce"))); code != 5 {
		t.Errorf("verify with other user data: %d %s", code, out)
	}
	answer(func(e *secex.Exchange) { e.CUID[0] ^= 1 })
	if code, out := verify("--user-data", user); code != 4 || !strings.Contains(out, "signature") {
		t.Errorf("verify of a changed answer: %d %s", code, out)
	}
}

// A guest of Trustee's kind goes through the handshake: the request of the Verifier travels as the nonce.
func TestSeGuestGetsItsSecretFromTheBroker(t *testing.T) {
	w := newSeWorld(t)
	a := &app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, now: time.Now}
	// Who built the image signs its reference value; the broker believes him.
	for _, args := range [][]string{
		{"key", "generate", "-o", w.path("builder.key")},
		{"measure", "se", w.path("image"), "--key", w.path("builder.key"), "-o", w.path("image.corim")},
	} {
		if code, out := w.assay(args...); code != 0 {
			t.Fatalf("%v: %d %s", args, code, out)
		}
	}
	c := defaultServeConfig(a.getenv)
	c.State, c.Offline, c.InsecureSimulator, c.Explain = w.path("state"), true, true, true
	c.Anchors, c.Collateral = []string{w.path("root.crt"), w.path("builder.key.pub")}, w.files
	c.Statements = []string{w.path("image.corim")}
	b, err := a.newBroker(t.Context(), c, slog.New(slog.DiscardHandler))
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.serve(ctx, l) }()
	defer func() { stop(); <-done }()
	url := "http://" + l.Addr().String()
	admin, err := (&adminFlags{server: url, tokenFile: filepath.Join(c.State, "admin.token")}).client()
	must(t, err)
	must(t, admin.do(ctx, "PUT", "/v1/secrets/default/key/1", []byte("s390x secret"), nil))

	for name, tc := range map[string]struct {
		digest func([]byte) []byte
		ok     bool
	}{
		"digest padded to 64 bytes": {func(d []byte) []byte { return append(d, make([]byte, 16)...) }, true},
		"digest of 48 bytes":        {func(d []byte) []byte { return d }, true},
		"nothing bound":             {func([]byte) []byte { return []byte{0} }, false},
	} {
		got, err := seFetch(t, url, w.guest, tc.digest)
		if tc.ok && (err != nil || string(got) != "s390x secret") || !tc.ok && err == nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}

	// On the native wire, as an add-secret request: the guest's Ultravisor keeps the secret, its neighbour's cannot.
	cl, err := native.NewClient(native.ClientConfig{URL: url, Source: seSource{w.guest}})
	must(t, err)
	req, id, err := cl.AddSecret(ctx, "default/key/1")
	must(t, err)
	neighbour, err := w.boot()
	must(t, err)
	if err := neighbour.AddSecret(req); err == nil {
		t.Error("a neighbour of the same image can add the secret")
	}
	must(t, w.guest.AddSecret(req))
	if got := w.guest.Secrets[string(id)]; !bytes.Contains(got, []byte("s390x secret")) {
		t.Errorf("the guest has %q", got)
	}
	if got, err := cl.Get(ctx, "default/key/1"); err != nil || string(got) != "s390x secret" {
		t.Errorf("as a JWE: %q %v", got, err)
	}
}

// seSource is an SE guest on the native wire.
type seSource struct{ guest *ultravisor.Guest }

func (seSource) TEE() string { return secex.Name }

func (s seSource) Evidence(_ context.Context, rd [64]byte, challenge []byte) (native.Item, []native.Item, error) {
	var req struct {
		Request []byte `json:"request_blob"`
		Key     []byte `json:"encr_measurement_key"`
		Nonce   []byte `json:"encr_request_nonce"`
		Tags    []byte `json:"image_hdr_tags"`
	}
	if err := json.Unmarshal(challenge, &req); err != nil {
		return native.Item{}, nil, err
	}
	ans, err := s.guest.Attest(req.Request, rd[:])
	if err != nil {
		return native.Item{}, nil, err
	}
	ev, err := json.Marshal(map[string][]byte{"measurement": ans.Measurement, "additional_data": ans.Additional, "user_data": rd[:], "cuid": ans.CUID,
		"encr_measurement_key": req.Key, "encr_request_nonce": req.Nonce, "image_hdr_tags": req.Tags})
	return native.NewItem("application/json", ev), nil, err
}

// seFetch is an SE guest's client, written from the protocol's description.
func seFetch(t *testing.T, url string, g *ultravisor.Guest, userData func([]byte) []byte) ([]byte, error) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	cl := &http.Client{Jar: jar}
	post := func(path, body string) (int, []byte) {
		resp, err := cl.Post(url+path, "application/json", strings.NewReader(body))
		must(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, b
	}
	status, body := post("/kbs/v0/auth", `{"version":"0.4.0","tee":"se","extra-params":{"supported-hash-algorithms":["sha384","sha512"]}}`)
	if status != 200 {
		t.Fatalf("auth: %d %s", status, body)
	}
	ch, err := rcar.ParseChallenge(body)
	must(t, err)
	var req struct {
		Request []byte `json:"request_blob"`
		Key     []byte `json:"encr_measurement_key"`
		Nonce   []byte `json:"encr_request_nonce"`
		Tags    []byte `json:"image_hdr_tags"`
	}
	must(t, json.Unmarshal([]byte(ch.Nonce), &req))
	key, err := jwe.Generate("P-256")
	must(t, err)
	pub, err := key.Public()
	must(t, err)
	user := userData(rcar.PrimaryDigest(ch.Selected, ch.Nonce, pub, ""))
	ans, err := g.Attest(req.Request, user)
	must(t, err)
	ev, err := json.Marshal(map[string][]byte{"measurement": ans.Measurement, "additional_data": ans.Additional, "user_data": user, "cuid": ans.CUID,
		"encr_measurement_key": req.Key, "encr_request_nonce": req.Nonce, "image_hdr_tags": req.Tags})
	must(t, err)
	att := rcar.Attestation{Nonce: ch.Nonce, Key: pub, Primary: ev}
	if status, body = post("/kbs/v0/attest", string(att.JSON())); status != 200 {
		return nil, &rcar.WireError{Status: status, Detail: string(body)}
	}
	resp, err := cl.Get(url + "/kbs/v0/resource/default/key/1")
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != 200 {
		return nil, &rcar.WireError{Status: resp.StatusCode, Detail: string(b)}
	}
	return jwe.Decrypt(key, b)
}
