package bundle

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"regexp"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Limits on a CMW (ecosystem-wires.md section 2).
const (
	maxSize  = 4 << 20 // bytes
	maxDepth = 4       // collections within collections
	maxItems = 64      // records in all
)

// Indicator bits of a record: which conceptual messages it holds. They are a hint that can only narrow.
const (
	ReferenceValues    uint8 = 1 << iota // 1
	Endorsements                         // 2
	Evidence                             // 4
	AttestationResults                   // 8
	AppraisalPolicy                      // 16
)

// kindKey names the kind of a collection; it is reserved and no label.
const kindKey = "__cmwc_t"

// CMW is a conceptual message wrapper (draft-ietf-rats-msg-wrap): a record, or a collection of CMWs. It protects nothing.
type CMW struct {
	Record *Record // nil for collections
	Kind   string  // of a collection: absolute URI or dotted OID, "" when absent
	Items  []Item  // of a collection, in the order of the wire
}

// Item is a member of a collection. Labels are the sender's; nothing may depend on them.
type Item struct {
	Label string // text, or a number as decimal text when Number is set
	// Number says that the label was an integer, which only CBOR has.
	Number bool
	CMW    *CMW
}

// Record is a leaf.
type Record struct {
	Type   string // media type with parameters; "" when Format says it
	Format uint16 // CoAP Content-Format; counts when Type is ""
	Value  []byte
	Ind    uint8 // 0 when absent
	Tagged bool  // carried as a CBOR tag
}

// TagFor is the CBOR tag of a Content-Format (RFC 9277 appendix B); ok is false beyond 65024.
func TagFor(format uint16) (tag uint64, ok bool) {
	if format > 65024 {
		return 0, false
	}
	cf := uint64(format)
	return 1668546817 + cf/255*256 + cf%255, true
}

// FormatOf is the inverse of [TagFor].
func FormatOf(tag uint64) (format uint16, ok bool) {
	if tag < 1668546817 || tag > 1668612095 {
		return 0, false
	}
	d := tag - 1668546817
	if d%256 == 255 {
		return 0, false
	}
	return uint16(d/256*255 + d%256), true
}

// parser counts records over the whole tree.
type parser struct{ items int }

// Parse reads a CMW in any of its unsigned forms, told apart by the first byte. Errors are malformed.
func Parse(b []byte) (*CMW, error) {
	if len(b) == 0 || len(b) > maxSize {
		return nil, fault.New(fault.Malformed, "a CMW of %d bytes; 1 to %d are read", len(b), maxSize)
	}
	p := &parser{}
	if b[0] == '[' || b[0] == '{' {
		return p.json(b, 0)
	}
	r := cborx.NewReader(b, cborx.Limits{Size: maxSize, Depth: 2*maxDepth + 4, Items: maxItems + 1, Bytes: maxSize})
	c := p.cbor(r, 0)
	return c, r.Done()
}

func (p *parser) count(depth int) error {
	if depth > maxDepth {
		return fault.New(fault.Malformed, "collections deeper than %d", maxDepth)
	}
	if p.items++; p.items > maxItems {
		return fault.New(fault.Malformed, "more than %d items in a CMW", maxItems)
	}
	return nil
}

func (p *parser) cbor(r *cborx.Reader, depth int) *CMW {
	r.FailErr(p.count(depth))
	switch r.Kind() {
	case cborx.Array:
		return &CMW{Record: cborRecord(r)}
	case cborx.Tag:
		f, ok := FormatOf(r.Tag())
		if !ok {
			r.Fail("the tag stands for no Content-Format")
		}
		rec := &Record{Format: f, Value: r.Bytes(), Tagged: true}
		if r.OK() && len(rec.Value) == 0 {
			r.Fail("an empty value")
		}
		return &CMW{Record: rec}
	}
	c := &CMW{}
	n := r.Map()
	for ; n > 0 && r.OK(); n-- {
		var it Item
		if r.Kind() == cborx.Text {
			it.Label = r.Text()
			if it.Label == kindKey {
				c.Kind = r.Text()
				r.FailErr(checkKind(c.Kind))
				continue
			}
		} else {
			it.Label, it.Number = strconv.FormatInt(r.Int64(), 10), true
		}
		it.CMW = p.cbor(r, depth+1)
		c.Items = append(c.Items, it)
	}
	if r.OK() && len(c.Items) == 0 {
		r.Fail("a collection without members")
	}
	return c
}

func cborRecord(r *cborx.Reader) *Record {
	rec := &Record{}
	n := r.Tuple(2, 3)
	if r.Kind() == cborx.Text {
		rec.Type = r.Text()
		r.FailErr(checkType(rec.Type))
	} else if f := r.Uint(); f > 65535 {
		r.Fail("Content-Format %d", f)
	} else {
		rec.Format = uint16(f)
	}
	rec.Value = r.Bytes()
	if r.OK() && len(rec.Value) == 0 {
		r.Fail("an empty value")
	}
	if n == 3 {
		ind := r.Uint()
		if r.OK() && (ind < 1 || ind > 31) {
			r.Fail("indicator %d; 1 to 31 are defined, and none is said by leaving it out", ind)
		}
		rec.Ind = uint8(ind)
	}
	return rec
}

