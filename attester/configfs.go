package attester

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// DefaultRoot is where Linux shows configfs-tsm (ABI document configfs-tsm-report).
const DefaultRoot = "/sys/kernel/config/tsm/report"

// Limits on what the kernel hands over (tsm-tpm.md section 1), and on how often a disturbed request is made again.
const (
	maxOutblob  = 16 << 20
	maxAuxblob  = 64 << 10
	maxText     = 4096
	maxAttempts = 5
	fieldSize   = 64 // inblob of all providers
	minData     = 16 // shorter report data cannot carry a nonce
)

// ConfigFSConfig says where the kernel's interface is and what to ask of it.
type ConfigFSConfig struct {
	// Root is the directory in which entries are made; "" is [DefaultRoot].
	Root string
	// FS is the file system that Root is in; nil is the machine's own. The simulator gives another.
	FS FS
	// PrivLevel is the SNP VMPL to ask for, 0 to 3; nil leaves the choice to the kernel.
	PrivLevel *uint8
}

// ConfigFS asks the Linux kernel for evidence through configfs-tsm.
type ConfigFS struct {
	root      string
	fs        FS
	privLevel *uint8
	provider  provider
}

// provider is a kernel driver behind configfs-tsm.
type provider struct {
	name   string
	tee    string
	format string // evidence.Evidence.Format
}

var providers = [...]provider{
	{"sev_guest", "snp", "report"},
	{"tdx_guest", "tdx", ""},
	{"arm_cca_guest", "cca", ""},
}

// NewConfigFS finds out which provider there is. On a machine without one it fails with class unsupported.
func NewConfigFS(cfg ConfigFSConfig) (*ConfigFS, error) {
	c := &ConfigFS{root: cfg.Root, fs: cfg.FS, privLevel: cfg.PrivLevel}
	if c.root == "" {
		c.root = DefaultRoot
	}
	if c.fs == nil {
		c.fs = OS{}
	}
	if c.privLevel != nil && *c.privLevel > 3 {
		return nil, fault.New(fault.Usage, "VMPL %d does not exist; there are 0 to 3", *c.privLevel)
	}
	err := c.withEntry(func(e *entry) error {
		var err error
		c.provider, err = e.provider()
		return err
	})
	if err != nil {
		return nil, err
	}
	if c.privLevel != nil && c.provider.tee != "snp" {
		return nil, fault.New(fault.Unsupported, "a VMPL can be asked for on SNP only, this is %s", c.provider.name)
	}
	return c, nil
}

// TEE implements [Attester].
func (c *ConfigFS) TEE() string { return c.provider.tee }

// Evidence implements [Attester]. A request that another writer has disturbed, or that finds the driver busy, is made
// again from the start a few times.
func (c *ConfigFS) Evidence(ctx context.Context, reportData []byte) (evidence.Evidence, error) {
	if len(reportData) < minData || len(reportData) > fieldSize {
		return evidence.Evidence{}, fault.New(fault.Usage, "report data of %d bytes; %d to %d are possible", len(reportData), minData, fieldSize)
	}
	var field [fieldSize]byte
	copy(field[:], reportData)
	var out evidence.Evidence
	var err error
	for range maxAttempts {
		if err = ctx.Err(); err != nil {
			return evidence.Evidence{}, fault.As(fault.Unavailable, err)
		}
		err = c.withEntry(func(e *entry) error {
			var err error
			out, err = e.request(field[:], c.privLevel, c.provider)
			return err
		})
		if err == nil {
			out.EventLog = c.eventLog()
			return out, nil
		}
		if !fault.Is(err, fault.Unavailable) {
			return evidence.Evidence{}, err
		}
	}
	return evidence.Evidence{}, fault.Wrap(err, "after %d attempts", maxAttempts)
}

// ccel is the boot log of a TD as Linux shows it, in an area of some 64 KiB; no Verifier reads more than maxLog.
const (
	ccel   = "/sys/firmware/acpi/tables/data/CCEL"
	maxLog = 2 << 20
)

// eventLog returns the boot log of a TD. Where there is none, or it may not be read, the evidence goes without: nothing
// about it is less true, only nothing is said about the boot.
func (c *ConfigFS) eventLog() []byte {
	if c.provider.tee != "tdx" {
		return nil
	}
	b, err := c.fs.ReadFile(ccel, maxLog)
	if err != nil || len(b) > maxLog {
		return nil
	}
	return b
}

// withEntry makes an entry under a fresh name and removes it again in every case.
func (c *ConfigFS) withEntry(use func(*entry) error) (err error) {
	var id [8]byte
	rand.Read(id[:])
	dir := path.Join(c.root, "assay-"+hex.EncodeToString(id[:]))
	switch err := c.fs.Mkdir(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Unsupported, "%s is not there: this is no confidential guest, or its kernel lacks configfs-tsm (Linux 6.7; load sev-guest, tdx-guest or arm-cca-guest and mount configfs)", c.root)
	case errors.Is(err, syscall.ENXIO):
		return fault.New(fault.Unsupported, "configfs-tsm has no provider: this is no confidential guest, or its guest driver is not loaded")
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Internal, "no permission to ask the kernel for evidence; run as root: %w", err)
	case err != nil:
		return fault.New(fault.Internal, "configfs-tsm: %w", err)
	}
	defer func() {
		if rm := c.fs.Remove(dir); rm != nil && err == nil {
			err = fault.New(fault.Internal, "configfs-tsm: the entry cannot be removed: %w", rm)
		}
	}()
	return use(&entry{fs: c.fs, dir: dir})
}

