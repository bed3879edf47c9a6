package secex_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator/ultravisor"
)

// TestWrapSecret: the guest of the evidence takes the request; its neighbour does not.
func TestWrapSecret(t *testing.T) {
	w := newWorld(t, true)
	ch := w.challenge()
	v, err := w.verify(ch, w.answer(ch, digest()), digest())
	if err != nil {
		t.Fatal(err)
	}
	neighbour, err := w.machine.Boot(w.image)
	if err != nil {
		t.Fatal(err)
	}
	good := evidence.SecretRequest{Time: w.now, Anchors: w.anchors(), Collateral: w.collateral(), Name: "a/b/c", Secret: []byte("passphrase")}
	req, err := w.driver.WrapSecret(context.Background(), v, good)
	if err != nil {
		t.Fatal(err)
	}
	if err := neighbour.AddSecret(req); err != ultravisor.SecretNotAdded {
		t.Errorf("another guest of the same image: %v", err)
	}
	for at := 0; at < len(req); at += 7 {
		bad := bytes.Clone(req)
		bad[at] ^= 1
		if err := w.guest.AddSecret(bad); err == nil {
			t.Fatalf("a bit flipped at %#x goes unnoticed", at)
		}
	}
	if err := w.guest.AddSecret(req); err != nil {
		t.Fatal(err)
	}
	id := secex.SecretID("a/b/c")
	if got := w.guest.Secrets[string(id[:])]; !bytes.HasPrefix(got, []byte("\x00\x0apassphrase")) {
		t.Errorf("%q", got)
	}
}

func TestWrapSecretRefuses(t *testing.T) {
	w := newWorld(t, true)
	ch := w.challenge()
	v, err := w.verify(ch, w.answer(ch, digest()), digest())
	if err != nil {
		t.Fatal(err)
	}
	good := evidence.SecretRequest{Time: w.now, Anchors: w.anchors(), Collateral: w.collateral(), Name: "a/b/c", Secret: []byte("passphrase")}
	late, revoked := good, good
	late.Time = w.now.AddDate(30, 0, 0)
	w.revoked = append(w.revoked, w.hkd)
	revoked.Collateral = w.collateral()
	long := good
	long.Secret = make([]byte, w.driver.MaxSecret()+1)
	for name, tc := range map[string]struct {
		v   *evidence.Verified
		req evidence.SecretRequest
	}{
		"no evidence": {nil, good}, "host key expired": {v, late}, "host key revoked": {v, revoked}, "too long": {v, long},
		"empty":    {v, evidence.SecretRequest{Time: w.now, Anchors: w.anchors(), Collateral: w.collateral()}},
		"no clock": {v, evidence.SecretRequest{Anchors: w.anchors(), Collateral: w.collateral(), Secret: []byte("x")}},
	} {
		if b, err := w.driver.WrapSecret(context.Background(), tc.v, tc.req); err == nil || b != nil {
			t.Errorf("%s: wrapped", name)
		}
	}
	if _, err := w.driver.WrapSecret(context.Background(), v, revoked); !fault.Is(err, fault.Revoked) {
		t.Errorf("revoked: %v", err)
	}
	// A machine that did not answer is no address for the secret, whatever documents there are for it.
	w.revoked = nil
	other, err := ultravisor.NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := w.pki.Document(other.HostKey(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	w.docs[0] = doc
	if _, err := w.driver.WrapSecret(context.Background(), v, evidence.SecretRequest{Time: w.now, Anchors: w.anchors(), Collateral: w.collateral(), Name: "a", Secret: []byte("x")}); !fault.Is(err, fault.Signature) {
		t.Errorf("only another machine's document: %v", err)
	}
}
