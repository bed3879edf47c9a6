// Package pcr predicts PCR 0 to 15 of a UEFI boot, as a TPM or a paravisor's vTPM holds them (TCG PC Client Platform Firmware
// Profile 1.06; specs measure.md section 21).
package pcr

import (
	"crypto/sha1" // the bank exists, and logs are replayed in every bank
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/uefi"
)

// Bank is a hash algorithm of a TPM's registers.
type Bank struct {
	Name string // "sha256"
	ID   uint16 // TCG algorithm id
	New  func() hash.Hash
}

// Banks lists the banks that are known.
func Banks() []Bank {
	return []Bank{{"sha256", uefi.AlgSHA256, sha256.New}, {"sha384", uefi.AlgSHA384, sha512.New384}, {"sha512", uefi.AlgSHA512, sha512.New}, {"sha1", uefi.AlgSHA1, sha1.New}}
}

// ParseBank finds a bank by name.
func ParseBank(name string) (Bank, error) {
	for _, b := range Banks() {
		if b.Name == name {
			return b, nil
		}
	}
	return Bank{}, fault.New(fault.Usage, "bank %q: sha256, sha384, sha512 or sha1", name)
}

// Registers is how many PCRs are predicted: 16 to 23 can be reset, and are no evidence of a boot.
const Registers = 16

// Event is one extension of a PCR.
type Event struct {
	PCR    int
	Type   uefi.EventType
	Digest []byte // in the bank
	What   string
	Source string
}

// Replay extends the PCRs. They start at zero, PCR 0 with the locality at which the TPM was started in its last byte.
func Replay(b Bank, locality byte, events []Event) ([Registers][]byte, []measure.Step, error) {
	var out [Registers][]byte
	size := b.New().Size()
	for i := range out {
		out[i] = make([]byte, size)
	}
	out[0][size-1] = locality
	var steps []measure.Step
	for i, e := range events {
		if e.PCR < 0 || e.PCR >= Registers || len(e.Digest) != size {
			return out, nil, fault.New(fault.Malformed, "event %d extends PCR %d with %d bytes; PCR 0 to 15 and %d bytes are predicted", i, e.PCR, len(e.Digest), size)
		}
		h := b.New()
		h.Write(out[e.PCR])
		h.Write(e.Digest)
		out[e.PCR] = h.Sum(nil)
		steps = append(steps, measure.Step{What: e.What, Kind: fmt.Sprintf("PCR%d %v", e.PCR, e.Type), Digest: fmt.Sprintf("%x", e.Digest), After: fmt.Sprintf("%x", out[e.PCR]), Note: e.Source})
	}
	return out, steps, nil
}

// FromLog takes the events of a reference log in bank b, and the locality that it tells. Events of PCR 16 and above are left out.
func FromLog(b Bank, log []uefi.Event) (events []Event, locality byte, err error) {
	for i, e := range log {
		if e.Type == uefi.EvNoAction {
			const name = "StartupLocality\x00"
			if e.Index == 0 && len(e.Data) == len(name)+1 && string(e.Data[:len(name)]) == name {
				locality = e.Data[len(name)]
			}
			continue // never extended
		}
		d, ok := e.Digests[b.ID]
		if !ok {
			return nil, 0, fault.New(fault.Unsupported, "event %d of the log has no %s digest", i, b.Name)
		}
		if e.Index < Registers {
			events = append(events, Event{int(e.Index), e.Type, d, e.Type.String(), "reference log"})
		}
	}
	return events, locality, nil
}

