package translog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/translog"
)

func lines(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = fmt.Appendf(nil, `{"line":%d}`, i)
	}
	return out
}

// TestGrowInPieces: however the leaves arrive, the tree is the same.
func TestGrowInPieces(t *testing.T) {
	for _, pieces := range [][]int{{1, 1, 1}, {7, 1, 30}, {64, 64}, {1, 127, 2}} {
		var stored []translog.Hash
		var size int64
		var head translog.Tree
		all := lines(200)
		for _, n := range pieces {
			hs, t2, err := translog.Grow(size, all[size:size+int64(n)], func(ix []int64) ([]translog.Hash, error) {
				out := make([]translog.Hash, len(ix))
				for i, x := range ix {
					out[i] = stored[x]
				}
				return out, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			stored, size, head = append(stored, hs...), size+int64(n), t2
		}
		if want, err := translog.Of(all[:size]); err != nil || want != head {
			t.Errorf("%v: %v %v", pieces, head, err)
		}
	}
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	signer, vkey, err := translog.LoadOrCreate(filepath.Join(dir, "log.key"), "assay-test")
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "log.key")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	if _, again, err := translog.LoadOrCreate(filepath.Join(dir, "log.key"), "assay-test"); err != nil || again != vkey {
		t.Errorf("%s %v", again, err)
	}
	head := func(n int) translog.Tree {
		t.Helper()
		tree, err := translog.Of(lines(n))
		if err != nil {
			t.Fatal(err)
		}
		cp, err := translog.Sign(tree, signer)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := translog.Open(cp, vkey)
		if err != nil || opened != tree {
			t.Fatalf("%v %v", opened, err)
		}
		cp[len(cp)-5] ^= 1
		if _, err := translog.Open(cp, vkey); !fault.Is(err, fault.Signature) {
			t.Errorf("a broken signature: %v", err)
		}
		return opened
	}
	old, now := head(10), head(25)
	if err := translog.Verify(lines(25), now, old); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func([][]byte) [][]byte{
		"changed": func(l [][]byte) [][]byte { l[3] = []byte(`{"line":33}`); return l },
		"removed": func(l [][]byte) [][]byte { return append(l[:3], l[4:]...) },
		"swapped": func(l [][]byte) [][]byte { l[3], l[4] = l[4], l[3]; return l },
		"cut":     func(l [][]byte) [][]byte { return l[:20] },
		"added":   func(l [][]byte) [][]byte { return append(l, []byte("{}")) },
	} {
		if err := translog.Verify(change(lines(25)), now, old); !fault.Is(err, fault.Signature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A log that was rewritten and signed again is caught by whoever kept the old checkpoint.
	rewritten := lines(25)
	rewritten[3] = []byte(`{"line":33}`)
	fresh, err := translog.Of(rewritten)
	if err != nil {
		t.Fatal(err)
	}
	if err := translog.Verify(rewritten, fresh); err != nil {
		t.Error(err)
	}
	if err := translog.Verify(rewritten, fresh, old); !fault.Is(err, fault.Signature) {
		t.Errorf("rewritten: %v", err)
	}
}
