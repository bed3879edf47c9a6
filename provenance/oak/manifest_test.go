package oak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	driver "github.com/assay-tee/assay/evidence/oak"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/oak"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: no published endorsements are at hand")
	}
	b, err := os.ReadFile(filepath.Join(dir, "oak", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// run is one case: what is compared, and changes to it.
type run struct {
	refs *oak.ReferenceValues
	ends *oak.Endorsements
	at   time.Time
}

// flip changes one bit of a base64 or hex text inside a log entry, at the first character after key.
func flip(t testing.TB, e *oak.Endorsement, key string, hex bool) {
	t.Helper()
	s := string(e.RekorEntry)
	i := strings.Index(s, key)
	if i < 0 {
		t.Fatalf("no %q in the entry", key)
	}
	i += len(key)
	b := []byte(s)
	if hex {
		b[i] ^= 1 // 0 and 1, 2 and 3, …, a and b change places mostly; all stay hex but "`" and "g"
		if b[i] == '`' || b[i] == 'g' {
			b[i] = '0'
		}
	} else {
		raw := must[[]byte](t)(base64.StdEncoding.DecodeString(s[i : i+strings.IndexAny(s[i:], `"\`)]))
		raw[len(raw)-3] ^= 1
		b = []byte(s[:i] + base64.StdEncoding.EncodeToString(raw) + s[i+strings.IndexAny(s[i:], `"\`):])
	}
	e.RekorEntry = b
}

var mutations = map[string]func(t testing.TB, r *run){
	"fake-without-insecure":      func(_ testing.TB, r *run) { r.refs.Insecure = false },
	"milan-release-tcb-snp-high": func(_ testing.TB, r *run) { r.refs.SNP.Products["Milan"].Minimum["snp"] = 4294967295 },
	"milan-release-no-milan-tcb": func(_ testing.TB, r *run) { delete(r.refs.SNP.Products, "Milan") },
	"milan-release-empty-binary": func(_ testing.TB, r *run) { r.refs.Values[oak.SystemImage] = &oak.Value{} },
	"milan-release-cmdline-other": func(_ testing.TB, r *run) {
		v := r.refs.Values[oak.KernelCmdline]
		v.Literals[0] = strings.TrimSuffix(v.Literals[0], "quiet")
	},
	"milan-release-endorsed-key-id": func(_ testing.TB, r *run) {
		for _, v := range r.refs.Values {
			if v.Endorsement != nil {
				v.Endorsement.Endorser.Keys[0].ID = 2
			}
		}
		r.refs.SNP.Stage0.Endorsement.Endorser.Keys[0].ID = 2
	},
	"milan-release-endorsed-wrong-endorser": func(_ testing.TB, r *run) {
		a, b := r.refs.SNP.Stage0.Endorsement, r.refs.Values[oak.Kernel].Endorsement
		a.Endorser, b.Endorser = b.Endorser, a.Endorser
	},
	"milan-release-endorsed-missing-rekor": func(_ testing.TB, r *run) { r.ends.By[oak.Kernel].RekorEntry = nil },
	"milan-release-endorsed-other-rekor": func(_ testing.TB, r *run) {
		a, b := r.ends.By[oak.Stage0], r.ends.By[oak.Kernel]
		a.RekorEntry, b.RekorEntry = b.RekorEntry, a.RekorEntry
	},
	"milan-release-endorsed-flip-set":       func(t testing.TB, r *run) { flip(t, r.ends.By[oak.Kernel], `"signedEntryTimestamp":"`, false) },
	"milan-release-endorsed-flip-inclusion": func(t testing.TB, r *run) { flip(t, r.ends.By[oak.Kernel], `"hashes":["`, true) },
	"milan-release-endorsed-flip-checkpoint": func(t testing.TB, r *run) {
		flip(t, r.ends.By[oak.Kernel], `— rekor.sigstore.dev `, false)
	},
	"milan-release-endorsed-subject": func(_ testing.TB, r *run) { r.ends.By[oak.Stage0].Subject[40] ^= 1 },
	"milan-release-endorsed-claim": func(_ testing.TB, r *run) {
		c := r.refs.SNP.Stage0.Endorsement.RequiredClaims
		c.Types = append(c.Types, "https://github.com/project-oak/oak/blob/main/docs/tr/claim/20352.md")
	},
	"milan-release-endorsed-rekor-key": func(t testing.TB, r *run) {
		blk, _ := pem.Decode(vector(t, "derived/endorser_kernel.pem"))
		r.refs.SNP.Stage0.Endorsement.TLog.Rekor.Keys[0].Raw = blk.Bytes
	},
}

// elsewhere are the cases that change the evidence: package evidence/oak tests them.
func elsewhere(mutation string) bool {
	for _, word := range []string{"report", "eca_public_key", "event", "layers[1]", "application_keys", "VCEK", "check_vcek", "kernel_cmdline inside"} {
		if strings.Contains(mutation, word) {
			return true
		}
	}
	return false
}

func attested(t testing.TB, ev, ends []byte, at time.Time) (oak.Attested, error) {
	t.Helper()
	d := must[*driver.Driver](t)(driver.New(driver.Config{}))
	v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: ev, Endorsements: [][]byte{ends}},
		evidence.Env{Time: at, Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors()})
	if err != nil {
		return oak.Attested{}, err
	}
	a := oak.Attested{Claims: v.Claims()}
	for _, p := range v.Parts() {
		a.Root, a.RootTEE, a.RootProduct = p.Verified.Claims(), p.Verified.TEE(), p.Verified.Product()
	}
	return a, nil
}

// Every case of the manifest has its verdict at its time, under both forms of the endorsements.
func TestManifest(t *testing.T) {
	var m struct {
		Cases []struct {
			ID, Evidence, Endorsements, Expected, Class, Mutation string
			References                                            string `json:"reference_values"`
			Time                                                  string `json:"verification_time"`
		}
	}
	if err := json.Unmarshal(vector(t, "MANIFEST.json"), &m); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, c := range m.Cases {
		if c.Evidence == "" || elsewhere(c.Mutation) || strings.Contains(c.Expected, "transparent") {
			continue
		}
		forms := map[string]func([]byte) (*oak.Endorsements, error){"variants": oak.ParseEndorsements, "legacy": oak.Legacy}
		for form, parse := range forms {
			t.Run(c.ID+" "+form, func(t *testing.T) {
				ends, err := parse(vector(t, c.Endorsements))
				if fault.Is(err, fault.Usage) || form == "legacy" && strings.Contains(c.Mutation, "use the variants form") {
					t.Skip("the other form only")
				}
				if err != nil {
					t.Fatal(err)
				}
				r := &run{must[*oak.ReferenceValues](t)(oak.ParseReferenceValues(vector(t, c.References))), ends, must[time.Time](t)(time.Parse(time.RFC3339Nano, c.Time))}
				if c.Mutation != "" {
					mutate, ok := mutations[c.ID]
					if !ok {
						t.Fatalf("no test makes the change %q", c.Mutation)
					}
					mutate(t, r)
				}
				ran++
				a, err := attested(t, vector(t, c.Evidence), vector(t, c.Endorsements), r.at)
				var out *oak.Outcome
				if err == nil {
					out, err = r.refs.Evaluate(a, r.ends, r.at)
				}
				switch {
				case c.Expected == "pass" && err != nil:
					t.Fatal(err)
				case c.Expected != "pass" && err == nil:
					t.Fatalf("passed: %+v", out)
				case c.Expected != "pass" && fault.ClassOf(err).String() != c.Class:
					t.Fatalf("class %v, want %s: %v", fault.ClassOf(err), c.Class, err)
				}
			})
		}
	}
	if ran < 30 {
		t.Errorf("only %d cases ran", ran)
	}
}

// The window of an outcome is the intersection of what was used.
func TestWindowOfTheOutcome(t *testing.T) {
	at := time.Date(2025, 8, 1, 0, 0, 0, 0, time.UTC)
	ends := vector(t, "milan_oc_release_endorsements.binarypb")
	a := must[oak.Attested](t)(attested(t, vector(t, "milan_oc_release_evidence.binarypb"), ends, at))
	refs := must[*oak.ReferenceValues](t)(oak.ParseReferenceValues(vector(t, "derived/milan_oc_release_reference_values_endorsed.binarypb")))
	out := must[*oak.Outcome](t)(refs.Evaluate(a, must[*oak.Endorsements](t)(oak.ParseEndorsements(ends)), at))
	if got := out.Window.NotBefore.Format(time.RFC3339Nano) + " " + out.Window.NotAfter.Format(time.RFC3339Nano); got != "2025-06-05T19:50:18.337Z 2025-09-01T02:17:35.967Z" {
		t.Error(got)
	}
	if s := strings.Join(out.Skipped(), " "); s != "memory_map acpi container container_config" {
		t.Errorf("skipped: %s", s)
	}
	indices := map[int64]bool{}
	for _, c := range out.Checks {
		if c.Used != nil {
			indices[c.Used.LogIndex] = true
		}
		if c.Name == oak.Stage0 && c.Detail != "the configuration for 1 vCPUs" {
			t.Errorf("%s", c.Detail)
		}
	}
	for _, i := range []int64{228112302, 228111754, 230372492, 230321870, 228111930} {
		if !indices[i] {
			t.Errorf("entry %d was not used: %v", i, indices)
		}
	}
}

// An endorsement alone, to the millisecond at both ends.
func TestEndorsementAlone(t *testing.T) {
	key := func(name string) oak.KeySet {
		blk, _ := pem.Decode(vector(t, name))
		if k := must[any](t)(x509.ParsePKIXPublicKey(blk.Bytes)); k.(*ecdsa.PublicKey) == nil {
			t.Fatal("no key")
		}
		return oak.KeySet{Keys: []oak.Key{{Type: 1, Raw: blk.Bytes}}}
	}
	rekor := key("endorsement/rekor_public_key.pem")
	ref := &oak.EndorsementReference{Endorser: key("endorsement/endorser_public_key.pem"), RequiredClaims: &oak.RequiredClaims{}, TLog: oak.TLog{Strategy: oak.TLogAll, Rekor: &rekor}}
	for at, want := range map[string]string{
		"2024-02-28T09:47:12.066Z": "expired", "2024-02-28T09:47:12.067Z": "", "2025-02-27T09:47:12.067Z": "", "2025-02-27T09:47:12.068Z": "expired", "2024-09-19T16:19:20Z": "",
	} {
		e := &oak.Endorsement{Serialized: vector(t, "endorsement/endorsement.json"), Signature: vector(t, "endorsement/endorsement.json.sig"), RekorEntry: vector(t, "endorsement/logentry.json")}
		v, err := e.Verify(ref, must[time.Time](t)(time.Parse(time.RFC3339Nano, at)))
		switch {
		case want == "" && (err != nil || v.LogIndex != 132193865):
			t.Errorf("%s: %v", at, err)
		case want != "" && fault.ClassOf(err).String() != want:
			t.Errorf("%s: %v, want class %s", at, err, want)
		}
	}
}
