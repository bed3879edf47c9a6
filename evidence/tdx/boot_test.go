package tdx_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator/intel"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func at(tb testing.TB, v *evidence.Verified, path ...string) claim.Node {
	tb.Helper()
	n := claim.O(v.Claims()...)
	for _, p := range path {
		var ok bool
		if n, ok = n.Object().Get(p); !ok {
			tb.Fatalf("no claim %v", path)
		}
	}
	return n
}

// A TD that booted with a log, as its guest sends it to a KBS: what the log says becomes claims where digests cover it,
// and nothing when the log is not the one that was measured.
func TestBootOfASimulatedGuest(t *testing.T) {
	w := must[*intel.World](t)(intel.New(intel.Config{Clock: func() time.Time { return now }}))
	m := must[*intel.Machine](t)(w.NewMachine(intel.MachineConfig{}))
	env := evidence.Env{Time: now, Binding: must[evidence.Binding](t)(evidence.ExpectFit(make([]byte, 48))), Anchors: must[*evidence.Anchors](t)(evidence.NewAnchors(w.Anchors())),
		Collateral: must[*intel.Collateral](t)(m.Collateral(true, intel.CollateralOptions{}))}
	d := must[*tdx.Driver](t)(tdx.New(tdx.Config{}))
	for name, tc := range map[string]struct {
		change func(l *intel.Log) // what a liar appends, without having measured it
		class  string
	}{
		"honest":                         {nil, ""},
		"runtime event":                  {func(l *intel.Log) { l.Runtime("example.org", "PullImage", `{"image":"x"}`) }, ""},
		"an event that nobody measured":  {func(l *intel.Log) { l.Append(3, 0x0d, make([]byte, 48), []byte("grub_cmd evil\x00")) }, "binding"},
		"an event outside the registers": {func(l *intel.Log) { l.Append(9, 0x80000003, make([]byte, 48), nil) }, "binding"},
		"an unmeasured remark":           {func(l *intel.Log) { l.Append(0, 0x03, make([]byte, 48), []byte("no action")) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := m.Launch(intel.GuestConfig{Boot: &intel.BootConfig{Firmware: []byte("fw"), Kernel: []byte("kernel"), Initrd: []byte("initrd"), Cmdline: "root=/dev/vda1 quiet", SecureBoot: true}})
			if tc.change != nil {
				tc.change(g.Log)
			}
			ev := must[evidence.Evidence](t)(g.Evidence(context.Background(), make([]byte, 48)))
			kbs, err := attester.KBSEvidence(ev)
			if err != nil {
				t.Fatal(err)
			}
			v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: kbs}, env)
			if tc.class != "" {
				if err == nil || fault.ClassOf(err).String() != tc.class {
					t.Fatalf("%v, want class %s", err, tc.class)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := at(t, v, "boot", "kernel_cmdline").Text(); got != "/boot/vmlinuz root=/dev/vda1 quiet" {
				t.Errorf("kernel_cmdline %q", got)
			}
			if !at(t, v, "boot", "secure_boot").Bool() || len(at(t, v, "boot", "applications").List()) != 1 || len(at(t, v, "boot", "tagged").List()) != 1 {
				t.Errorf("boot %s", at(t, v, "boot"))
			}
			if slices.ContainsFunc(at(t, v, "boot", "events").List(), func(n claim.Node) bool { ty, _ := n.Object().Get("type"); return ty.Text() == "EV_NO_ACTION" }) {
				t.Error("an unmeasured event became a claim")
			}
			if n := len(at(t, v, "boot", "runtime").List()); (name == "runtime event") != (n == 1) {
				t.Errorf("%d runtime events", n)
			}
			// Without the log there is nothing to say about the boot.
			v = must[*evidence.Verified](t)(d.Authenticate(context.Background(), evidence.Evidence{Data: ev.Data}, env))
			if _, ok := v.Claims().Get("boot"); ok {
				t.Error("claims about the boot without a log")
			}
		})
	}
}
