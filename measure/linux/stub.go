package linux

import (
	"fmt"
	"strings"
)

// StubInitrd is the initrd that systemd-stub hands to the kernel of a unified kernel image, which the kernel's EFI stub then
// measures: microcode and initrd of the image, then cpio archives that the stub makes of other sections (systemd
// src/boot/stub.c and cpio.c). Archives of credentials and system extensions, which lie beside the image, are not in it.
// Before version 257 the stub did not pass the os-release and the profile. ok is false when there is no initrd at all.
func (p *PE) StubInitrd(before257 bool) (initrd []byte, ok bool) {
	var parts [][]byte
	for _, name := range []string{".ucode", ".initrd"} {
		if d, found := p.Section(name); found && len(d) > 0 {
			parts = append(parts, d)
		}
	}
	files := []struct{ section, name string }{{".pcrsig", "tpm2-pcr-signature.json"}, {".pcrpkey", "tpm2-pcr-public-key.pem"}, {".osrel", "os-release"}, {".profile", "profile"}}
	if before257 {
		files = files[:2]
	}
	for _, f := range files {
		if d, found := p.Section(f.section); found {
			parts = append(parts, extraArchive(f.name, d))
		}
	}
	switch len(parts) {
	case 0:
		return nil, false
	case 1:
		return parts[0], true // a single one is passed as it is
	}
	for _, d := range parts {
		initrd = append(initrd, d...)
		initrd = append(initrd, make([]byte, -len(initrd)&3)...)
	}
	return initrd, true
}

// extraArchive is a cpio archive in the "newc" format with one file in the directory .extra.
func extraArchive(name string, data []byte) []byte {
	var b []byte
	b = cpioEntry(b, 1, 0o40555, ".extra", nil)
	b = cpioEntry(b, 2, 0o100444, ".extra/"+name, data)
	b = append(b, "070701"+strings.Repeat("00000000", 4)+"00000001"+strings.Repeat("00000000", 6)+"0000000B"+"00000000"+"TRAILER!!!"...)
	return append(b, 0, 0, 0, 0)
}

func cpioEntry(b []byte, inode, mode int, name string, data []byte) []byte {
	b = append(b, "070701"...)
	for _, v := range []int{inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0} {
		b = fmt.Appendf(b, "%08x", v)
	}
	b = append(append(b, name...), 0)
	b = append(b, make([]byte, -len(b)&3)...)
	b = append(b, data...)
	return append(b, make([]byte, -len(b)&3)...)
}

// StubCommandLine is the command line that systemd-stub makes of the .cmdline section: control characters become spaces, and
// spaces at both ends go (mangle_stub_cmdline).
func (p *PE) StubCommandLine() (line string, ok bool) {
	d, ok := p.Section(".cmdline")
	if !ok {
		return "", false
	}
	s, _, _ := strings.Cut(string(d), "\x00")
	return strings.Trim(strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s), " "), true
}
