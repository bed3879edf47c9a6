package intel_test

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/tdx"
)

// Every single bit of a quote and of its collateral, one after the other: what is signed is refused, always, by a driver
// whose caches are warm. The only bytes that nothing signs are those whose change leaves the same content: white space
// and line ends of PEM, the case of a hexadecimal signature.
func TestBitFlips(t *testing.T) {
	ev, env := realPair(t)
	d := must[*tdx.Driver](t)(tdx.New(tdx.Config{}))
	ok, err := d.Authenticate(context.Background(), ev, env)
	if err != nil {
		t.Fatal(err)
	}
	pck := bytes.Index(ev.Data, []byte("-----BEGIN"))
	// Every seventh bit touches every byte; scripts/test asks for all of them.
	step := 7
	if os.Getenv("ASSAY_EXHAUSTIVE") != "" {
		step = 1
	}
	for bit := 0; bit < 8*len(ev.Data); bit += step {
		q := bytes.Clone(ev.Data)
		q[bit/8] ^= 1 << (bit % 8)
		v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: q}, env)
		if err == nil && (bit/8 < pck || !sameMeaning(ok, v)) {
			t.Fatalf("bit %d of byte %d of the quote changed: accepted", bit%8, bit/8)
		}
	}
	g := env.Collateral.(given)
	for i := range g {
		for bit := 0; bit < 8*len(g[i]); bit += step {
			changed := append(given{}, g...)
			changed[i] = bytes.Clone(g[i])
			changed[i][bit/8] ^= 1 << (bit % 8)
			e := env
			e.Collateral = changed
			v, err := d.Authenticate(context.Background(), ev, e)
			if err == nil && !sameMeaning(ok, v) {
				t.Fatalf("bit %d of byte %d of document %d changed: accepted with another meaning", bit%8, bit/8, i)
			}
			// Of the documents only the hexadecimal text of the signature may change its case; of the chain only line ends.
			if err == nil && !bytes.EqualFold(changed[i], g[i]) && !isChain(g[i]) {
				t.Fatalf("bit %d of byte %d of document %d changed: accepted", bit%8, bit/8, i)
			}
		}
	}
}

func isChain(b []byte) bool { return bytes.HasPrefix(b, []byte("-----BEGIN")) }

// sameMeaning compares everything that two results say about the machine.
func sameMeaning(a, b *evidence.Verified) bool {
	x, err1 := a.Claims().MarshalJSON()
	y, err2 := b.Claims().MarshalJSON()
	if err1 != nil || err2 != nil || !bytes.Equal(x, y) || a.Root() != b.Root() || len(a.Chain()) != len(b.Chain()) {
		return false
	}
	for i := range a.Chain() {
		if a.Chain()[i] != b.Chain()[i] {
			return false
		}
	}
	return true
}
