package attester_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

func guest(t *testing.T, cfg simulator.GuestConfig) *simulator.Guest {
	t.Helper()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	a, err := simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, KeyBits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.NewChip(simulator.Milan)
	if err != nil {
		t.Fatal(err)
	}
	g, err := c.Launch(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func level(v uint8) *uint8 { return &v }

func TestEvidenceCarriesTheReportDataAndTheCertificates(t *testing.T) {
	tsm := guest(t, simulator.GuestConfig{}).TSM()
	c, err := attester.NewConfigFS(attester.ConfigFSConfig{FS: tsm, PrivLevel: level(2)})
	if err != nil {
		t.Fatal(err)
	}
	if c.TEE() != "snp" {
		t.Errorf("TEE is %q", c.TEE())
	}
	digest := bytes.Repeat([]byte{7}, 48)
	ev, err := c.Evidence(context.Background(), digest)
	if err != nil {
		t.Fatal(err)
	}
	if ev.TEE != "snp" || len(ev.Data) != 1184 || len(ev.Aux) == 0 {
		t.Fatalf("%s evidence of %d bytes with %d bytes beside it", ev.TEE, len(ev.Data), len(ev.Aux))
	}
	if want := append(bytes.Clone(digest), make([]byte, 16)...); !bytes.Equal(ev.Data[0x50:0x90], want) {
		t.Errorf("REPORT_DATA is %x, want the digest padded with zeros", ev.Data[0x50:0x90])
	}
	if ev.Data[0x30] != 2 {
		t.Errorf("VMPL is %d, 2 was asked for", ev.Data[0x30])
	}
	if tsm.Entries() != 0 {
		t.Errorf("%d entries were left behind", tsm.Entries())
	}
}

func TestDisturbedRequestsAreThrownAway(t *testing.T) {
	data := bytes.Repeat([]byte{9}, 64)
	for _, tc := range []struct {
		name     string
		prepare  func(*simulator.TSM)
		requests int
		class    fault.Class
		ok       bool
	}{
		{"another writer, twice", func(s *simulator.TSM) { s.Disturb(2) }, 3, 0, true},
		{"another writer, always", func(s *simulator.TSM) { s.Disturb(1000) }, 5, fault.Unavailable, false},
		{"busy once", func(s *simulator.TSM) { s.Fail(syscall.EBUSY) }, 2, 0, true},
		{"would block once", func(s *simulator.TSM) { s.Fail(syscall.EWOULDBLOCK) }, 2, 0, true},
		{"key disabled: no second request", func(s *simulator.TSM) { s.Fail(syscall.ENOTTY, nil) }, 1, fault.Unsupported, false},
		{"any other error: no second request", func(s *simulator.TSM) { s.Fail(syscall.EIO, nil) }, 1, fault.Internal, false},
		{"blob too big", func(s *simulator.TSM) { s.Fail(syscall.EFBIG, nil) }, 1, fault.Unsupported, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tsm := guest(t, simulator.GuestConfig{}).TSM()
			c, err := attester.NewConfigFS(attester.ConfigFSConfig{FS: tsm})
			if err != nil {
				t.Fatal(err)
			}
			tc.prepare(tsm)
			ev, err := c.Evidence(context.Background(), data)
			switch {
			case tc.ok && err != nil:
				t.Error(err)
			case tc.ok && !bytes.Equal(ev.Data[0x50:0x90], data):
				t.Error("evidence over the other writer's data came through")
			case !tc.ok && !fault.Is(err, tc.class):
				t.Errorf("class %v, want %v: %v", fault.ClassOf(err), tc.class, err)
			}
			if tsm.Requests() != tc.requests || tsm.Entries() != 0 {
				t.Errorf("%d requests (want %d), %d entries left behind", tsm.Requests(), tc.requests, tsm.Entries())
			}
		})
	}
}

func TestWhatCannotBeAskedIsRefusedBeforeAnyRequest(t *testing.T) {
	data := make([]byte, 64)
	tsm := guest(t, simulator.GuestConfig{VMPL: 2}).TSM()
	for _, tc := range []struct {
		name  string
		level *uint8
		data  []byte
		class fault.Class
	}{
		{"more privileged than the guest", level(1), data, fault.Unsupported},
		{"no data", nil, nil, fault.Usage},
		{"too short for a nonce", nil, data[:15], fault.Usage},
		{"longer than the field", nil, make([]byte, 65), fault.Usage},
	} {
		c, err := attester.NewConfigFS(attester.ConfigFSConfig{FS: tsm, PrivLevel: tc.level})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Evidence(context.Background(), tc.data); !fault.Is(err, tc.class) {
			t.Errorf("%s: class %v, want %v: %v", tc.name, fault.ClassOf(err), tc.class, err)
		}
	}
	if _, err := attester.NewConfigFS(attester.ConfigFSConfig{FS: tsm, PrivLevel: level(4)}); !fault.Is(err, fault.Usage) {
		t.Errorf("VMPL 4: %v", err)
	}
	if tsm.Requests() != 0 {
		t.Errorf("firmware was asked %d times", tsm.Requests())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c, err := attester.NewConfigFS(attester.ConfigFSConfig{FS: tsm})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Evidence(ctx, data); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAMachineWithoutConfigFSIsUnsupported(t *testing.T) {
	if _, err := attester.NewConfigFS(attester.ConfigFSConfig{Root: filepath.Join(t.TempDir(), "tsm", "report")}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("no configfs: %v", err)
	}
	if _, err := attester.NewConfigFS(attester.ConfigFSConfig{FS: brokenFS{syscall.ENXIO}}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("no provider: %v", err)
	}
	if _, err := attester.NewConfigFS(attester.ConfigFSConfig{FS: brokenFS{syscall.EACCES}}); !fault.Is(err, fault.Internal) {
		t.Errorf("no permission: %v", err)
	}
}

// brokenFS refuses to make entries.
type brokenFS struct{ err error }

func (b brokenFS) Mkdir(dir string) error               { return &fs.PathError{Op: "mkdir", Path: dir, Err: b.err} }
func (b brokenFS) Remove(string) error                  { return b.err }
func (b brokenFS) ReadFile(string, int) ([]byte, error) { return nil, b.err }
func (b brokenFS) WriteFile(string, []byte) error       { return b.err }

// The file system of the machine reads with a limit and never creates an attribute.
func TestOSReadsBoundedAndWritesOnlyWhatIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "entry")
	var f attester.OS
	if err := f.Mkdir(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "inblob")
	if err := f.WriteFile(name, []byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("write to what is not there: %v", err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteFile(name, []byte("123456789")); err != nil {
		t.Error(err)
	}
	if b, err := f.ReadFile(name, 4); err != nil || string(b) != "12345" {
		t.Errorf("read %q, %v; the limit and one more byte expected", b, err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(dir); err != nil {
		t.Error(err)
	}
}
