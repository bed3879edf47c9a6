package tdx

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/uefi"
)

// Event is one extension of a run-time measurement register.
type Event struct {
	RTMR   int // 0 to 3
	Type   uefi.EventType
	Digest measure.SHA384
	What   string // "TD HOB", "kernel", "Boot0000"
	// Source says where the digest comes from: "computed", "given", "constant" or "reference log".
	Source string
}

// Sources of event digests.
const (
	Computed  = "computed"
	Given     = "given"
	Constant  = "constant"
	Reference = "reference log"
)

// Replay extends the registers, which start at zero, with the events in order.
func Replay(events []Event) (rtmr [4]measure.SHA384, steps []measure.Step, err error) {
	for i, e := range events {
		if e.RTMR < 0 || e.RTMR > 3 {
			return rtmr, nil, fault.New(fault.Malformed, "event %d extends RTMR%d; there are 0 to 3", i, e.RTMR)
		}
		r := &rtmr[e.RTMR]
		*r = sha512.Sum384(append(r[:], e.Digest[:]...))
		steps = append(steps, measure.Step{What: e.What, Kind: fmt.Sprintf("RTMR%d %v", e.RTMR, e.Type), Digest: e.Digest.String(), After: r.String(), Note: e.Source})
	}
	return rtmr, steps, nil
}

// DstackDigest is the digest of a run-time event of dstack, from its name and payload; the digest that a log claims is never used
// (specs measure.md section 15).
func DstackDigest(name string, payload []byte) measure.SHA384 {
	b := binary.LittleEndian.AppendUint32(nil, uint32(uefi.EvDstack))
	b = append(append(append(b, ':'), name...), ':')
	return sum(append(b, payload...))
}

// Variant is the generation of OVMF, by what it measures.
type Variant string

// The variants. OVMF from 2025.05 also measures two fw_cfg items and the SMBIOS table.
const (
	Pre202505  Variant = "pre202505"
	Post202505 Variant = "202505"
)

// Firmware is what OVMF measures into RTMR0 before it boots. A nil digest is left to its default where there is one.
type Firmware struct {
	Variant Variant
	HOB     measure.SHA384
	CFV     measure.SHA384
	// Variables are the five Secure Boot variables, in order.
	Variables                []uefi.Variable
	Loader, RSDP, ACPITables measure.SHA384
	SMBIOS                   *measure.SHA384 // Post202505 only; depends on memory size and QEMU version
	BootOrder                []byte          // data; nil: the variant's default for direct boot
	BootOptions              [][]byte        // data of Boot#### in BootOrder's order
	SbatLevel                bool            // shim measures its SbatLevel variable into RTMR0
	SeparatorOfBootIntoRTMR0 bool            // some builds extend the second separator into RTMR0
}

// firmwareEvents gives the events of RTMR0.
func (f *Firmware) events() ([]Event, error) {
	out := []Event{{0, uefi.EvHandoffTables2, f.HOB, "TD HOB", Computed}, {0, uefi.EvFirmwareBlob2, f.CFV, "CFV", Computed}}
	if f.Variant == Post202505 {
		out = append(out, Event{0, uefi.EvPlatformConfig, sum([]byte{0, 0}), "BootMenu", Constant},
			Event{0, uefi.EvPlatformConfig, sum([]byte("/rom@genroms/linuxboot_dma.bin\x00")), "bootorder", Constant})
	}
	for _, v := range f.Variables {
		m, err := v.Measured()
		if err != nil {
			return nil, err
		}
		src := Constant
		if len(v.Data) > 0 {
			src = Given
		}
		out = append(out, Event{0, uefi.EvVariableDriver, sum(m), v.Name, src})
	}
	out = append(out, Event{0, uefi.EvSeparator, sum(uefi.Separator()), "separator", Constant},
		Event{0, uefi.EvPlatformConfig, f.Loader, "etc/table-loader", Given}, Event{0, uefi.EvPlatformConfig, f.RSDP, "etc/acpi/rsdp", Given},
		Event{0, uefi.EvPlatformConfig, f.ACPITables, "etc/acpi/tables", Given})
	if f.Variant == Post202505 {
		if f.SMBIOS == nil {
			return nil, fault.New(fault.Unavailable, "OVMF from 2025.05 measures the SMBIOS table, which depends on memory size and QEMU version: give a reference log (--from-ccel) or its digest (--smbios)")
		}
		out = append(out, Event{0, uefi.EvHandoffTables, *f.SMBIOS, "SMBIOS", Given})
	}
	boot, err := f.bootEvents()
	return append(out, boot...), err
}

