package assay_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/assay-tee/assay"

// arrows says which rooms of this module a room may import (DESIGN.md section 2, rule 1). A room is the first element
// of the path below the module; the façade (the module root) and cmd/ may import everything and are imported by nobody.
// Packages of internal/ may be imported by all. What is not listed is not allowed.
var arrows = map[string][]string{
	"internal":   {},
	"claim":      {},
	"evidence":   {"claim"},
	"collateral": {"claim", "evidence"},
	"corim":      {"claim"},
	"provenance": {"claim"},
	"measure":    {"claim", "corim"},
	"endorse":    {"claim", "corim", "collateral", "provenance", "measure"},
	"appraise":   {"claim", "endorse", "evidence"},
	"policy":     {"claim", "endorse", "evidence", "appraise"},
	"result":     {"claim", "endorse", "evidence", "appraise", "policy"},
	"release":    {"claim", "evidence", "appraise", "policy", "result"},
	"registry":   {},
	"store":      {"claim", "endorse", "registry", "release", "result"},
	"protocol":   {"claim", "evidence", "appraise", "policy", "result", "release"},
	"attester":   {"claim", "evidence", "protocol"},
	"simulator":  {"claim", "evidence", "collateral", "corim", "attester", "measure", "protocol"},
	"server":     {"claim", "evidence", "collateral", "corim", "provenance", "measure", "endorse", "appraise", "policy", "result", "registry", "release", "store", "protocol"},
}

// heavy names imports that must stay in leaf packages (rule 12), and the folders that may have them.
var heavy = map[string][]string{
	"github.com/open-policy-agent/opa": {"policy/rego"},
	"github.com/sigstore/sigstore-go":  {"provenance/sigstore"},
	"github.com/sigstore/sigstore":     {"provenance/sigstore"},
	"modernc.org/sqlite":               {"store/sqlite"},
	"github.com/jackc/pgx":             {"store/postgres"},
	"github.com/openbao/openbao/api":   {"release/backend"},
	"google.golang.org/grpc":           {},
}

func TestImportsPointUpstream(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || hasGoMod(path)) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			seen++
			if why := forbidden(dir, imp); why != "" {
				t.Errorf("%s imports %s: %s", path, imp, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("no imports seen: the test looks in the wrong place")
	}
}

func hasGoMod(dir string) bool {
	m, err := filepath.Glob(filepath.Join(dir, "go.mod"))
	return err == nil && len(m) > 0
}

// forbidden says why a package in folder dir must not import imp, or "".
func forbidden(dir, imp string) string {
	for prefix, where := range heavy {
		if (imp == prefix || strings.HasPrefix(imp, prefix+"/")) && !slices.ContainsFunc(where, func(w string) bool { return dir == w || strings.HasPrefix(dir, w+"/") }) {
			return "a heavy dependency that stays in " + strings.Join(where, ", ")
		}
	}
	if imp == module+"/evidence/evidencetest" {
		return "forged evidence is for tests"
	}
	if imp == module {
		if dir == "." || strings.HasPrefix(dir, "cmd/") {
			return ""
		}
		return "nobody imports the façade"
	}
	rel, ours := strings.CutPrefix(imp, module+"/")
	room, target := firstElem(dir), firstElem(rel)
	if !ours || dir == "." || room == "cmd" || target == "internal" {
		return ""
	}
	allowed, known := arrows[room]
	switch {
	case !known:
		return "room " + room + " is not in the table of arrows; add it with a reason"
	case target == room:
		return withinRoom(dir, rel)
	case !slices.Contains(allowed, target):
		return "the arrow " + room + " → " + target + " runs the wrong way"
	case room == "appraise" && strings.HasPrefix(rel, "evidence/"):
		return "appraise imports no driver"
	case strings.HasPrefix(rel, "evidence/") && room != "server" && room != "simulator" && room != "collateral":
		return "only cmd/, server and simulator know single drivers"
	}
	return ""
}

// withinRoom keeps drivers apart (rule 1): only azvtpm builds on vtpm, snp and tdx, and oak on snp and tdx; builtin and bundle know all.
func withinRoom(dir, rel string) string {
	from, fromOK := strings.CutPrefix(dir, "evidence/")
	to, toOK := strings.CutPrefix(rel, "evidence/")
	if !fromOK || !toOK {
		return ""
	}
	from, to = firstElem(from), firstElem(to)
	drivers := []string{"snp", "tdx", "sgx", "cca", "secex", "csv", "vtpm", "azvtpm", "nvgpu", "oak"}
	// Azure's paravisor and Oak's first layer are vouched for by SNP or TDX evidence, whole and with all its rules.
	shared := map[string][]string{"azvtpm": {"vtpm", "snp", "tdx"}, "oak": {"snp", "tdx"}}
	if from == to || !slices.Contains(drivers, to) || !slices.Contains(drivers, from) || slices.Contains(shared[from], to) {
		return ""
	}
	return "drivers do not import each other"
}

func firstElem(p string) string { e, _, _ := strings.Cut(p, "/"); return e }

func TestForbiddenSeesWrongArrows(t *testing.T) {
	for _, tc := range []struct {
		name, dir, imp string
		bad            bool
	}{
		{"upstream", "appraise", module + "/endorse", false},
		{"downstream", "evidence/snp", module + "/policy", true},
		{"claim imports nothing", "claim", module + "/evidence", true},
		{"sibling drivers", "evidence/snp", module + "/evidence/tdx", true},
		{"azvtpm builds on snp", "evidence/azvtpm", module + "/evidence/snp", false},
		{"appraise and a driver", "appraise", module + "/evidence/snp", true},
		{"wires decide nothing", "protocol/rcar", module + "/server", true},
		{"façade", "result", module, true},
		{"heavy outside its leaf", "policy", "github.com/open-policy-agent/opa/v1/rego", true},
		{"heavy in its leaf", "policy/rego", "github.com/open-policy-agent/opa/v1/rego", false},
		{"unknown room", "misc", module + "/claim", true},
		{"forged evidence", "cmd/assay", module + "/evidence/evidencetest", true},
		{"internal is for all", "claim", module + "/internal/fault", false},
	} {
		if got := forbidden(tc.dir, tc.imp); (got != "") != tc.bad {
			t.Errorf("%s: forbidden(%q, %q) = %q", tc.name, tc.dir, tc.imp, got)
		}
	}
}

// Every direct dependency has a line in docs/design/dependencies.md that says why it is there.
func TestDirectDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("docs/design/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(mod)) {
		f := strings.Fields(line)
		if len(f) != 2 || !strings.HasPrefix(line, "\t") || !strings.HasPrefix(f[1], "v") {
			continue // indirect ones have a comment
		}
		seen++
		if !strings.Contains(string(doc), f[0]) {
			t.Errorf("%s has no line in docs/design/dependencies.md", f[0])
		}
	}
	if seen == 0 {
		t.Error("no direct dependencies seen")
	}
}
