package snp

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// unwrapJSON reads the JSON forms, told apart by their members. Unknown members are ignored and decide nothing.
func unwrapJSON(text []byte, depth int) (*container, error) {
	o, err := jsonObject(text)
	if err != nil {
		return nil, err
	}
	if report, ok := o["attestation_report"]; ok {
		return unwrapKBS(report, o["cert_chain"])
	}
	if report, ok := o["snp-report"]; ok {
		return unwrapAproxy(report, o["certs-buf"])
	}
	inner, err := primaryEvidence(o)
	if err != nil {
		return nil, err
	}
	if inner != nil && depth == 0 {
		return unwrapJSON(inner, depth+1)
	}
	return nil, fault.New(fault.Malformed, "JSON that has neither attestation_report nor snp-report is no SNP evidence")
}

// primaryEvidence takes off the wrapping of a KBS client (kbs-protocol.md section 4): the evidence as a value, or as
// text of one. It returns nil when there is none.
func primaryEvidence(o object) ([]byte, error) {
	if o.absent("primary_evidence") {
		return nil, nil
	}
	inner := o["primary_evidence"]
	if inner[0] != '"' {
		return inner, nil
	}
	s, err := jsonx.String(inner)
	return []byte(s), err
}

// object is a JSON object of strangers by member name; the values are the bytes as carried.
type object map[string][]byte

func jsonObject(raw []byte) (object, error) {
	members, err := jsonx.Object(raw)
	if err != nil {
		return nil, err
	}
	o := make(object, len(members))
	for _, m := range members {
		o[m.Name] = m.Raw
	}
	return o, nil
}

// absent reports whether the member is missing or null.
func (o object) absent(name string) bool { raw, ok := o[name]; return !ok || jsonx.IsNull(raw) }

// unwrapAproxy reads the form of COCONUT-SVSM's aproxy (kbs-protocol.md section 11.3): base64 of report and table.
func unwrapAproxy(report, table []byte) (*container, error) {
	b, err := jsonBase64(report)
	if err != nil {
		return nil, fault.Wrap(err, "snp-report")
	}
	c := &container{format: FormatAproxy, report: b}
	if table == nil || jsonx.IsNull(table) {
		return c, nil
	}
	t, err := jsonBase64(table)
	if err != nil {
		return nil, fault.Wrap(err, "certs-buf")
	}
	if err := c.addTable(t); err != nil {
		return nil, fault.Wrap(err, "certs-buf")
	}
	return c, nil
}

func jsonBase64(raw []byte) ([]byte, error) {
	s, err := jsonx.String(raw)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fault.New(fault.Malformed, "base64: %w", err)
	}
	return b, nil
}

// unwrapKBS reads the form of Trustee's guests (kbs-evidence.md section 2.1): the report as a decoded structure, from
// which the signed bytes are rebuilt, and the entries of the host's certificate table.
func unwrapKBS(report, certs []byte) (*container, error) {
	o, err := jsonObject(report)
	if err != nil {
		return nil, fault.Wrap(err, "attestation_report")
	}
	b, err := encodeReport(o)
	if err != nil {
		return nil, fault.Wrap(err, "attestation_report")
	}
	c := &container{format: FormatKBS, report: b}
	if certs == nil || jsonx.IsNull(certs) {
		return c, nil
	}
	list, err := jsonx.Array(certs)
	if err != nil {
		return nil, fault.Wrap(err, "cert_chain")
	}
	if len(list) > maxSupplied {
		return nil, fault.New(fault.Malformed, "cert_chain has %d entries; at most %d are read", len(list), maxSupplied)
	}
	for i, raw := range list {
		if err := c.addKBSCert(raw); err != nil {
			return nil, fault.Wrap(err, "cert_chain[%d]", i)
		}
	}
	return c, nil
}

