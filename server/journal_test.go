package server_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/translog"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

func TestLogIsTamperEvident(t *testing.T) {
	signer, vkey, err := translog.LoadOrCreate(filepath.Join(t.TempDir(), "log.key"), "assay-test")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *server.Config) { c.LogSigner = signer })
	w.put("default/key/1", "", "the secret")
	fetch := func() (translog.Tree, [][]byte) {
		t.Helper()
		var cp struct{ Checkpoint string }
		var page struct{ Leaves []string }
		status, out := w.call("GET", "/v1/log/checkpoint", "")
		if status != 200 || json.Unmarshal(out, &cp) != nil {
			t.Fatalf("%d %s", status, out)
		}
		tree, err := translog.Open([]byte(cp.Checkpoint), vkey)
		if err != nil {
			t.Fatal(err)
		}
		if _, out := w.call("GET", "/v1/log/leaves?limit=1000", ""); json.Unmarshal(out, &page) != nil {
			t.Fatal(string(out))
		}
		var leaves [][]byte
		for _, l := range page.Leaves[:tree.Size] {
			leaves = append(leaves, []byte(l))
		}
		return tree, leaves
	}
	settle := func(want int64) (translog.Tree, [][]byte) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if status, _ := w.call("GET", "/v1/log/checkpoint", ""); status == 200 {
				if tree, leaves := fetch(); tree.Size >= want {
					return tree, leaves
				}
			}
			if time.Now().After(deadline) {
				t.Fatal("the log does not grow")
			}
		}
	}
	first, _ := settle(1)
	c := w.client(simulator.GuestConfig{Measurement: good})
	if _, err := c.Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "default/key/1", ""); err != nil {
		t.Fatal(err)
	}
	head, leaves := settle(3)
	if err := translog.Verify(leaves, head, first); err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(leaves[2]), `"kind":"release"`) {
		t.Errorf("%s", leaves[2])
	}
	leaves[1] = []byte(strings.Replace(string(leaves[1]), "affirming", "warning", 1))
	if err := translog.Verify(leaves, head); err == nil {
		t.Error("a changed line went unseen")
	}
	// What is decided last before a stop is in the tree after it.
	w.put("default/key/2", "", "x")
	w.close()
	w.start()
	if tree, _ := fetch(); tree.Size != 4 {
		t.Errorf("%d lines signed after a stop", tree.Size)
	}
}
