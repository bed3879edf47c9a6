package scitt

import (
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

func seed() []byte {
	var p, u cborx.MapEncoder
	p.Put(cosex.LabelAlg, cborx.AppendInt(nil, cosex.ES256))
	p.Put(cosex.LabelCWTClaims, cborx.AppendText(cborx.AppendUint(cborx.AppendMap(nil, 1), 1), "issuer"))
	u.Put(labelReceipts, cborx.AppendBytes(cborx.AppendArray(nil, 1), []byte{0xd2}))
	b := cborx.AppendArray(cborx.AppendTag(nil, 18), 4)
	b = u.Append(cborx.AppendBytes(b, p.Append(nil)))
	return cborx.AppendBytes(cborx.AppendBytes(b, []byte("payload")), make([]byte, 64))
}

func FuzzStatement(f *testing.F) {
	f.Add(seed())
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Verify(b, nil, Config{At: time.Unix(1, 0)}); err == nil {
			t.Error("accepted without an issuer that is believed")
		}
	})
}

func FuzzReceipt(f *testing.F) {
	var p, u cborx.MapEncoder
	p.Put(cosex.LabelAlg, cborx.AppendInt(nil, cosex.ES256))
	p.Put(labelVDS, cborx.AppendInt(nil, vdsCCF))
	u.Put(labelProofs, cborx.AppendBytes(cborx.AppendArray(cborx.AppendInt(cborx.AppendMap(nil, 1), -1), 1), []byte{0xa0}))
	b := u.Append(cborx.AppendBytes(cborx.AppendArray(cborx.AppendTag(nil, 18), 4), p.Append(nil)))
	f.Add(cborx.AppendBytes(cborx.AppendNull(b), make([]byte, 64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReceipt(b)
		if err != nil {
			if c := fault.ClassOf(err); c != fault.Malformed && c != fault.Unsupported {
				t.Errorf("class %s", c)
			}
			return
		}
		if _, err := r.verify(&Statement{}, []Service{{}}); err == nil {
			t.Error("accepted without a key")
		}
	})
}

// The path of an RFC 9162 proof has exactly the length that the tree asks for; anything else is refused before any
// signature is looked at.
func TestPathLengths(t *testing.T) {
	for _, tc := range []struct {
		name        string
		size, index uint64
		path        int
		ok          bool
	}{
		{"one leaf", 1, 0, 0, true}, {"one leaf, too long", 1, 0, 1, false}, {"empty tree", 0, 0, 0, false}, {"index beyond", 3, 3, 2, false},
		{"three leaves, last", 3, 2, 1, true}, {"three leaves, first", 3, 0, 2, true}, {"too short", 8, 2, 2, false}, {"too long", 8, 2, 4, false}, {"eight", 8, 2, 3, true},
	} {
		b := cborx.AppendUint(cborx.AppendUint(cborx.AppendArray(nil, 3), tc.size), tc.index)
		b = cborx.AppendArray(b, tc.path)
		for range tc.path {
			b = cborx.AppendBytes(b, make([]byte, 32))
		}
		if _, err := (&Receipt{}).rfc9162Root(b, make([]byte, 32)); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// Leaves and nodes of a CCF tree are told apart by size alone, so that every size is exact.
func TestCCFSizes(t *testing.T) {
	proof := func(tx, ev, data, hash int, left []byte) []byte {
		b := cborx.AppendArray(cborx.AppendUint(cborx.AppendMap(nil, 2), 1), 3)
		b = cborx.AppendText(cborx.AppendBytes(b, make([]byte, tx)), string(make([]byte, ev)))
		b = cborx.AppendBytes(b, make([]byte, data))
		b = cborx.AppendArray(cborx.AppendArray(cborx.AppendUint(b, 2), 1), 2)
		return cborx.AppendBytes(append(b, left...), make([]byte, hash))
	}
	yes := cborx.AppendBool(nil, true)
	for _, tc := range []struct {
		name  string
		proof []byte
		ok    bool
	}{
		{"as it must be", proof(32, 10, 32, 32, yes), true}, {"transaction of 31", proof(31, 10, 32, 32, yes), false}, {"data of 33", proof(32, 10, 33, 32, yes), false},
		{"path of 31", proof(32, 10, 32, 31, yes), false}, {"no evidence", proof(32, 0, 32, 32, yes), false}, {"evidence of 1025", proof(32, 1025, 32, 32, yes), false},
		{"evidence of 1024", proof(32, 1024, 32, 32, yes), true}, {"left is a number", proof(32, 10, 32, 32, []byte{1}), false},
	} {
		if _, err := ccfRoot(tc.proof, [32]byte{}); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := ccfRoot(proof(32, 10, 32, 32, yes), [32]byte{1}); !fault.Is(err, fault.Binding) {
		t.Errorf("another statement: %v", err)
	}
}
