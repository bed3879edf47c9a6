package result_test

import (
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/result"
)

// Inspection shows what is there, whoever signed it, and says what is wrong with it.
func TestInspect(t *testing.T) {
	w := newWorld(t, nil)
	i, err := result.NewIssuer(result.IssuerConfig{Key: w.key})
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := i.Issue(w.appraisal, w.decision, result.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cwt, err := i.IssueCWT(w.appraisal, w.decision, result.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := generate(t, keys.EdDSA)
	for _, tc := range []struct {
		name, defect string
		token        []byte
	}{
		{"jwt", "", jwt}, {"cwt", "", cwt}, {"signature broken", "", flip(jwt, len(jwt)-20)},
		{"status too good", "allows only contraindicated", forge(t, k, `{"alg":"EdDSA"}`, claims(`"hardware":2`, `"hardware":96`))},
		{"another profile", "not accepted", forge(t, k, `{"alg":"EdDSA"}`, claims("ear#03", "ear#99"))},
		{"crit", "critical", forge(t, k, `{"alg":"EdDSA","crit":["x"]}`, claims())},
	} {
		got, err := result.Inspect(tc.token)
		if err != nil || len(got.Claims) == 0 || len(got.Header) == 0 {
			t.Errorf("%s: %+v %v", tc.name, got, err)
			continue
		}
		if all := strings.Join(got.Defects, "\n"); (tc.defect == "") != (all == "") || !strings.Contains(all, tc.defect) {
			t.Errorf("%s: defects %q, want %q", tc.name, all, tc.defect)
		}
	}
	for name, bad := range map[string]string{"empty": "", "text": "hello", "cbor": "\xd2\x84", "list": b64([]byte(`{}`)) + "." + b64([]byte(`[]`)) + ".AA"} {
		if _, err := result.Inspect([]byte(bad)); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
