package secex

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
)

// Exchange is pvattest's exchange file, version 1: what an operator carries between a Verifier and a machine.
type Exchange struct {
	Request    []byte // the ARCB
	UserData   []byte
	CUID       []byte // 16 bytes; only in responses
	Measured   []byte // measurement; in a request nil
	Additional []byte // additional data; in a request nil
	// ExpectedMeasurement and ExpectedAdditional are the sizes in bytes that a request asks for.
	ExpectedMeasurement uint32
	ExpectedAdditional  uint32
}

const (
	exchangeMagic      = "pvattest"
	exchangeVersion    = 0x100
	exchangeHeaderSize = 0x40
	maxExchange        = 2 << 20 // bytes: the Ultravisor takes requests up to 1 MiB
)

// ParseExchange reads an exchange file and demands a request in it; entries may not overlap, nor reach into the header
// or past the end.
func ParseExchange(b []byte) (*Exchange, error) {
	bad := func(format string, args ...any) (*Exchange, error) {
		return nil, fault.New(fault.Malformed, "exchange file: "+format, args...)
	}
	switch {
	case len(b) < exchangeHeaderSize:
		return bad("%d bytes are fewer than its header", len(b))
	case len(b) > maxExchange:
		return bad("larger than %d MiB", maxExchange>>20)
	case string(b[:8]) != exchangeMagic:
		return bad("does not begin with %q", exchangeMagic)
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != exchangeVersion {
		return nil, fault.New(fault.Unsupported, "exchange file of version %#x; only %#x is known", v, exchangeVersion)
	}
	if n := binary.BigEndian.Uint32(b[12:]); uint64(n) != uint64(len(b)) {
		return bad("says it has %d bytes, has %d", n, len(b))
	}
	if !zero(b[16:24]) {
		return bad("a reserved byte is not zero")
	}
	var e Exchange
	type span struct{ from, to uint64 }
	var used []span
	for i, into := range []*[]byte{&e.Request, &e.Measured, &e.Additional, &e.UserData, &e.CUID} {
		size, off := uint64(binary.BigEndian.Uint32(b[24+8*i:])), uint64(binary.BigEndian.Uint32(b[28+8*i:]))
		switch {
		case size == 0 && off == 0:
		case off == 0 && i == 1:
			e.ExpectedMeasurement = uint32(size)
		case off == 0 && i == 2:
			e.ExpectedAdditional = uint32(size)
		case off == 0:
			return bad("entry %d has a size and no place", i)
		case size == 0 && off < exchangeHeaderSize, size > 0 && off < exchangeHeaderSize:
			return bad("entry %d lies in the header", i)
		case off+size > uint64(len(b)):
			return bad("entry %d passes the end", i)
		case size > 0:
			*into = slices.Clone(b[off : off+size])
			used = append(used, span{off, off + size})
		}
	}
	slices.SortFunc(used, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(used); i++ {
		if used[i].from < used[i-1].to {
			return bad("entries overlap")
		}
	}
	switch {
	case e.Request == nil:
		return bad("no request in it")
	case e.CUID != nil && len(e.CUID) != cuidSize:
		return bad("configuration UID of %d bytes", len(e.CUID))
	case len(e.UserData) > maxUserData:
		return bad("%d bytes of user data, at most %d are possible", len(e.UserData), maxUserData)
	case e.Measured == nil && e.ExpectedMeasurement == 0:
		return bad("neither a measurement nor the size of one")
	}
	return &e, nil
}

// IsResponse reports whether e carries an answer: measurement and configuration UID.
func (e *Exchange) IsResponse() bool { return e.Measured != nil && e.CUID != nil }

// Marshal writes e.
func (e *Exchange) Marshal() ([]byte, error) {
	if len(e.Request) == 0 || (len(e.Measured) == 0 && e.ExpectedMeasurement == 0) {
		return nil, fault.New(fault.Usage, "an exchange file needs a request and the size of the measurement")
	}
	b := make([]byte, exchangeHeaderSize)
	copy(b, exchangeMagic)
	binary.BigEndian.PutUint32(b[8:], exchangeVersion)
	expect := map[int]uint32{1: e.ExpectedMeasurement, 2: e.ExpectedAdditional}
	for i, v := range [][]byte{e.Request, e.Measured, e.Additional, e.UserData, e.CUID} {
		size, off := uint32(len(v)), uint32(len(b))
		if len(v) == 0 {
			size, off = expect[i], 0
		}
		binary.BigEndian.PutUint32(b[24+8*i:], size)
		binary.BigEndian.PutUint32(b[28+8*i:], off)
		b = append(b, v...)
	}
	if len(b) > maxExchange {
		return nil, fault.New(fault.Usage, "an exchange file holds at most %d MiB", maxExchange>>20)
	}
	binary.BigEndian.PutUint32(b[12:], uint32(len(b)))
	return b, nil
}
