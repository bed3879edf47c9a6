package collateral_test

import (
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func chip(t *testing.T) *simulator.Chip {
	t.Helper()
	a, err := simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return start }, KeyBits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.NewChip(simulator.Milan)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// vcekOf is the request for the VCEK of c, and the answer.
func vcekOf(t *testing.T, c *simulator.Chip) (evidence.Request, []byte) {
	t.Helper()
	der, err := c.VCEKWith(c.TCB, simulator.VEKOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return evidence.Request{Service: kds.Service, Path: "/vcek/v1/Milan/" + hex.EncodeToString(c.HWID()) + "?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219"}, der
}

func write(t *testing.T, b []byte, elem ...string) string {
	t.Helper()
	name := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func load(t *testing.T, paths ...string) *collateral.Files {
	t.Helper()
	f, err := collateral.LoadFiles(paths)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFilesAreGivenAsTheyAre(t *testing.T) {
	_, der := vcekOf(t, chip(t))
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	dir := t.TempDir()
	table := simulator.CertTable(simulator.VEKEntry(false, der))
	paths := []string{write(t, der, dir, "a.der"), write(t, asPEM, dir, "b.pem"), write(t, []byte(" {\"x\":1}"), dir, "c.json"), write(t, table, dir, "d.bin")}
	want := [][]byte{der, asPEM, []byte(" {\"x\":1}"), table}
	if diff := cmp.Diff(want, load(t, paths...).Given()); diff != "" {
		t.Error(diff)
	}
	write(t, []byte("this directory holds certificates"), dir, "README")
	write(t, der, dir, ".hidden.der")
	write(t, der, dir, "deeper", "x.der")
	if diff := cmp.Diff(want, load(t, dir).Given()); diff != "" {
		t.Errorf("of a directory: %s", diff)
	}
}

func TestFilesThatCannotBeCollateralAreRefused(t *testing.T) {
	dir := t.TempDir()
	big := write(t, append([]byte("{"), make([]byte, 4<<20)...), dir, "big", "x.json")
	many := t.TempDir()
	for i := range 257 {
		write(t, []byte("{}"), many, hex.EncodeToString([]byte{byte(i >> 8), byte(i)}))
	}
	for _, tc := range []struct {
		name, path string
		class      fault.Class
	}{
		{"nothing there", filepath.Join(dir, "none"), fault.Usage},
		{"text", write(t, []byte("hello"), dir, "text"), fault.Malformed},
		{"empty", write(t, nil, dir, "empty"), fault.Malformed},
		{"too big", big, fault.Malformed},
		{"a directory with too many", many, fault.Usage},
	} {
		if _, err := collateral.LoadFiles([]string{tc.path}); !fault.Is(err, tc.class) {
			t.Errorf("%s: class %v, want %v: %v", tc.name, fault.ClassOf(err), tc.class, err)
		}
	}
}

func TestADirectoryAnswersByRequest(t *testing.T) {
	dir := t.TempDir()
	d, err := collateral.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	req, der := vcekOf(t, chip(t))
	pcs := evidence.Request{Service: "intel-pcs", Path: "https://certificates.example/../x?fmspc=00906ED50000&update=early"}
	answers := map[evidence.Request]evidence.Response{
		req: {Body: der},
		{Service: kds.Service, Path: "/vcek/v1/Milan/crl"}: {Body: []byte("list")},
		pcs: {Body: []byte("{}"), IssuerChain: []byte("chain")},
	}
	for req, r := range answers {
		if err := d.Put(req, r, start); err != nil {
			t.Fatal(err)
		}
	}
	f := load(t, dir)
	for req, want := range answers {
		got, err := f.Get(context.Background(), req)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", req.Path, err, diff)
		}
	}
	spelled := req
	spelled.Path = strings.Replace(req.Path, "blSPL=4&teeSPL=0&", "", 1) + "&teeSPL=00&blSPL=04"
	if got, err := f.Get(context.Background(), spelled); err != nil || string(got.Body) != string(der) {
		t.Errorf("the same request in another spelling: %v", err)
	}
	if _, err := f.Get(context.Background(), evidence.Request{Service: kds.Service, Path: "/vcek/v1/Genoa/crl"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("what is not there: %v", err)
	}
	if err := d.Put(pcs, evidence.Response{Body: []byte("[]")}, start); err != nil {
		t.Fatal(err)
	}
	if got, _, err := d.Get(pcs); err != nil || got.IssuerChain != nil {
		t.Errorf("the chain of an older answer stayed: %q, %v", got.IssuerChain, err)
	}
}

// Requests are made by drivers and, through proxies, by strangers: no path may leave the directory.
func TestNoRequestLeavesTheDirectory(t *testing.T) {
	parent := t.TempDir()
	write(t, []byte("secret"), parent, "secret.body")
	dir := filepath.Join(parent, "in")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(parent, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	d, err := collateral.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, req := range []evidence.Request{
		{Service: "..", Path: "secret"}, {Service: "link", Path: "secret"}, {Service: "x", Path: "../../secret"}, {Service: "x", Path: "..\x00/secret"},
		{Service: "", Path: "secret"}, {Service: "x", Path: ""}, {Service: "x", Path: strings.Repeat("a/", 20)}, {Service: "x", Path: strings.Repeat("a", 500)},
		{Service: ".", Path: "../secret"},
	} {
		if r, _, err := d.Get(req); err == nil {
			t.Errorf("%q: read %q", req, r.Body)
		}
		if err := d.Put(req, evidence.Response{Body: []byte("written")}, start); err == nil {
			if r, _, err := d.Get(req); err != nil || string(r.Body) != "written" {
				t.Errorf("%q: %v", req, err)
			}
		}
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(parent, "secret.body")); len(entries) != 2 || err != nil || string(b) != "secret" {
		t.Errorf("the directory was left: %v, %q", entries, b)
	}
}

func TestTrusteesOfflineStore(t *testing.T) {
	c := chip(t)
	req, der := vcekOf(t, c)
	other := chip(t)
	_, foreign := vcekOf(t, other)
	id := hex.EncodeToString(c.HWID())
	for _, tc := range []struct {
		name, file string
		body       []byte
		ok         bool
	}{
		{"by TCB", "bl04_tee00_snp24_ucode219_vcek.der", der, true},
		{"the only one", "vcek.der", der, true},
		{"of another TCB", "bl05_tee00_snp24_ucode219_vcek.der", der, false},
		{"of another chip", "vcek.der", foreign, false},
		{"no certificate", "vcek.der", []byte("x"), false},
	} {
		dir := t.TempDir()
		write(t, tc.body, dir, "vcek", id, tc.file)
		r, err := load(t, dir).Get(context.Background(), req)
		if (err == nil) != tc.ok || tc.ok && string(r.Body) != string(der) || !tc.ok && !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// source is a fake origin.
type source struct {
	given [][]byte
	get   func(context.Context, evidence.Request) (evidence.Response, error)
}

func (s source) Given() [][]byte { return s.given }
func (s source) Get(ctx context.Context, r evidence.Request) (evidence.Response, error) {
	return s.get(ctx, r)
}

func TestChain(t *testing.T) {
	answer := func(body string, err error) source {
		return source{[][]byte{[]byte(body)}, func(context.Context, evidence.Request) (evidence.Response, error) {
			return evidence.Response{Body: []byte(body)}, err
		}}
	}
	none, broken := fault.New(fault.Unavailable, "none here"), fault.New(fault.Malformed, "broken")
	for _, tc := range []struct {
		name  string
		chain collateral.Chain
		body  string
		class fault.Class
	}{
		{"the first that answers", collateral.Chain{answer("a", none), answer("b", nil), answer("c", nil)}, "b", 0},
		{"nobody", collateral.Chain{answer("a", none), collateral.Offline{}}, "", fault.Unavailable},
		{"an error that is no absence", collateral.Chain{answer("a", broken), answer("b", nil)}, "", fault.Malformed},
		{"empty", nil, "", fault.Unavailable},
	} {
		r, err := tc.chain.Get(context.Background(), evidence.Request{Service: "s", Path: "/p"})
		if tc.body != "" && (err != nil || string(r.Body) != tc.body) || tc.body == "" && !fault.Is(err, tc.class) {
			t.Errorf("%s: %q, %v", tc.name, r.Body, err)
		}
	}
	if diff := cmp.Diff([][]byte{[]byte("a"), []byte("b")}, collateral.Chain{answer("a", nil), answer("b", nil)}.Given()); diff != "" {
		t.Error(diff)
	}
}

func TestOfflineNamesWhatIsMissing(t *testing.T) {
	_, err := collateral.Chain{load(t), collateral.Offline{}}.Get(context.Background(), evidence.Request{Service: kds.Service, Path: "/vcek/v1/Milan/crl"})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "/vcek/v1/Milan/crl") || !strings.Contains(err.Error(), "--collateral") {
		t.Error(err)
	}
}

// Offline never opens a socket. The sources themselves cannot: none of them imports a package that could. And while a
// chain that ends in Offline is asked, nobody dials through the transports that other packages might use.
func TestOfflineOpensNoConnection(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if p := strings.Trim(i.Path.Value, `"`); p == "net" || strings.HasPrefix(p, "net/") || p == "syscall" || strings.HasSuffix(p, "/httpx") {
				t.Errorf("%s imports %s: only the clients of services open connections", name, p)
			}
		}
	}
	refuse := func(context.Context, string, string) (net.Conn, error) {
		t.Error("a connection was opened")
		return nil, errors.New("no connections in this test")
	}
	old := http.DefaultTransport
	http.DefaultTransport = &http.Transport{DialContext: refuse}
	resolver := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: refuse}
	defer func() { http.DefaultTransport, net.DefaultResolver = old, resolver }()

	req, _ := vcekOf(t, chip(t))
	cache, err := collateral.NewCache(collateral.CacheConfig{Origin: collateral.Offline{}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	chain := collateral.Chain{load(t, t.TempDir()), cache, collateral.Offline{}}
	for range 3 {
		if _, err := chain.Get(context.Background(), req); !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
	}
}
