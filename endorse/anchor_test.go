package endorse

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

func TestBareAnchor(t *testing.T) {
	k := newKey(t)
	ca := newAuthority(t)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	for _, tc := range []struct {
		name        string
		b           []byte
		keys, certs int
	}{
		{"dir/example.pem", pemOf(t, k), 1, 0},
		{"example.crt", certPEM, 0, 1},
		{"example.der", ca.cert.Raw, 0, 1},
		{"example", append(pemOf(t, k), certPEM...), 1, 1},
	} {
		a, err := ParseAnchors(tc.name, tc.b)
		if err != nil || len(a) != 1 || a[0].Name != "example" || len(a[0].Keys) != tc.keys || len(a[0].Certificates) != tc.certs {
			t.Errorf("%s: %+v %v", tc.name, a, err)
			continue
		}
		env := claim.Environment{Class: claim.Class{Vendor: claim.Some("x")}}
		if !a[0].Scope.allows(KindReference, &env, nil) || a[0].Scope.allows(KindAttestKey, &env, nil) || a[0].Scope.allowsKind(KindTagList) {
			t.Errorf("%s: scope %s", tc.name, a[0].Scope)
		}
	}
}

func TestAnchorFile(t *testing.T) {
	k := strings.TrimSpace(string(pemOf(t, newKey(t))))
	const scope = "\n[[anchor.scope]]\nany-statement = true\nany-environment = true\nany-element = true\n"
	good := "[[anchor]]\nname = \"a\"\nkeys = ['''\n" + k + "''']\n"
	for _, tc := range []struct {
		name, text string
		want       fault.Class // Internal: admitted
	}{
		{"whole", good + scope, fault.Internal},
		{"two", good + scope + strings.Replace(good, `"a"`, `"b"`, 1) + scope, fault.Internal},
		{"narrow", good + "[[anchor.scope]]\nstatements = ['reference-values']\nenvironments = [{class-id = '1.3.6.1.4.1.3704.3.1', instance = 'bytes:00ff', layer = 1}, {vendor = 'x', model = 'y', group = 'uuid:31fb5abf-023e-4992-aa4e-95f9c1503bfa'}]\nelements = ['641', 'snp.product', 'anonymous', 'oid:1.2.3']\n", fault.Internal},
		{"no scope", good, fault.Usage},
		{"scope without environment", good + "[[anchor.scope]]\nany-statement = true\nany-element = true\n", fault.Usage},
		{"scope without element", good + "[[anchor.scope]]\nany-statement = true\nany-environment = true\n", fault.Usage},
		{"scope without kind", good + "[[anchor.scope]]\nany-environment = true\nany-element = true\n", fault.Usage},
		{"unknown kind", good + "[[anchor.scope]]\nstatements = ['everything']\nany-environment = true\nany-element = true\n", fault.Usage},
		{"empty environment", good + "[[anchor.scope]]\nany-statement = true\nenvironments = [{}]\nany-element = true\n", fault.Usage},
		{"no identifier", good + "[[anchor.scope]]\nany-statement = true\nenvironments = [{class-id = 'x'}]\nany-element = true\n", fault.Malformed},
		{"no key", "[[anchor]]\nname = 'a'\n" + scope, fault.Usage},
		{"no name", strings.Replace(good, `"a"`, `""`, 1) + scope, fault.Usage},
		{"unknown member", good + "may-do-anything = true\n" + scope, fault.Malformed},
		{"unknown relaxation", good + "relax = ['x']\n" + scope, fault.Usage},
		{"no anchors", "# nothing\n", fault.Malformed},
		{"empty", " \n", fault.Malformed},
		{"private key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", fault.Usage},
		{"other PEM", "-----BEGIN X-----\nAAAA\n-----END X-----\n", fault.Malformed},
		{"rubbish after PEM", k + "\nrubbish", fault.Malformed},
	} {
		a, err := ParseAnchors("file", []byte(tc.text))
		if tc.want == fault.Internal {
			if err != nil || len(a) == 0 {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		refused(t, tc.name, err, tc.want)
	}
	doc, err := json.Marshal(map[string]any{"anchor": []any{map[string]any{"name": "a", "keys": []string{k}, "not-after": "2028-01-01T00:00:00Z",
		"scope": []any{map[string]any{"any-statement": true, "any-environment": true, "elements": []string{"641"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := ParseAnchors("file.json", doc)
	if err != nil || a[0].NotAfter.Year() != 2028 || a[0].Scope[0].Elements[0] != claim.Uint(641) {
		t.Errorf("%+v %v", a, err)
	}
	_, err = ParseAnchors("file.json", append(doc, doc...))
	refused(t, "two JSON objects", err, fault.Malformed)
}

func TestBuilderRefuses(t *testing.T) {
	k := newKey(t)
	for _, tc := range []struct {
		name string
		c    Config
		want fault.Class
	}{
		{"no clock", Config{}, fault.Internal},
		{"no scope", Config{Time: now, Anchors: []*Anchor{{Name: "a", Keys: anchor("a", k).Keys}}}, fault.Usage},
		{"no key", Config{Time: now, Anchors: []*Anchor{{Name: "a", Scope: Anything()}}}, fault.Usage},
		{"one name twice", Config{Time: now, Anchors: []*Anchor{anchor("a", k), anchor("a", k)}}, fault.Usage},
		{"a key of no known kind", Config{Time: now, Anchors: []*Anchor{{Name: "a", Keys: append(anchor("a", k).Keys, "x"), Scope: Anything()}}}, fault.Unsupported},
	} {
		_, err := NewBuilder(tc.c)
		refused(t, tc.name, err, tc.want)
	}
	var zero Set
	if zero.Valid() || !newBuilder(t, Config{}).Set().Valid() {
		t.Error("only a builder makes a valid set")
	}
}

func TestScopeText(t *testing.T) {
	for _, tc := range []struct {
		s    Scope
		want string
	}{
		{nil, "nothing"},
		{Anything(), "any statement about any environment"},
		{Scope{{Kinds: []TripleKind{KindReference}, Environments: []claim.Environment{class}, Elements: []claim.ID{claim.Uint(641), {}}}},
			"reference-values about class 1.3.6.1.4.1.3704.3.1, elements 641, anonymous"},
	} {
		if got := tc.s.String(); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// The documentation names every member, kind and relaxation.
func TestAnchorDocumentation(t *testing.T) {
	doc, err := os.ReadFile("../docs/anchors.md")
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("anchorfile.go")
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile("json:\"([a-z-]+)\"").FindAllStringSubmatch(string(src), -1)
	if len(words) < 20 {
		t.Fatal("the members were not found")
	}
	var want []string
	for _, w := range words {
		want = append(want, w[1])
	}
	for _, k := range TripleKinds() {
		want = append(want, string(k))
	}
	for _, r := range corim.Relaxations() {
		want = append(want, string(r))
	}
	for _, w := range want {
		if w != "anchor" && !strings.Contains(string(doc), "`"+w) {
			t.Errorf("docs/anchors.md does not name %q", w)
		}
	}
}

func FuzzParseAnchors(f *testing.F) {
	f.Add([]byte("[[anchor]]\nname='a'\n[[anchor.scope]]\nelements=['1']\n"))
	f.Add([]byte(`{"anchor":[{"name":"a"}]}`))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAnchors("x", b)
		if err != nil && fault.ClassOf(err) == fault.Internal {
			t.Errorf("class internal for a file's content: %v", err)
		}
		for _, x := range a {
			_ = x.Scope.String()
		}
	})
}
