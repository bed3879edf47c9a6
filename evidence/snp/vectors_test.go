package snp

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// vectorDir returns the folder of real data, or skips.
func vectorDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: tests on real data are skipped")
	}
	return dir
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newDriver(t testing.TB) *Driver {
	t.Helper()
	d, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parseTime(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func rootsFrom(t testing.TB, pemText []byte) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	for block, rest := pem.Decode(pemText); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func onlyRoots(t testing.TB, roots ...*x509.Certificate) *evidence.Anchors {
	t.Helper()
	a, err := evidence.NewAnchors(evidence.AnchorsConfig{Roots: roots, OnlyThese: true, AllowSimulatorUnsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func unbound(at time.Time, a *evidence.Anchors) evidence.Env {
	return evidence.Env{Time: at, Binding: evidence.UnboundUnsafe(), Anchors: a}
}

type manifest struct {
	Files []struct {
		Path             string
		VerificationTime *string `json:"verification_time"`
		Expected         any
		VEK              *string
		Roots            string
		Claims           json.RawMessage
	}
	Cases []struct {
		ID, Expect, Class, Report, Roots, Time, Change string
		VEK                                            *string
	}
}

func readManifest(t testing.TB, dir string) (m manifest) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, dir, "MANIFEST.json"), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// applyChange makes the one-step change that a case describes.
func applyChange(t testing.TB, b []byte, change string) []byte {
	t.Helper()
	b = append([]byte(nil), b...)
	var x, at, v uint64
	num := func(s string) uint64 {
		u, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.Fatalf("change %q: %v", change, err)
		}
		return u
	}
	f := strings.Fields(change)
	switch {
	case change == "":
	case strings.HasPrefix(change, "xor "):
		x, at = num(f[1]), num(f[4])
		b[at] ^= byte(x)
	case strings.HasPrefix(change, "set byte"):
		at, v = num(f[4]), num(f[len(f)-1])
		b[at] = byte(v)
	case strings.HasPrefix(change, "set u32"):
		at, v = num(f[4]), num(f[len(f)-1])
		binary.LittleEndian.PutUint32(b[at:], uint32(v))
	case change == "truncate to 1183 bytes":
		b = b[:1183]
	case change == "append one zero byte":
		b = append(b, 0)
	default:
		t.Fatalf("unknown change %q", change)
	}
	return b
}

func endorsements(t testing.TB, dir string, vek *string) [][]byte {
	if vek == nil {
		return nil
	}
	return [][]byte{readFile(t, dir, *vek)}
}

// wantOutcome checks verdict and class.
func wantOutcome(t testing.TB, v *evidence.Verified, err error, class string) {
	t.Helper()
	switch {
	case class == "" && err != nil:
		t.Errorf("refused: %v (%v)", err, fault.ClassOf(err))
	case class == "" && !v.Valid():
		t.Error("no error and nothing verified")
	case class != "" && err == nil:
		t.Errorf("accepted, want class %s", class)
	case class != "" && fault.ClassOf(err).String() != class:
		t.Errorf("class %s, want %s: %v", fault.ClassOf(err), class, err)
	case class != "" && v != nil:
		t.Error("a result beside an error")
	}
}

func TestManifestCases(t *testing.T) {
	dir := filepath.Join(vectorDir(t), "snp")
	d := newDriver(t)
	for _, c := range readManifest(t, dir).Cases {
		t.Run(c.ID, func(t *testing.T) {
			ev := evidence.Evidence{Data: applyChange(t, readFile(t, dir, c.Report), c.Change), Endorsements: endorsements(t, dir, c.VEK)}
			explicit := onlyRoots(t, rootsFrom(t, readFile(t, dir, c.Roots))...)
			for range 2 { // cold, then warm
				v, err := d.Authenticate(context.Background(), ev, unbound(parseTime(t, c.Time), explicit))
				wantOutcome(t, v, err, c.Class)
			}
			if strings.Contains(c.ID, "roots") {
				return // about the configured roots
			}
			v, err := d.Authenticate(context.Background(), ev, unbound(parseTime(t, c.Time), evidence.BuiltinAnchors()))
			wantOutcome(t, v, err, c.Class)
		})
	}
}

func TestManifestReports(t *testing.T) {
	dir := filepath.Join(vectorDir(t), "snp")
	d := newDriver(t)
	for _, f := range readManifest(t, dir).Files {
		if !strings.HasPrefix(f.Path, "reports/") {
			continue
		}
		t.Run(f.Path, func(t *testing.T) {
			raw := readFile(t, dir, f.Path)
			r, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if string(r.AppendTo(nil)) != string(raw) {
				t.Error("the report does not round-trip")
			}
			class := ""
			if f.Expected == "unavailable" {
				class = "unavailable"
			}
			v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: raw, Endorsements: endorsements(t, dir, f.VEK)},
				unbound(parseTime(t, *f.VerificationTime), evidence.BuiltinAnchors()))
			wantOutcome(t, v, err, class)
			var want map[string]any
			if err := json.Unmarshal(f.Claims, &want); err != nil {
				t.Fatal(err)
			}
			i, err := d.Inspect(evidence.Evidence{Data: raw})
			if err != nil {
				t.Fatal(err)
			}
			compareClaims(t, i.Claims, want)
			if v.Valid() {
				compareClaims(t, v.Claims(), want)
			}
		})
	}
}

// compareClaims holds our claims against those of the manifest, which has other spellings for some.
func compareClaims(t *testing.T, got claim.Object, want map[string]any) {
	t.Helper()
	member := func(path ...string) string {
		n := claim.O(got...)
		for _, p := range path {
			var ok bool
			if n, ok = n.Object().Get(p); !ok {
				t.Fatalf("no claim %v", path)
			}
		}
		return n.String()
	}
	checked := 0
	check := func(name, got string) {
		if w, ok := want[name]; ok {
			checked++
			if fmt.Sprint(w) != got {
				t.Errorf("%s is %s, want %v", name, got, w)
			}
		}
	}
	for _, name := range []string{"version", "guest_svn", "vmpl", "measurement", "report_data", "host_data", "id_key_digest", "author_key_digest", "family_id",
		"image_id", "report_id", "chip_id", "current_version", "committed_version"} {
		check(name, member(name))
	}
	for _, name := range []string{"current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"} {
		check(name, member(name, "raw"))
	}
	check("debug_allowed", member("policy", "debug"))
	for _, name := range []string{"policy", "platform_info"} {
		u, _ := strconv.ParseUint(member(name, "raw"), 10, 64)
		check(name, fmt.Sprintf("%#x", u))
	}
	if checked < 20 {
		t.Errorf("only %d claims compared", checked)
	}
	if parts, ok := want["reported_tcb_parts"].(map[string]any); ok && len(mustGet(t, got, "reported_tcb").Object()) > 1 {
		for theirs, ours := range map[string]string{"bl": "bootloader", "tee": "tee", "snp": "snp", "ucode": "microcode"} {
			if w := fmt.Sprint(parts[theirs]); w != member("reported_tcb", ours) {
				t.Errorf("reported_tcb.%s is %s, want %s", ours, member("reported_tcb", ours), w)
			}
		}
	}
}

func mustGet(t testing.TB, o claim.Object, name string) claim.Node {
	t.Helper()
	n, ok := o.Get(name)
	if !ok {
		t.Fatalf("no claim %s", name)
	}
	return n
}