// entry is one request of configfs-tsm. It counts its writes, because the generation is the only thing that shows
// whether the kernel took them and whether anybody else wrote.
type entry struct {
	fs     FS
	dir    string
	writes uint64
}

// request writes the attributes, inblob last, and reads the blobs; after each read it compares the generation
// (tsm-tpm.md section 1, rules 3 and 4).
func (e *entry) request(field []byte, privLevel *uint8, want provider) (evidence.Evidence, error) {
	var none evidence.Evidence
	start, err := e.generation()
	if err != nil {
		return none, err
	}
	if privLevel != nil {
		if err := e.askLevel(*privLevel); err != nil {
			return none, err
		}
	}
	if err := e.write("inblob", field); err != nil {
		return none, err
	}
	out := evidence.Evidence{TEE: want.tee, Format: want.format}
	if out.Data, err = e.read("outblob", maxOutblob); err != nil {
		return none, err
	}
	if err := e.undisturbed(start); err != nil {
		return none, err
	}
	if out.Aux, err = e.read("auxblob", maxAuxblob); errors.Is(err, fs.ErrNotExist) {
		out.Aux, err = nil, nil // providers without supplementary data have no auxblob
	}
	if err != nil {
		return none, err
	}
	if err := e.undisturbed(start); err != nil {
		return none, err
	}
	if got, err := e.provider(); err != nil {
		return none, err
	} else if got != want {
		return none, fault.New(fault.Internal, "the provider was %s and is now %s", want.name, got.name)
	}
	if len(out.Data) == 0 {
		return none, fault.New(fault.Internal, "the kernel gave an empty report")
	}
	return out, nil
}

// askLevel reads the floor before it writes anything: a level below it can never be had (rule 2).
func (e *entry) askLevel(level uint8) error {
	floor, err := e.number("privlevel_floor")
	if err != nil {
		return err
	}
	if uint64(level) < floor {
		return fault.New(fault.Unsupported, "VMPL %d was asked for, this guest runs at VMPL %d and can ask for no more privileged one", level, floor)
	}
	return e.write("privlevel", []byte(strconv.Itoa(int(level))))
}

func (e *entry) undisturbed(start uint64) error {
	now, err := e.generation()
	if err != nil {
		return err
	}
	if now != start+e.writes {
		return fault.New(fault.Unavailable, "another process wrote to this request (generation %d, expected %d)", now, start+e.writes)
	}
	return nil
}

func (e *entry) generation() (uint64, error) { return e.number("generation") }

func (e *entry) number(name string) (uint64, error) {
	s, err := e.text(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0, fault.New(fault.Internal, "configfs-tsm %s: %w", name, err)
	}
	return n, nil
}

func (e *entry) provider() (provider, error) {
	s, err := e.text("provider")
	if err != nil {
		return provider{}, err
	}
	for _, p := range providers {
		if p.name == s {
			return p, nil
		}
	}
	return provider{}, fault.New(fault.Unsupported, "configfs-tsm provider %q is not known here", s)
}

func (e *entry) text(name string) (string, error) {
	b, err := e.read(name, maxText)
	return strings.TrimSpace(string(b)), err
}

func (e *entry) read(name string, limit int) ([]byte, error) {
	b, err := e.fs.ReadFile(path.Join(e.dir, name), limit)
	if err != nil {
		return nil, classify(name, err)
	}
	if len(b) > limit {
		return nil, fault.New(fault.Internal, "configfs-tsm %s has more than %d bytes", name, limit)
	}
	return b, nil
}

func (e *entry) write(name string, data []byte) error {
	if err := e.fs.WriteFile(path.Join(e.dir, name), data); err != nil {
		return classify(name, err)
	}
	e.writes++
	return nil
}

// classify says what an error of the kernel means (rules 5 and 6). Only a busy driver is worth a retry: after other
// failures the SNP driver disables its key, and more requests would be refused or unsafe.
func classify(name string, err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EWOULDBLOCK):
		return fault.New(fault.Unavailable, "configfs-tsm %s: the driver is busy: %w", name, err)
	case errors.Is(err, syscall.ENOTTY):
		return fault.New(fault.Unsupported, "configfs-tsm %s: the guest driver has disabled its key after a failure; only a reboot brings it back: %w", name, err)
	case errors.Is(err, syscall.EFBIG):
		return fault.New(fault.Unsupported, "configfs-tsm %s: larger than this kernel can hand over: %w", name, err)
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Unsupported, "configfs-tsm has no attribute %s here: %w", name, err)
	}
	return fault.New(fault.Internal, "configfs-tsm %s: %w", name, err)
}
