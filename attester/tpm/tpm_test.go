package tpm_test

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/assay-tee/assay/attester/tpm"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/vtpm"
	"github.com/assay-tee/assay/internal/fault"
)

// softTPM starts a TPM made of software for this test, or skips.
func softTPM(t *testing.T) transport.TPM {
	t.Helper()
	bin, err := exec.LookPath("swtpm")
	if err != nil {
		t.Skip("swtpm is not installed (apt-get install swtpm): no TPM at hand")
	}
	dir := t.TempDir()
	sock := filepath.Join(dir, "tpm.sock")
	cmd := exec.Command(bin, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+sock, "--flags", "not-need-init,startup-clear")
	if err := cmd.Start(); err != nil {
		t.Skipf("swtpm does not start: %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var conn net.Conn
	for range 100 {
		if conn, err = net.Dial("unix", sock); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Skipf("swtpm does not listen: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return transport.FromReadWriter(conn)
}

func extend(t *testing.T, dev transport.TPM, pcr uint32, b byte) {
	t.Helper()
	_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{b}, 32)}}}}.Execute(dev)
	if err != nil {
		t.Fatal(err)
	}
}

// A TPM is enrolled by credential activation, and its quotes are authentic from then on.
func TestEnrolAndQuote(t *testing.T) {
	dev := softTPM(t)
	a, err := tpm.New(tpm.Config{TPM: dev})
	if err != nil {
		t.Fatal(err)
	}
	ak, ek, err := a.Publics()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	e, err := vtpm.NewEnrolment(vtpm.EnrolConfig{Name: "software", AK: ak, EK: ek, EKTrusted: true, Time: now})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := a.Activate(e.Challenge.IDObject, e.Challenge.EncryptedSecret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Finish(append(secret[:31:31], secret[31]^1)); !fault.Is(err, fault.Binding) {
		t.Errorf("another secret: %v", err)
	}
	anchor, err := e.Finish(secret)
	if err != nil {
		t.Fatal(err)
	}

	extend(t, dev, 4, 7)
	nonce := bytes.Repeat([]byte{9}, 48)
	ev, err := a.Evidence(context.Background(), nonce)
	if err != nil {
		t.Fatal(err)
	}
	anchors, err := evidence.NewAnchors(evidence.AnchorsConfig{Keys: []evidence.AnchorKey{anchor}})
	if err != nil {
		t.Fatal(err)
	}
	bind, err := evidence.ExpectFit(nonce)
	if err != nil {
		t.Fatal(err)
	}
	d, err := vtpm.New(vtpm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Authenticate(context.Background(), ev, evidence.Env{Time: now, Binding: bind, Anchors: anchors})
	if err != nil {
		t.Fatal(err)
	}
	if v.Root().Name != "software" {
		t.Errorf("root %+v", v.Root())
	}
	if n, _ := v.Claims().Get("pcr04"); n.Text() == "" || n.Text() == string(bytes.Repeat([]byte{'0'}, 64)) {
		t.Errorf("pcr04 %s", n)
	}

	// A credential for another attestation key is not opened.
	other, err := vtpm.ParsePublic(ek)
	if err != nil {
		t.Fatal(err)
	}
	c, err := vtpm.MakeCredential(zeros{}, other, append([]byte{0, 0x0b}, make([]byte, 32)...), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Activate(c.IDObject, c.EncryptedSecret); !fault.Is(err, fault.Binding) {
		t.Errorf("a credential for another key: %v", err)
	}
}

// zeros is a source of bytes for a credential that nobody is to open.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestNoTPM(t *testing.T) {
	if _, err := tpm.New(tpm.Config{Device: filepath.Join(t.TempDir(), "none")}); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
}

func TestReportDataLength(t *testing.T) {
	a, err := tpm.New(tpm.Config{TPM: transport.FromReadWriter(&bytes.Buffer{})})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 15, 65} {
		if _, err := a.Evidence(context.Background(), make([]byte, n)); !fault.Is(err, fault.Usage) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