func (p *parser) json(b []byte, depth int) (*CMW, error) {
	if err := p.count(depth); err != nil {
		return nil, err
	}
	if t := strings.TrimLeft(string(b[:min(len(b), 64)]), " \t\r\n"); strings.HasPrefix(t, "[") {
		rec, err := jsonRecord(b)
		return &CMW{Record: rec}, err
	}
	list, err := jsonx.Object(b)
	if err != nil {
		return nil, fault.Wrap(err, "CMW")
	}
	c := &CMW{}
	for _, m := range list {
		if m.Name == kindKey {
			if c.Kind, err = jsonx.String(m.Raw); err != nil {
				return nil, err
			}
			if err := checkKind(c.Kind); err != nil {
				return nil, err
			}
			continue
		}
		child, err := p.json(m.Raw, depth+1)
		if err != nil {
			return nil, err
		}
		c.Items = append(c.Items, Item{Label: m.Name, CMW: child})
	}
	if len(c.Items) == 0 {
		return nil, fault.New(fault.Malformed, "a collection without members")
	}
	return c, nil
}

func jsonRecord(b []byte) (*Record, error) {
	list, err := jsonx.Array(b)
	if err != nil {
		return nil, fault.Wrap(err, "CMW")
	}
	if len(list) != 2 && len(list) != 3 {
		return nil, fault.New(fault.Malformed, "a record of %d members; it has 2 or 3", len(list))
	}
	rec := &Record{}
	if rec.Type, err = jsonx.String(list[0]); err != nil {
		return nil, fault.Wrap(err, "type of a record")
	}
	if err := checkType(rec.Type); err != nil {
		return nil, err
	}
	text, err := jsonx.String(list[1])
	if err != nil {
		return nil, fault.Wrap(err, "value of a record")
	}
	// Always without padding, and always base64url, also for text.
	if rec.Value, err = base64.RawURLEncoding.Strict().DecodeString(text); err != nil || len(rec.Value) == 0 || strings.ContainsAny(text, "\r\n") {
		return nil, fault.New(fault.Malformed, "value of a record: no base64url without padding, or empty")
	}
	if len(list) == 3 {
		n, err := strconv.ParseUint(strings.TrimSpace(string(list[2])), 10, 8)
		if err != nil || n < 1 || n > 31 {
			return nil, fault.New(fault.Malformed, "indicator %s; 1 to 31 are defined, and none is said by leaving it out", list[2])
		}
		rec.Ind = uint8(n)
	}
	return rec, nil
}

func checkType(t string) error {
	if m, _, err := mime.ParseMediaType(t); err != nil || !strings.Contains(m, "/") {
		return fault.New(fault.Malformed, "%q is no media type", t)
	}
	return nil
}

var absolute = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*:[^\s]+|[0-2](\.(0|[1-9][0-9]*))+)$`)

func checkKind(k string) error {
	if !absolute.MatchString(k) {
		return fault.New(fault.Malformed, "kind %q of a collection is neither an absolute URI nor an OID", k)
	}
	return nil
}

// AppendCBOR appends the CBOR form: labels in deterministic order, tags as tags.
func (c *CMW) AppendCBOR(b []byte) []byte {
	if r := c.Record; r != nil {
		if tag, ok := TagFor(r.Format); r.Tagged && ok {
			return cborx.AppendBytes(cborx.AppendTag(b, tag), r.Value)
		}
		n := 2
		if r.Ind != 0 {
			n = 3
		}
		b = cborx.AppendArray(b, n)
		if r.Type != "" {
			b = cborx.AppendText(b, r.Type)
		} else {
			b = cborx.AppendUint(b, uint64(r.Format))
		}
		b = cborx.AppendBytes(b, r.Value)
		if r.Ind != 0 {
			b = cborx.AppendUint(b, uint64(r.Ind))
		}
		return b
	}
	var m cborx.MapEncoder
	if c.Kind != "" {
		m.PutText(kindKey, cborx.AppendText(nil, c.Kind))
	}
	for _, it := range c.Items {
		v := it.CMW.AppendCBOR(nil)
		if n, err := strconv.ParseInt(it.Label, 10, 64); it.Number && err == nil {
			m.Put(n, v)
		} else {
			m.PutText(it.Label, v)
		}
	}
	return m.Append(b)
}

// MarshalJSON gives the JSON form. Types that only CBOR has (numbers) are class unsupported.
func (c *CMW) MarshalJSON() ([]byte, error) {
	if r := c.Record; r != nil {
		if r.Type == "" {
			return nil, fault.New(fault.Unsupported, "a record whose type is the Content-Format %d has no JSON form", r.Format)
		}
		list := []json.RawMessage{mustJSON(r.Type), mustJSON(base64.RawURLEncoding.EncodeToString(r.Value))}
		if r.Ind != 0 {
			list = append(list, mustJSON(r.Ind))
		}
		return json.Marshal(list)
	}
	out := map[string]json.RawMessage{}
	if c.Kind != "" {
		out[kindKey] = mustJSON(c.Kind)
	}
	for _, it := range c.Items {
		if it.Number {
			return nil, fault.New(fault.Unsupported, "a collection with the number %s as a label has no JSON form", it.Label)
		}
		v, err := it.CMW.MarshalJSON()
		if err != nil {
			return nil, err
		}
		out[it.Label] = v
	}
	return json.Marshal(out)
}

func mustJSON[T string | uint8](v T) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("unreachable: " + err.Error())
	}
	return b
}
