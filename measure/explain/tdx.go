package explain

import (
	"bytes"
	"crypto/sha512"
	"fmt"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/tdx"
	"github.com/assay-tee/assay/measure/uefi"
)

func (s *search) tdx() error {
	sections, ok, err := s.in.Firmware.TDXMetadata()
	if !ok || err != nil {
		return nil // firmware without, or with unusable, TDX metadata starts no TD
	}
	s.rep.Space = append(s.rep.Space, "TDX: MRTD in both page orders, and as Google's early hypervisor made it for each machine type")
	for _, o := range tdx.Orders() {
		if d, _ := tdx.MRTD(sections, o); bytes.Equal(d[:], s.in.Target) {
			if err := s.hit(Hit{Verb: "tdx", Args: []string{"--page-order", string(o)}, What: "MRTD, " + string(o)}); err != nil {
				return err
			}
		}
		if err := s.tried(1); err != nil {
			return err
		}
	}
	for _, shape := range tdx.GoogleShapes() {
		for _, early := range []bool{false, true} {
			d, _, err := tdx.GoogleHOBBug(sections, shape, early)
			if err != nil {
				continue // the list does not fit into the firmware's section
			}
			if bytes.Equal(d[:], s.in.Target) {
				args := []string{"--machine", shape.Name}
				if early {
					args = append(args, "--early-accept")
				}
				if err := s.hit(Hit{Verb: "tdx", Args: args, What: "MRTD of Google's early hypervisor"}); err != nil {
					return err
				}
			}
			if err := s.tried(1); err != nil {
				return err
			}
		}
	}
	return nil
}

// rtmr2 tries RTMR1 and RTMR2 of a direct boot, which need no firmware.
func (s *search) rtmr2() error {
	k := s.in.Kernel
	if k == nil {
		if s.in.Firmware == nil {
			return fault.New(fault.Usage, "nothing to search with: give --firmware, or --kernel")
		}
		return nil
	}
	s.rep.Space = append(s.rep.Space, "TDX: RTMR2 of a direct boot, with and without \" initrd=initrd\", final zero, newline and initrd",
		"TDX: RTMR1 of a direct boot, kernel patched for memory sizes and unpatched, separator in RTMR1 and RTMR0")
	for _, line := range lines(k.CommandLine) {
		for _, suffix := range []bool{true, false} {
			for _, final := range []bool{true, false} {
				for _, initrd := range []bool{true, false} {
					events := []tdx.Event{tdx.LoadOptions(line, suffix, final)}
					if initrd {
						events = append(events, tdx.Initrd(sha512.Sum384(k.Initrd)))
					}
					what := fmt.Sprintf("RTMR2 of a direct boot: command line %q, \" initrd=initrd\": %v, final zero: %v, initrd: %v", line, suffix, final, initrd)
					if err := s.register(events, 2, what); err != nil {
						return err
					}
				}
			}
		}
	}
	return s.rtmr1(k)
}

func (s *search) register(events []tdx.Event, index int, what string) error {
	r, _, err := tdx.Replay(events)
	if err != nil {
		return err
	}
	if bytes.Equal(r[index][:], s.in.Target) {
		if err := s.hit(Hit{Verb: "tdx", Args: []string{}, What: what}); err != nil {
			return err
		}
	}
	return s.tried(1)
}

// memorySizes are those at which the patched kernel differs, in steps of 64 MiB below 2.75 GiB.
func memorySizes() []uint64 {
	out := []uint64{2 << 30, 4 << 30}
	for m := uint64(256 << 20); m < 0xb0000000; m += 64 << 20 {
		out = append(out, m)
	}
	return unique(out)
}

func (s *search) rtmr1(k *Kernel) error {
	type image struct {
		d    measure.SHA384
		what string
	}
	var images []image
	add := func(b []byte, what string) {
		if pe, err := linux.ParsePE(b); err == nil {
			images = append(images, image{measure.SHA384(pe.Authenticode(sha512.New384())), what})
		}
	}
	add(k.Kernel, "unpatched kernel")
	for _, mem := range memorySizes() {
		for _, size := range unique([]uint64{uint64(len(k.Initrd)), 0}) {
			if p, err := linux.PatchQEMU(k.Kernel, linux.Patch{InitrdSize: size, MemorySize: mem}); err == nil {
				add(p, fmt.Sprintf("kernel patched for %d MiB of memory and an initrd of %d bytes", mem>>20, size))
			}
		}
	}
	act := func(text string) tdx.Event {
		return tdx.Event{RTMR: 1, Type: uefi.EvAction, Digest: sha512.Sum384([]byte(text))}
	}
	for _, i := range images {
		for _, sep := range []bool{true, false} {
			events := []tdx.Event{{RTMR: 1, Type: uefi.EvBootApplication, Digest: i.d}, act(uefi.ActionCalling)}
			if sep {
				events = append(events, tdx.Event{RTMR: 1, Type: uefi.EvSeparator, Digest: sha512.Sum384(uefi.Separator())})
			}
			events = append(events, act(uefi.ActionExit), act(uefi.ActionExitReturned))
			if err := s.register(events, 1, fmt.Sprintf("RTMR1 of a direct boot: %s, separator in RTMR1: %v", i.what, sep)); err != nil {
				return err
			}
		}
	}
	return nil
}