// Boot is a UEFI boot, as far as it is known. What is not given is left out; a PCR of which something is left out is not
// what a TPM will hold, so [Boot.Events] also says which PCRs are whole.
type Boot struct {
	Bank Bank
	// CRTMVersion is the firmware's version string (PCR 0), and Blobs are firmware volumes; GCE adds NonHostInfo.
	CRTMVersion   string
	Blobs         [][]byte
	GCETechnology *uint32 // confidential technology of GCE's NonHostInfo event: 0 none, 1 SEV, 2 SEV-ES, 4 SEV-SNP
	// Config are events of PCR 1 before the boot variables, as data (fw_cfg ACPI files).
	Config      [][]byte
	BootOrder   []byte
	BootOptions [][]byte
	// Variables are the Secure Boot variables, and Authorities the entries of db that verified images (PCR 7).
	Variables   []uefi.Variable
	Authorities []uefi.Variable
	GPT         []byte // data of the GPT event (PCR 5)
	Images      [][]byte
	UKI         *linux.PE
	// StubCommandLine is a command line that overrides that of the unified kernel image (PCR 12).
	StubCommandLine *string
	Credentials     [][]byte // cpio archives (PCR 12)
	Extensions      [][]byte // cpio archives (PCR 13)
	Phases          []string // of systemd: enter-initrd, leave-initrd, sysinit, ready (PCR 11)
	GRUBCommands    []string // PCR 8, without "grub_cmd: "
	GRUBFiles       [][]byte // PCR 9
	MOK             [][]byte // shim's MokList, MokListX, MokListTrusted as measured (PCR 14)
	LoadOptions     *string  // command line as the Linux EFI stub measures it (PCR 9)
	Initrd          []byte   // PCR 9
	HasInitrd       bool
	// ExitFailedOnce: the kernel's first attempt to leave boot services failed and was logged, as on some GCE guests (PCR 5).
	ExitFailedOnce bool
}

func (b *Boot) sum(data []byte) []byte {
	h := b.Bank.New()
	h.Write(data)
	return h.Sum(nil)
}

// Events lists the extensions in the order of a boot, and the PCRs that something was given for or that a boot always
// fills in the same way.
func (b *Boot) Events() ([]Event, []int, error) {
	var out []Event
	add := func(pcr int, t uefi.EventType, what string, data []byte) {
		out = append(out, Event{pcr, t, b.sum(data), what, "computed"})
	}
	if b.CRTMVersion != "" {
		add(0, uefi.EvSCRTMVersion, "firmware version", append(uefi.UTF16(b.CRTMVersion), 0, 0))
	}
	if t := b.GCETechnology; t != nil {
		info := binary.LittleEndian.AppendUint32([]byte("GCE NonHostInfo\x00"), *t)
		add(0, 0x11, "GCE NonHostInfo", append(info, make([]byte, 12)...))
	}
	for _, v := range b.Blobs {
		add(0, uefi.EvFirmwareBlob, "firmware volume", v)
	}
	for _, v := range b.Variables {
		m, err := v.Measured()
		if err != nil {
			return nil, nil, err
		}
		add(7, uefi.EvVariableDriver, v.Name, m)
	}
	if len(b.Variables) > 0 {
		add(7, uefi.EvSeparator, "separator", uefi.Separator())
	}
	for _, c := range b.Config {
		add(1, uefi.EvPlatformConfig, "configuration", c)
	}
	if b.BootOrder != nil {
		add(1, uefi.EvVariableBoot, "BootOrder", b.BootOrder)
		for _, o := range b.BootOptions {
			add(1, uefi.EvVariableBoot, "boot option", o)
		}
	}
	add(4, uefi.EvAction, uefi.ActionCalling, []byte(uefi.ActionCalling))
	for pcr := range 7 {
		add(pcr, uefi.EvSeparator, "separator", uefi.Separator())
	}
	if b.GPT != nil {
		add(5, uefi.EvGPT, "GPT", b.GPT)
	}
	if err := b.started(&out); err != nil {
		return nil, nil, err
	}
	b.loaders(add)
	if b.ExitFailedOnce {
		const failed = "Exit Boot Services Returned with Failure"
		add(5, uefi.EvAction, failed, []byte(failed))
	}
	add(5, uefi.EvAction, uefi.ActionExit, []byte(uefi.ActionExit))
	add(5, uefi.EvAction, uefi.ActionExitReturned, []byte(uefi.ActionExitReturned))
	for _, p := range b.Phases {
		add(11, uefi.EvIPL, "phase "+p, []byte(p))
	}
	return out, b.whole(), nil
}