func (c *container) addKBSCert(raw []byte) error {
	o, err := jsonObject(raw)
	if err != nil {
		return err
	}
	typ, ok := o["cert_type"]
	if !ok {
		return fault.New(fault.Malformed, "no cert_type")
	}
	r := roleUnknown
	if typ[0] == '"' {
		s, err := jsonx.String(typ)
		if err != nil {
			return err
		}
		switch s {
		case "VCEK", "VLEK":
			r = roleVEK
		case "ASK", "ARK":
			r = roleIssuer
		case "CRL":
			r = roleCRL
		}
	}
	if r == roleUnknown { // "Empty", {"OTHER": "<uuid>"} and what later libraries may name
		return nil
	}
	data, ok := o["data"]
	if !ok {
		return fault.New(fault.Malformed, "no data")
	}
	b, err := jsonBytes(data, -1)
	if err != nil {
		return fault.Wrap(err, "data")
	}
	return c.addEncoded(r, b)
}

// builder writes members of the JSON form into the bytes of a report; the first error stays.
type builder struct {
	o   object
	b   []byte
	err error
}

// encodeReport rebuilds the 1184 bytes. The three shapes differ in the names of a few members: A names reserved fields
// and has key info in two members, B lacks the mitigation vectors of C. Both spellings are accepted where they differ.
func encodeReport(o object) ([]byte, error) {
	w := &builder{o: o, b: make([]byte, ReportSize)}
	w.uint("version", 0x000, 4)
	w.uint("guest_svn", 0x004, 4)
	w.uint("policy", 0x008, 8)
	w.bytes("family_id", 0x010, 16)
	w.bytes("image_id", 0x020, 16)
	w.uint("vmpl", 0x030, 4)
	w.uint("sig_algo", 0x034, 4)
	w.uint("plat_info", 0x040, 8)
	_, shapeA := o["_author_key_en"]
	if shapeA {
		w.uint("_author_key_en", 0x048, 4)
		w.uint("_reserved_0", 0x04C, 4)
		w.bytes("_reserved_1", 0x188, 24)
		w.bytes("_reserved_4", 0x1F8, 168)
	} else {
		w.uint("key_info", 0x048, 4)
	}
	w.bytes("report_data", 0x050, 64)
	w.bytes("measurement", 0x090, 48)
	w.bytes("host_data", 0x0C0, 32)
	w.bytes("id_key_digest", 0x0E0, 48)
	w.bytes("author_key_digest", 0x110, 48)
	w.bytes("report_id", 0x140, 32)
	w.bytes("report_id_ma", 0x160, 32)
	w.bytes("chip_id", 0x1A0, 64)
	version := binary.LittleEndian.Uint32(w.b)
	if !shapeA {
		for i, name := range []string{"cpuid_fam_id", "cpuid_mod_id", "cpuid_step"} {
			if version >= 3 || !o.absent(name) {
				w.uint(name, 0x188+i, 1)
			}
		}
		for i, name := range []string{"launch_mit_vector", "current_mit_vector"} {
			if !o.absent(name) {
				w.uint(name, 0x1F8+8*i, 8)
			}
		}
	}
	w.firmware("current", 0x1E8, "_reserved_2", 0x1EB, shapeA)
	w.firmware("committed", 0x1EC, "_reserved_3", 0x1EF, shapeA)
	if w.err != nil {
		return nil, w.err
	}
	layout := jsonLayout(version, w.b)
	for _, t := range []struct {
		name string
		at   int
	}{{"current_tcb", 0x038}, {"reported_tcb", 0x180}, {"committed_tcb", 0x1E0}, {"launch_tcb", 0x1F0}} {
		w.tcb(t.name, t.at, layout, shapeA)
	}
	w.signature(shapeA)
	return w.b, w.err
}

// jsonLayout chooses the TCB layout by which the guest's library decoded the report: by CPUID, and for version 2 by the
// length of the chip id. A wrong choice cannot pass the signature.
func jsonLayout(version uint32, b []byte) []component {
	if version >= 3 {
		if l := lineByCPUID(CPUID{Family: b[0x188], Model: b[0x189]}); l != nil {
			return l.tcb
		}
		if b[0x188] < 0x1A {
			return layoutMilan
		}
		return layoutTurin
	}
	zero := func(c byte) bool { return c == 0 }
	if short, long := b[0x1A0:0x1A8], b[0x1A8:0x1E0]; !slices.ContainsFunc(long, func(c byte) bool { return !zero(c) }) && slices.ContainsFunc(short, func(c byte) bool { return !zero(c) }) {
		return layoutTurin
	}
	return layoutMilan
}

