package gce

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/assay-tee/assay/internal/fault"
)

const (
	maxSize         = 256 << 10 // bytes of an endorsement
	maxMeasurements = 1024      // of one technology
	measurementSize = 48        // bytes: SHA-384
	idSize          = 16        // bytes
)

// launchEndorsement is VMLaunchEndorsement.
type launchEndorsement struct {
	golden    []byte // serialized_uefi_golden: the signed bytes
	signature []byte
}

// golden is VMGoldenMeasurement.
type golden struct {
	timestamp time.Time
	clSpec    uint64
	commit    []byte
	cert      []byte // DER
	digest    []byte // SHA-384 of the firmware image
	snp       *sevSNP
	tdx       *tdx
	unknown   []protowire.Number
}

// sevSNP is VMSevSnp.
type sevSNP struct {
	svn          uint32
	measurements []snpMeasurement
	familyID     []byte
	imageID      []byte
	policy       uint64
	svsm         []byte // svsm_measurement
}

type snpMeasurement struct {
	vmsas  uint32
	digest []byte
}

// tdx is VMTdx.
type tdx struct {
	svn          uint32
	measurements []tdxMeasurement
}

type tdxMeasurement struct {
	ramGiB      uint32
	earlyAccept bool
	mrtd        []byte
}

// message walks over the fields of a message. A field that may occur once and is repeated is refused, where protobuf
// would let the last one win; a number that is not known is handed to unknown.
type message struct {
	name    string
	unknown func(protowire.Number)
	visit   map[protowire.Number]field
}

type field struct {
	bytes  func([]byte) error // length-delimited
	number func(uint64) error // varint
	many   bool
}

func (m message) read(b []byte) error {
	bad := func(format string, args ...any) error {
		return fault.Wrap(fault.New(fault.Malformed, format, args...), "%s", m.name)
	}
	seen := map[protowire.Number]bool{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return bad("%w", protowire.ParseError(n))
		}
		b = b[n:]
		f, known := m.visit[num]
		if !known {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return bad("%w", protowire.ParseError(n))
			}
			if m.unknown != nil {
				m.unknown(num)
			}
			b = b[n:]
			continue
		}
		if seen[num] && !f.many {
			return bad("field %d occurs twice", num)
		}
		seen[num] = true
		var err error
		switch {
		case typ == protowire.BytesType && f.bytes != nil:
			var v []byte
			if v, n = protowire.ConsumeBytes(b); n >= 0 {
				err = f.bytes(v)
			}
		case typ == protowire.VarintType && f.number != nil:
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n >= 0 {
				err = f.number(v)
			}
		default:
			return bad("field %d has wire type %d", num, typ)
		}
		if n < 0 {
			return bad("field %d: %w", num, protowire.ParseError(n))
		}
		if err != nil {
			return fault.Wrap(err, "%s field %d", m.name, num)
		}
		b = b[n:]
	}
	return nil
}

func take(into *[]byte) field {
	return field{bytes: func(b []byte) error { *into = b; return nil }}
}

func takeSized(into *[]byte, size int) field {
	return field{bytes: func(b []byte) error {
		if len(b) != size {
			return fault.New(fault.Malformed, "%d bytes, want %d", len(b), size)
		}
		*into = b
		return nil
	}}
}

func take64(into *uint64) field {
	return field{number: func(v uint64) error { *into = v; return nil }}
}

func take32(into *uint32) field {
	return field{number: func(v uint64) error {
		if v > 1<<32-1 {
			return fault.New(fault.Malformed, "%d does not fit into 32 bits", v)
		}
		*into = uint32(v)
		return nil
	}}
}

func ignore() field { return field{bytes: func([]byte) error { return nil }} }

func parseEndorsement(b []byte) (*launchEndorsement, error) {
	if len(b) > maxSize {
		return nil, fault.New(fault.Malformed, "larger than %d KiB", maxSize>>10)
	}
	var e launchEndorsement
	err := message{name: "VMLaunchEndorsement", visit: map[protowire.Number]field{1: take(&e.golden), 2: take(&e.signature)}}.read(b)
	if err == nil && (len(e.golden) == 0 || len(e.signature) == 0) {
		err = fault.New(fault.Malformed, "VMLaunchEndorsement without content or signature")
	}
	return &e, err
}

// certificateOf finds the certificate in the signed bytes and interprets nothing else.
func certificateOf(b []byte) (cert []byte, err error) {
	skip := field{bytes: ignore().bytes, number: func(uint64) error { return nil }}
	err = message{name: "VMGoldenMeasurement", visit: map[protowire.Number]field{1: skip, 2: skip, 3: skip, 4: take(&cert), 5: skip, 6: skip, 7: skip, 8: skip}}.read(b)
	if err == nil && len(cert) == 0 {
		err = fault.New(fault.Malformed, "VMGoldenMeasurement without a certificate")
	}
	return cert, err
}