// started adds the images (PCR 4) and the authorities that verified them (PCR 7).
func (b *Boot) started(out *[]Event) error {
	for _, v := range b.Authorities {
		m, err := v.Measured()
		if err != nil {
			return err
		}
		*out = append(*out, Event{7, uefi.EvVariableAuthority, b.sum(m), v.Name, "computed"})
	}
	image := func(pe *linux.PE, what string) {
		*out = append(*out, Event{4, uefi.EvBootApplication, pe.Authenticode(b.Bank.New()), what, "computed"})
	}
	for i, img := range b.Images {
		pe, err := linux.ParsePE(img)
		if err != nil {
			return fault.Wrap(err, "image %d", i)
		}
		image(pe, "image")
	}
	if b.UKI == nil {
		return nil
	}
	image(b.UKI, "unified kernel image")
	// The stub hands its inner kernel to the firmware as an image where the kernel is one.
	if k, ok := b.UKI.Section(".linux"); ok {
		if pe, err := linux.ParsePE(k); err == nil {
			image(pe, "inner kernel")
		}
	}
	return nil
}

// loaders adds what boot loaders and stubs measure.
func (b *Boot) loaders(add func(int, uefi.EventType, string, []byte)) {
	for _, m := range b.MOK {
		add(14, uefi.EvIPL, "shim's MOK state", m)
	}
	for _, c := range b.GRUBCommands {
		add(8, uefi.EvIPL, "grub_cmd: "+c, []byte(c))
	}
	for _, f := range b.GRUBFiles {
		add(9, uefi.EvIPL, "GRUB file", f)
	}
	if b.UKI != nil {
		sections, _ := b.UKI.UKI()
		for _, s := range sections {
			add(11, uefi.EvIPL, s.Name+" (name)", append([]byte(s.Name), 0))
			add(11, uefi.EvIPL, s.Name, s.Data)
		}
	}
	if b.StubCommandLine != nil {
		add(12, uefi.EvIPL, "command line", append(uefi.UTF16(*b.StubCommandLine), 0, 0))
	}
	for _, c := range b.Credentials {
		add(12, uefi.EvIPL, "credentials", c)
	}
	for _, e := range b.Extensions {
		add(13, uefi.EvIPL, "system extension", e)
	}
	if b.LoadOptions != nil {
		add(9, uefi.EvEventTag, "LOADED_IMAGE::LoadOptions", append(uefi.UTF16(*b.LoadOptions), 0, 0))
	}
	if b.HasInitrd {
		add(9, uefi.EvEventTag, "Linux initrd", b.Initrd)
	}
}

// whole lists the PCRs that are predicted: 2, 3 and 6 have a separator only on machines without option ROMs, as guests are.
func (b *Boot) whole() []int {
	given := []bool{0: b.CRTMVersion != "" || len(b.Blobs) > 0, 1: b.BootOrder != nil || len(b.Config) > 0, 2: true, 3: true, 4: len(b.Images) > 0 || b.UKI != nil,
		5: b.GPT != nil, 6: true, 7: len(b.Variables) > 0, 8: len(b.GRUBCommands) > 0, 9: len(b.GRUBFiles) > 0 || b.LoadOptions != nil || b.HasInitrd,
		10: false, 11: b.UKI != nil || len(b.Phases) > 0, 12: b.StubCommandLine != nil || len(b.Credentials) > 0, 13: len(b.Extensions) > 0, 14: len(b.MOK) > 0, 15: false}
	var out []int
	for i, g := range given {
		if g {
			out = append(out, i)
		}
	}
	return out
}

// Overlay puts computed events in the places of a reference log, by PCR: all events of a PCR that was predicted replace those of
// the log.
func Overlay(log, computed []Event, whole []int) []Event {
	var out []Event
	for _, e := range log {
		if !slices.Contains(whole, e.PCR) {
			out = append(out, e)
		}
	}
	for _, e := range computed {
		if slices.Contains(whole, e.PCR) {
			out = append(out, e)
		}
	}
	return out
}
