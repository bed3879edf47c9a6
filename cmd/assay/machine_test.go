package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/release"
)

// An operator finds a machine that was seen twice at a time, looks at it, and clears the alarm.
func TestMachinesOfAServer(t *testing.T) {
	dir := t.TempDir()
	a := &app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, now: time.Now}
	c := defaultServeConfig(a.getenv)
	c.State, c.Offline = filepath.Join(dir, "state"), true
	b, err := a.newBroker(t.Context(), c, slog.New(slog.DiscardHandler))
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.serve(ctx, l) }()
	defer func() { stop(); <-done }()
	const identity = "vm_configuration.vm_unique_id=one\x1b[31m"
	id := registry.MachineID(identity)
	for _, chip := range []string{"c1", "c2"} {
		_, err := b.store.SeeMachine(t.Context(), registry.Seen{Machine: id, Identity: identity, Chip: chip, Boot: "r1", EK: "e1", Tier: "affirming",
			Counters: &registry.Counters{Reset: 3}, Time: time.Now()}, registry.DefaultLive, release.Record{})
		must(t, err)
	}
	for _, tc := range []struct {
		name  string
		args  []string
		code  int
		says  string
		quiet string // what must not be there
	}{
		{"all", []string{"list"}, 0, id + "  clone_two_places  2 boot(s)", "\x1b"},
		{"suspects", []string{"list", "--suspect"}, 0, id, "\x1b"},
		{"the next page", []string{"list", "--after", id}, 0, "", id},
		{"as JSON", []string{"list", "--format", "json"}, 0, `"signal": "clone_two_places"`, "\x1b"},
		{"one", []string{"show", id}, 0, "seen on two chips", "\x1b"},
		{"its counters", []string{"show", id}, 0, "resets 3.0", "\x1b"},
		{"nobody", []string{"show", "nobody"}, fault.Usage.ExitCode(), "no machine", ""},
		{"clear nobody", []string{"clear", "nobody"}, fault.Usage.ExitCode(), "no machine", ""},
		{"clear", []string{"clear", id}, 0, "", ""},
		{"no suspects", []string{"list", "--suspect"}, 0, "", id},
		{"still known", []string{"show", id}, 0, "cleared", "alarm"},
		{"no id", []string{"clear"}, fault.Usage.ExitCode(), "", ""},
	} {
		var out bytes.Buffer
		args := append(append([]string{"machine"}, tc.args...), "--server", "http://"+l.Addr().String(), "--token-file", filepath.Join(c.State, "admin.token"))
		code := run(t.Context(), args, strings.NewReader(""), &out, &out, func(string) string { return "" })
		if code != tc.code || !strings.Contains(out.String(), tc.says) || tc.quiet != "" && strings.Contains(out.String(), tc.quiet) {
			t.Errorf("%s: exit %d %q, want %d and %q", tc.name, code, out.String(), tc.code, tc.says)
		}
	}
}

func TestMachineConfiguration(t *testing.T) {
	for _, tc := range []struct{ name, toml string }{
		{"a life that is none", `machine_live = "soon"`},
		{"a negative one", `machine_live = "-1m"`},
		{"no claim's name", `machine_identity = ["host_data=aa"]`},
	} {
		c := defaultServeConfig(func(string) string { return "" })
		must(t, c.load([]byte(tc.toml)))
		c.State, c.Offline = t.TempDir(), true
		a := &app{ctx: t.Context(), stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, now: time.Now}
		if _, err := a.newBroker(t.Context(), c, slog.New(slog.DiscardHandler)); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
