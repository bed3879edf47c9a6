package linux

// Sections of a unified kernel image in the order in which systemd-stub measures them (systemd src/fundamental/uki.c).
// .pcrsig is never measured.
func UKISections() []string {
	return []string{".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey", ".profile",
		".dtbauto", ".hwids", ".efifw"}
}

// UKISection is one measured section.
type UKISection struct {
	Name string
	Data []byte // as in memory
}

// UKI lists the measured sections of the image, in order. An image without .linux is none.
func (p *PE) UKI() (sections []UKISection, ok bool) {
	for _, name := range UKISections() {
		if d, found := p.Section(name); found {
			sections = append(sections, UKISection{name, d})
		}
	}
	_, ok = p.Section(".linux")
	return sections, ok
}
