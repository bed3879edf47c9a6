package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// A publisher's statement is submitted, listed, read and revoked; a stranger's is refused when it is submitted.
func TestStatementsOfAServer(t *testing.T) {
	dir := t.TempDir()
	path := func(n string) string { return filepath.Join(dir, n) }
	a := &app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, now: time.Now}
	assay := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := run(t.Context(), args, strings.NewReader(""), &out, &out, func(string) string { return "" })
		return code, out.String()
	}
	digest := strings.Repeat("ab", 48)
	for _, args := range [][]string{
		{"key", "generate", "-o", path("publisher.key")}, {"key", "generate", "-o", path("stranger.key")},
		{"corim", "create", "--id", "fw", "--expect", "measurement=" + digest, "-o", path("fw.cbor")},
		{"corim", "sign", path("fw.cbor"), "--key", path("publisher.key"), "--name", "Example", "-o", path("fw.corim")},
		{"corim", "sign", path("fw.cbor"), "--key", path("stranger.key"), "--name", "Example", "-o", path("fake.corim")},
	} {
		if code, out := assay(args...); code != 0 {
			t.Fatalf("%v: %d %s", args, code, out)
		}
	}
	c := defaultServeConfig(a.getenv)
	c.State, c.Offline, c.Anchors = path("state"), true, []string{path("publisher.key.pub")}
	b, err := a.newBroker(t.Context(), c, slog.New(slog.DiscardHandler))
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.serve(ctx, l) }()
	defer func() { stop(); <-done }()
	admin := func(args ...string) (int, string) {
		return assay(append(append([]string{"statement"}, args...), "--server", "http://"+l.Addr().String(), "--token-file", path("state/admin.token"))...)
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"nothing yet", []string{"list"}, 0, ""},
		{"a stranger's", []string{"submit", "fw", path("fake.corim")}, fault.Signature.ExitCode(), "no anchored key"},
		{"an unsigned one", []string{"submit", "fw", path("fw.cbor")}, fault.Malformed.ExitCode(), ""},
		{"a stranger's on trial", []string{"submit", "fw", path("fake.corim"), "--dry-run"}, fault.Signature.ExitCode(), "no anchored key"},
		{"the publisher's on trial", []string{"submit", "fw", path("fw.corim"), "--dry-run"}, 0, "nothing was stored"},
		{"which stored nothing", []string{"show", "fw"}, fault.Denied.ExitCode(), "nothing is stored"},
		{"the publisher's", []string{"submit", "fw", path("fw.corim")}, 0, "statement/fw version 1"},
		{"listed", []string{"list"}, 0, "statement/fw"},
		{"shown to people", []string{"show", "fw"}, 0, `CoMID "fw"`},
		{"shown as a template", []string{"show", "fw", "--format", "json"}, 0, `"fw"`},
		{"as stored", []string{"show", "fw", "-o", path("again.corim")}, 0, ""},
		{"revoked", []string{"revoke", "fw"}, 0, ""},
		{"gone", []string{"show", "fw"}, fault.Denied.ExitCode(), "nothing is stored"},
	} {
		code, out := admin(tc.args...)
		if code != tc.code || !strings.Contains(out, tc.says) {
			t.Errorf("%s: exit %d %q, want %d and %q", tc.name, code, out, tc.code, tc.says)
		}
	}
	if code, out := admin("submit", "fw", path("fw.corim")); code != 0 {
		t.Fatal(out)
	}
	if code, out := assay("sim", "snp", path("guest"), "--key-bits", "2048", "--measurement", digest); code != 0 {
		t.Fatal(out)
	}
	must(t, os.WriteFile(path("stricter.rego"), []byte("package assay.extra\n\ndeny contains \"no guests today\"\n"), 0o600))
	code, out := assay("policy", "test", "--policy", path("stricter.rego"), "--evidence", path("guest"), "--anchor", path("publisher.key.pub"), "--anchor", path("guest/ark.pem"),
		"--insecure-simulator", "--from-server", "--server", "http://"+l.Addr().String(), "--token-file", path("state/admin.token"))
	if code != exitNotAffirming || !strings.Contains(out, "affirming → contraindicated") {
		t.Errorf("with what is stored: exit %d %s", code, out)
	}
	stored, _ := os.ReadFile(path("again.corim"))
	sent, _ := os.ReadFile(path("fw.corim"))
	if len(sent) == 0 || !bytes.Equal(stored, sent) {
		t.Error("what was read is not what was submitted")
	}
}