func (w *builder) fail(name string, err error) {
	if w.err == nil {
		w.err = fault.Wrap(err, "%s", name)
	}
}

func (w *builder) member(name string) []byte {
	raw, ok := w.o[name]
	if !ok {
		w.fail(name, fault.New(fault.Malformed, "the member is missing"))
		return nil
	}
	return raw
}

func (w *builder) uint(name string, at, size int) {
	raw := w.member(name)
	if raw == nil {
		return
	}
	u, err := jsonUint(raw, size)
	if err != nil {
		w.fail(name, err)
		return
	}
	for i := range size {
		w.b[at+i] = byte(u >> (8 * i))
	}
}

func (w *builder) bytes(name string, at, size int) {
	raw := w.member(name)
	if raw == nil {
		return
	}
	b, err := jsonBytes(raw, size)
	if err != nil {
		w.fail(name, err)
		return
	}
	copy(w.b[at:], b)
}

// object runs f on the member of that name as an object.
func (w *builder) object(name string, f func(*builder)) {
	raw := w.member(name)
	if raw == nil {
		return
	}
	o, err := jsonObject(raw)
	if err != nil {
		w.fail(name, err)
		return
	}
	inner := &builder{o: o, b: w.b}
	if f(inner); inner.err != nil {
		w.fail(name, inner.err)
	}
}

func (w *builder) firmware(name string, at int, reserved string, reservedAt int, shapeA bool) {
	if shapeA {
		w.uint(name+"_build", at, 1)
		w.uint(name+"_minor", at+1, 1)
		w.uint(name+"_major", at+2, 1)
		w.uint(reserved, reservedAt, 1)
		return
	}
	w.object(name, func(v *builder) {
		v.uint("build", at, 1)
		v.uint("minor", at+1, 1)
		v.uint("major", at+2, 1)
	})
}

// tcb writes the components of the layout; an fmc beside another layout has no byte to go to, and is ignored like
// every member that is not in the report.
func (w *builder) tcb(name string, at int, layout []component, shapeA bool) {
	w.object(name, func(v *builder) {
		for _, c := range layout {
			v.uint(c.name, at+c.at, 1)
		}
		if shapeA {
			v.bytes("_reserved", at+2, 4)
		}
	})
}

func (w *builder) signature(shapeA bool) {
	w.object("signature", func(v *builder) {
		v.bytes("r", 0x2A0, 72)
		v.bytes("s", 0x2E8, 72)
		if shapeA {
			v.bytes("_reserved", 0x330, 368)
		}
	})
}

// jsonUint reads an integer of size bytes. It never goes through a float, which would round what exceeds 2^53.
func jsonUint(raw []byte, size int) (uint64, error) {
	u, err := strconv.ParseUint(string(bytes.TrimSpace(raw)), 10, 8*size)
	if err != nil {
		return 0, fault.New(fault.Malformed, "%.24q is not an unsigned integer of %d bits", raw, 8*size)
	}
	return u, nil
}

// jsonBytes reads an array of numbers 0 to 255, of exactly size elements unless size is negative. It reads in place: a
// report in this form has a thousand of them.
func jsonBytes(raw []byte, size int) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) < 2 || raw[0] != '[' || raw[len(raw)-1] != ']' {
		return nil, fault.New(fault.Malformed, "an array of bytes is expected")
	}
	out := make([]byte, 0, max(size, len(raw)/4))
	for rest := raw[1 : len(raw)-1]; ; {
		number, after, more := bytes.Cut(rest, []byte{','})
		number = bytes.TrimSpace(number)
		if !more && len(out) == 0 && len(number) == 0 {
			break
		}
		u, err := jsonUint(number, 1)
		if err != nil {
			return nil, err
		}
		out = append(out, byte(u))
		if rest = after; !more {
			break
		}
	}
	if size >= 0 && len(out) != size {
		return nil, fault.New(fault.Malformed, "%d bytes, exactly %d are needed", len(out), size)
	}
	return out, nil
}
