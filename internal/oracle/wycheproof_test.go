package oracle

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/assay-tee/assay/internal/dcap"
)

// Signatures of quotes, QE reports and documents are raw r ‖ s; every case of Wycheproof comes out as it says. The cases
// of other lengths than 64 bytes are valid there as shorter or longer numbers; Intel's formats have exactly 64 bytes.
func TestWycheproofP256(t *testing.T) {
	b, err := fs.ReadFile(wycheproof.TestVectors, "ecdsa_secp256r1_sha256_p1363_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		TestGroups []struct {
			PublicKey struct{ Uncompressed string }
			Tests     []struct {
				TcID             int
				Comment          string
				Msg, Sig, Result string
			}
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range file.TestGroups {
		point, err := hex.DecodeString(g.PublicKey.Uncompressed)
		if err != nil {
			t.Fatal(err)
		}
		key, err := dcap.ParseKey(point[1:])
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range g.Tests {
			msg, err1 := hex.DecodeString(tc.Msg)
			sig, err2 := hex.DecodeString(tc.Sig)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			n++
			if got, want := dcap.VerifyRaw(key, msg, sig), tc.Result == "valid" && len(sig) == 64; got != want {
				t.Errorf("case %d (%s, %s): verifies is %t", tc.TcID, tc.Comment, tc.Result, got)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d cases", n)
	}
}
