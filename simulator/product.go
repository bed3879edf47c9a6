package simulator

// Product is an AMD product line by the name that its certificates and the KDS use.
type Product string

// The product lines that can be simulated (evidence-snp.md section 1).
const (
	Milan Product = "Milan"
	Genoa Product = "Genoa"
	Turin Product = "Turin"
)

// Products are all of them.
var allProducts = [...]Product{Milan, Genoa, Turin}

// Products returns all product lines that can be simulated.
func Products() []Product { return allProducts[:] }

// line is what differs between product lines.
type line struct {
	arkSerial     int64   // serial of the ARK; ASK is one (Genoa: two) above, ASVK 0x101 above
	cpuid         [3]byte // family, model, stepping as in reports
	hwidSize      int     // bytes of CHIP_ID that identify the chip
	turinTCB      bool    // TCB_VERSION in the Turin layout
	structVersion uint8   // extension .1 of a VCEK
	vcekName      string  // extension .2 of a VCEK
	platformInfo  uint64  // as seen on real machines
	firmware      Version // a version seen on real machines
	tcb           TCB     // a TCB seen on real machines
	reportVersion uint32  // the newest that real machines of the line were seen to make
}

func (p Product) line() (line, bool) {
	switch p {
	case Milan:
		return line{arkSerial: 0x10000, cpuid: [3]byte{0x19, 0x01, 0x01}, hwidSize: 64, vcekName: "Milan-B0", platformInfo: 0x25,
			firmware: Version{1, 55, 29}, tcb: TCB{BootLoader: 4, SNP: 24, Microcode: 219}, reportVersion: 3}, true
	case Genoa:
		return line{arkSerial: 0x20000, cpuid: [3]byte{0x19, 0x11, 0x01}, hwidSize: 64, vcekName: "Genoa", platformInfo: 0x27,
			firmware: Version{1, 55, 43}, tcb: TCB{BootLoader: 10, SNP: 23, Microcode: 84}, reportVersion: 5}, true
	case Turin:
		return line{arkSerial: 0x30000, cpuid: [3]byte{0x1A, 0x02, 0x01}, hwidSize: 8, turinTCB: true, structVersion: 1, vcekName: "Turin",
			platformInfo: 0x65, firmware: Version{1, 55, 65}, tcb: TCB{FMC: 1, BootLoader: 1, TEE: 1, SNP: 4, Microcode: 81}, reportVersion: 5}, true
	}
	return line{}, false
}

// TCB holds the security patch levels of a chip's firmware by component. FMC exists on Turin only.
type TCB struct{ FMC, BootLoader, TEE, SNP, Microcode uint8 }

// Bytes renders t as the TCB_VERSION of p (evidence-snp.md section 6).
func (t TCB) Bytes(p Product) [8]byte {
	if l, _ := p.line(); l.turinTCB {
		return [8]byte{t.FMC, t.BootLoader, t.TEE, t.SNP, 0, 0, 0, t.Microcode}
	}
	return [8]byte{t.BootLoader, t.TEE, 0, 0, 0, 0, t.SNP, t.Microcode}
}

// Version is a firmware version.
type Version struct{ Major, Minor, Build uint8 }