func (f *Firmware) bootEvents() ([]Event, error) {
	order, options, src := f.BootOrder, f.BootOptions, Given
	if order == nil {
		src = Constant
		if f.Variant == Post202505 {
			order = []byte{0, 0, 1, 0}
			m, err := uefi.BootManager()
			if err != nil {
				return nil, err
			}
			s, err := uefi.BootSetup()
			if err != nil {
				return nil, err
			}
			options = [][]byte{m, s}
		} else {
			order = []byte{0, 0}
			u, err := uefi.BootUIApp()
			if err != nil {
				return nil, err
			}
			options = [][]byte{u}
		}
	}
	if len(order)%2 != 0 || len(order)/2 != len(options) {
		return nil, fault.New(fault.Usage, "BootOrder has %d bytes and %d boot options are given; it has two bytes for each", len(order), len(options))
	}
	out := []Event{{0, uefi.EvVariableBoot, sum(order), "BootOrder", src}}
	for i, o := range options {
		out = append(out, Event{0, uefi.EvVariableBoot, sum(o), fmt.Sprintf("Boot%04X", binary.LittleEndian.Uint16(order[2*i:])), src})
	}
	if f.SbatLevel {
		v := uefi.Variable{GUID: uefi.GUIDShim, Name: "SbatLevel", Data: []byte("sbat,1,2021030218\n")}
		m, err := v.Measured()
		if err != nil {
			return nil, err
		}
		out = append(out, Event{0, uefi.EvVariableAuthority, sum(m), "SbatLevel", Constant})
	}
	return out, nil
}

// Boot is how the operating system is started: what RTMR1 and RTMR2 get.
type Boot struct {
	// Disk is a boot from disk: the partition table is measured, and Images are loaded one after the other (shim, GRUB; or
	// systemd-boot, unified kernel image). Without it the launcher passes the only image (-kernel).
	Disk   bool
	GPT    *measure.SHA384
	Images []Image
	// Inner is the kernel that a unified kernel image's stub loads as an image of its own; nil when it does not.
	Inner *measure.SHA384
	// RTMR2 events, in order.
	OS []Event
}

// Image is a PE image that firmware or a boot loader starts, by its Authenticode digest.
type Image struct {
	What   string
	Digest measure.SHA384
	Source string
}

func action(text string) Event {
	return Event{1, uefi.EvAction, sum([]byte(text)), text, Constant}
}

// Events gives all events of a boot in order: those of the firmware, then those of the boot.
func Events(f *Firmware, b *Boot) ([]Event, error) {
	out, err := f.events()
	if err != nil {
		return nil, err
	}
	image := func(i Image) Event { return Event{1, uefi.EvBootApplication, i.Digest, i.What, i.Source} }
	sep := Event{1, uefi.EvSeparator, sum(uefi.Separator()), "separator", Constant}
	if f.SeparatorOfBootIntoRTMR0 {
		sep.RTMR = 0
	}
	if b.Disk {
		out = append(out, action(uefi.ActionCalling), sep)
		if b.GPT != nil {
			out = append(out, Event{1, uefi.EvGPT, *b.GPT, "GPT", Computed})
		}
		for _, i := range b.Images {
			out = append(out, image(i))
		}
	} else {
		if len(b.Images) != 1 {
			return nil, fault.New(fault.Usage, "a direct boot starts one image, not %d", len(b.Images))
		}
		// The launcher's kernel is measured before the boot option is called.
		out = append(out, image(b.Images[0]), action(uefi.ActionCalling), sep)
	}
	if b.Inner != nil {
		out = append(out, image(Image{"inner kernel", *b.Inner, Computed}))
	}
	out = append(out, b.OS...)
	return append(out, action(uefi.ActionExit), action(uefi.ActionExitReturned)), nil
}

// LoadOptions is the event of the Linux EFI stub over its command line. Direct boot appends " initrd=initrd" when there is an
// initrd, and hashes the final UTF-16 zero; GRUB's line is hashed without it (specs measure.md section 15).
func LoadOptions(line string, initrd, final bool) Event {
	if initrd {
		line += " initrd=initrd"
	}
	b := uefi.UTF16(line)
	if final {
		b = append(b, 0, 0)
	}
	return Event{2, uefi.EvEventTag, sum(b), "LOADED_IMAGE::LoadOptions", Computed}
}

// Initrd is the event of the Linux EFI stub over the initrd.
func Initrd(d measure.SHA384) Event {
	return Event{2, uefi.EvEventTag, d, "Linux initrd", Computed}
}

// StubEvents are the events of systemd-stub: for each section its name with a final zero, then its data.
func StubEvents(sections []linux.UKISection) []Event {
	var out []Event
	for _, s := range sections {
		out = append(out, Event{2, uefi.EvIPL, sum(append([]byte(s.Name), 0)), s.Name + " (name)", Computed},
			Event{2, uefi.EvIPL, sum(s.Data), s.Name, Computed})
	}
	return out
}