func parseGolden(b []byte) (*golden, error) {
	var g golden
	err := message{name: "VMGoldenMeasurement", unknown: func(n protowire.Number) { g.unknown = append(g.unknown, n) }, visit: map[protowire.Number]field{
		1: {bytes: g.readTimestamp}, 2: take64(&g.clSpec), 3: take(&g.commit), 4: take(&g.cert), 5: takeSized(&g.digest, measurementSize), 6: ignore(),
		7: {bytes: func(b []byte) (err error) { g.snp, err = parseSNP(b); return err }},
		8: {bytes: func(b []byte) (err error) { g.tdx, err = parseTDX(b); return err }},
	}}.read(b)
	switch {
	case err != nil:
		return nil, err
	case g.timestamp.IsZero():
		return nil, fault.New(fault.Malformed, "VMGoldenMeasurement without a timestamp")
	case g.digest == nil:
		return nil, fault.New(fault.Malformed, "VMGoldenMeasurement without the digest of the firmware")
	case g.snp == nil && g.tdx == nil:
		return nil, fault.New(fault.Malformed, "VMGoldenMeasurement endorses neither SNP nor TDX")
	case g.timestamp.After(provenanceSince) && g.clSpec == 0 && len(g.commit) == 0:
		return nil, fault.New(fault.Malformed, "signed after %s, and says neither change number nor commit of the build", provenanceSince.Format(time.DateOnly))
	}
	return &g, nil
}

// provenanceSince is when endorsements began to have to say what they were built from (gce-tcb-verifier, verify).
var provenanceSince = time.Date(2024, 8, 2, 0, 0, 0, 0, time.UTC)

func (g *golden) readTimestamp(b []byte) error {
	var sec, nano uint64
	err := message{name: "Timestamp", visit: map[protowire.Number]field{1: take64(&sec), 2: take64(&nano)}}.read(b)
	if err != nil {
		return err
	}
	// 9999-12-31T23:59:59Z is the last second of google.protobuf.Timestamp; endorsements are not from before 1970.
	if sec == 0 || sec > 253402300799 || nano > 999999999 {
		return fault.New(fault.Malformed, "not a time of signing: %d s %d ns", sec, nano)
	}
	g.timestamp = time.Unix(int64(sec), int64(nano)).UTC()
	return nil
}

func parseSNP(b []byte) (*sevSNP, error) {
	var s sevSNP
	err := message{name: "VMSevSnp", visit: map[protowire.Number]field{
		1: take32(&s.svn), 2: {bytes: s.readMeasurement, many: true}, 3: takeSized(&s.familyID, idSize), 4: takeSized(&s.imageID, idSize),
		5: take64(&s.policy), 6: ignore(), 7: takeSized(&s.svsm, measurementSize),
	}}.read(b)
	if err == nil && len(s.measurements) == 0 && s.svsm == nil {
		err = fault.New(fault.Malformed, "VMSevSnp without a measurement")
	}
	return &s, err
}

func (s *sevSNP) readMeasurement(b []byte) error {
	var m snpMeasurement
	err := message{name: "measurements entry", visit: map[protowire.Number]field{1: take32(&m.vmsas), 2: takeSized(&m.digest, measurementSize)}}.read(b)
	if err != nil {
		return err
	}
	if m.vmsas == 0 || m.digest == nil {
		return fault.New(fault.Malformed, "a measurement without its number of VMSAs, or without a value")
	}
	for _, o := range s.measurements {
		if o.vmsas == m.vmsas {
			return fault.New(fault.Malformed, "two measurements for %d VMSAs", m.vmsas)
		}
	}
	if len(s.measurements) == maxMeasurements {
		return fault.New(fault.Malformed, "more than %d measurements", maxMeasurements)
	}
	s.measurements = append(s.measurements, m)
	return nil
}

func parseTDX(b []byte) (*tdx, error) {
	var t tdx
	err := message{name: "VMTdx", visit: map[protowire.Number]field{1: take32(&t.svn), 2: {bytes: t.readMeasurement, many: true}}}.read(b)
	if err == nil && len(t.measurements) == 0 {
		err = fault.New(fault.Malformed, "VMTdx without a measurement")
	}
	return &t, err
}

func (t *tdx) readMeasurement(b []byte) error {
	var m tdxMeasurement
	err := message{name: "VMTdx.Measurement", visit: map[protowire.Number]field{1: take32(&m.ramGiB),
		2: {number: func(v uint64) error { m.earlyAccept = v != 0; return nil }}, 3: takeSized(&m.mrtd, measurementSize)}}.read(b)
	if err != nil {
		return err
	}
	if m.mrtd == nil {
		return fault.New(fault.Malformed, "a measurement without MRTD")
	}
	for _, o := range t.measurements {
		if o.ramGiB == m.ramGiB && o.earlyAccept == m.earlyAccept {
			return fault.New(fault.Malformed, "two measurements for %d GiB", m.ramGiB)
		}
	}
	if len(t.measurements) == maxMeasurements {
		return fault.New(fault.Malformed, "more than %d measurements", maxMeasurements)
	}
	t.measurements = append(t.measurements, m)
	return nil
}
