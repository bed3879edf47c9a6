package eventlog

import (
	"encoding/binary"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

// Locator is a TCG SP800-155 Event3 (PC Client Platform Firmware Profile 1.06, section 10.4.5): where to look for reference
// measurements of the firmware. It is an EV_NO_ACTION record, so that nothing measures it: it is a hint, never a claim, and
// what is found must be signed by somebody who is trusted for that firmware.
type Locator struct {
	ManufacturerID         uint32 // of the platform, IANA enterprise number
	ReferenceManifest      [16]byte
	Manufacturer           string
	Model                  string
	Version                string
	FirmwareManufacturer   string
	FirmwareManufacturerID uint32
	FirmwareVersion        string
	RIMType                uint32 // 0 raw data, 1 URI, 2 local device path, 3 EFI variable
	RIM                    []byte
	CertificateType        uint32
	Certificate            []byte
}

const (
	sp800155Signature = "SP800-155 Event3"
	maxLocators       = 16
)

// Locators returns the SP800-155 records of a log, in its order.
func (l *Log) Locators() ([]Locator, error) {
	var out []Locator
	for _, e := range l.Events {
		if e.Type != EVNoAction || len(e.Data) < 16 || string(e.Data[:16]) != sp800155Signature {
			continue
		}
		if len(out) == maxLocators {
			return nil, fault.New(fault.Malformed, "event log: more than %d SP800-155 records", maxLocators)
		}
		x, err := parseLocator(e.Data[16:])
		if err != nil {
			return nil, err
		}
		out = append(out, *x)
	}
	return out, nil
}

func parseLocator(b []byte) (*Locator, error) {
	r := &reader{b: b}
	ok := true
	u32 := func() uint32 {
		v, o := r.u32()
		ok = ok && o
		return v
	}
	take := func(n uint64) []byte {
		v, o := r.take(n)
		ok = ok && o
		return v
	}
	text := func() string { // u8 length with the final NUL, text
		n := take(1)
		if n == nil {
			return ""
		}
		return printable(take(uint64(n[0])))
	}
	var x Locator
	x.ManufacturerID = u32()
	copy(x.ReferenceManifest[:], take(16))
	x.Manufacturer, x.Model, x.Version, x.FirmwareManufacturer = text(), text(), text(), text()
	x.FirmwareManufacturerID = u32()
	x.FirmwareVersion = text()
	x.RIMType = u32()
	x.RIM = take(uint64(u32()))
	x.CertificateType = u32()
	x.Certificate = take(uint64(u32()))
	if !ok {
		return nil, fault.New(fault.Malformed, "event log: an SP800-155 record ends early")
	}
	for _, c := range b[r.at:] {
		if c != 0 {
			return nil, fault.New(fault.Malformed, "event log: bytes follow an SP800-155 record")
		}
	}
	return &x, nil
}

// Where names the place in words: a URI, or the EFI variable "GUID name".
func (x *Locator) Where() string {
	switch {
	case x.RIMType == 1:
		return printable(x.RIM)
	case x.RIMType == 3 && len(x.RIM) > 16 && len(x.RIM)%2 == 0:
		name := x.RIM[16:]
		if n := len(name); binary.LittleEndian.Uint16(name[n-2:]) == 0 {
			name = name[:n-2]
		}
		return strings.ToLower(guidText(x.RIM[:16])) + " " + utf16Text(name)
	}
	return ""
}
