package tlogproof

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func read(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: no real proof is at hand")
	}
	b, err := os.ReadFile(filepath.Join(dir, "oak", "c2sp", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func vkey(name string, seed byte) string {
	pub := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), 32))).Public().(ed25519.PublicKey)
	raw := append([]byte{4}, pub...)
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	return name + "+" + hex.EncodeToString(sum[:4]) + "+" + base64.StdEncoding.EncodeToString(raw)
}

func TestRealProof(t *testing.T) {
	proof, policy, entry := read(t, "test.tlog-proof"), read(t, "policy.txt"), read(t, "entry.bin")
	second := strings.Replace(policy, "quorum w1", "witness w2 "+vkey("other", 'b')+"\ngroup both all w1 w2\nquorum both", 1)
	for _, tc := range []struct{ name, proof, policy, entry, class string }{
		{"as it is", proof, policy, entry, ""},
		{"another entry", proof, policy, "test entry datA", "signature"},
		{"a second witness", proof, second, entry, "signature"},
		{"one of two witnesses", proof, strings.Replace(second, "both all", "both any", 1), entry, ""},
		{"no quorum asked", proof, strings.Replace(policy, "quorum w1", "quorum none", 1), entry, ""},
		{"another place", strings.Replace(proof, "index 3", "index 2", 1), policy, entry, "signature"},
		{"another size", strings.Replace(proof, "\n4\n", "\n5\n", 1), policy, entry, "signature"},
		{"a hash less", strings.Replace(proof, "JBLYbBgEHNZMP9yBly3cVyFLQPqn+z0YdjoHdksDJeY=\n", "", 1), policy, entry, "signature"},
		{"no log signature", proof[:strings.Index(proof, "— fake")] + proof[strings.Index(proof, "— test"):], policy, entry, "signature"},
		{"another version", strings.Replace(proof, "@v1", "@v2", 1), policy, entry, "malformed"},
		{"no quorum line", proof, strings.Replace(policy, "quorum w1", "", 1), entry, "malformed"},
		{"an unknown key type", proof, policy + "\nlog x+00000000+BgAA", entry, "unsupported"},
	} {
		err := func() error {
			p, err := Parse([]byte(tc.proof))
			if err != nil {
				return err
			}
			pol, err := ParsePolicy(tc.policy)
			if err != nil {
				return err
			}
			return p.Verify([]byte(tc.entry), pol)
		}()
		if got := fault.ClassOf(err).String(); tc.class == "" && err != nil || tc.class != "" && (err == nil || got != tc.class) {
			t.Errorf("%s: %v, want class %q", tc.name, err, tc.class)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("c2sp.org/tlog-proof@v1\nindex 0\n\na\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— a AAAAAAA=\n", "log "+vkey("a", 'a')+"\nquorum none")
	f.Fuzz(func(t *testing.T, proof, policy string) {
		p, err := Parse([]byte(proof))
		pol, err2 := ParsePolicy(policy)
		if err == nil && err2 == nil {
			if err := p.Verify([]byte("x"), pol); err != nil && !fault.Is(err, fault.Signature) {
				t.Error(err)
			}
		}
	})
}
