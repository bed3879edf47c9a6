package corimjson

import (
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
)

// values is measurement-values-map.
type values struct {
	Version    *version                   `json:"version,omitempty"`
	SVN        json.RawMessage            `json:"svn,omitempty"`
	Digests    []json.RawMessage          `json:"digests,omitempty"`
	Flags      map[string]bool            `json:"flags,omitempty"`
	Raw        json.RawMessage            `json:"raw-value,omitempty"`
	RawMask    *string                    `json:"raw-value-mask,omitempty"`
	MAC        *string                    `json:"mac-addr,omitempty"`
	IP         *string                    `json:"ip-addr,omitempty"`
	Serial     *string                    `json:"serial-number,omitempty"`
	UEID       *string                    `json:"ueid,omitempty"`
	UUID       *string                    `json:"uuid,omitempty"`
	Name       *string                    `json:"name,omitempty"`
	CryptoKeys []json.RawMessage          `json:"cryptokeys,omitempty"`
	Registers  json.RawMessage            `json:"integrity-registers,omitempty"`
	IntRange   json.RawMessage            `json:"int-range,omitempty"`
	Bool       *bool                      `json:"bool,omitempty"`
	Number     json.RawMessage            `json:"number,omitempty"`
	Text       json.RawMessage            `json:"text,omitempty"`
	Bytes      json.RawMessage            `json:"bytes,omitempty"`
	Ext        map[string]json.RawMessage `json:"extensions,omitempty"`
}

type version struct {
	Value      string  `json:"value"`
	Scheme     *string `json:"scheme,omitempty"`
	TextScheme bool    `json:"text-scheme,omitempty"`
}

func (j *values) in() (v claim.Values, err error) {
	if j.Version != nil {
		v.Version = &claim.Version{Text: j.Version.Value, TextScheme: j.Version.TextScheme}
		if j.Version.Scheme != nil {
			v.Version.Scheme = *j.Version.Scheme
		}
	}
	steps := []func() error{
		func() (err error) { v.SVN, err = svnIn(j.SVN); return },
		func() (err error) { v.Digests, err = digests(j.Digests); return },
		func() error { return j.flagsIn(&v) },
		func() (err error) { v.Raw, err = j.rawIn(); return },
		func() (err error) { v.MAC, err = macIn(j.MAC); return },
		func() (err error) { v.IP, err = ipIn(j.IP); return },
		func() (err error) { v.UEID, err = optBinary(j.UEID); return },
		func() (err error) { v.UUID, err = uuidIn(j.UUID); return },
		func() (err error) { v.CryptoKeys, err = ids(j.CryptoKeys); return },
		func() (err error) { v.Registers, err = registersIn(j.Registers); return },
		func() (err error) { v.IntRange, err = intRangeIn(j.IntRange); return },
		func() (err error) { v.Number, err = numberIn(j.Number); return },
		func() (err error) { v.Text, err = textIn(j.Text); return },
		func() (err error) { v.Bytes, err = bytesIn(j.Bytes); return },
		func() error { return j.extIn(&v) },
	}
	for _, f := range steps {
		if err := f(); err != nil {
			return v, err
		}
	}
	v.Serial, v.Name, v.Bool = j.Serial, j.Name, j.Bool
	return v, nil
}

func valuesOut(v claim.Values) *values {
	j := &values{Digests: digestsOut(v.Digests), CryptoKeys: idsOut(v.CryptoKeys), Serial: v.Serial, Name: v.Name, Bool: v.Bool}
	if v.Version != nil {
		j.Version = &version{Value: v.Version.Text, TextScheme: v.Version.TextScheme}
		if v.Version.Scheme != "" {
			j.Version.Scheme = &v.Version.Scheme
		}
	}
	if v.SVN != nil {
		j.SVN = svnOut(*v.SVN)
	}
	j.flagsOut(v)
	j.rawOut(v.Raw)
	if v.MAC != nil {
		j.MAC = ptr(net.HardwareAddr(v.MAC).String())
	}
	if a, ok := netip.AddrFromSlice(v.IP); ok {
		j.IP = ptr(a.String())
	}
	if v.UEID != nil {
		j.UEID = ptr(b64(v.UEID))
	}
	if v.UUID != nil {
		j.UUID = ptr(claim.Bytes(claim.TagUUID, v.UUID).String())
	}
	j.Registers = registersOut(v.Registers)
	j.IntRange = intRangeOut(v.IntRange)
	j.Number = numberOut(v.Number)
	if v.Text != nil {
		j.Text = raw(v.Text.Value)
		if v.Text.Set != nil {
			j.Text = raw(typed{"set", raw(v.Text.Set)})
		}
	}
	if v.Bytes != nil {
		j.Bytes = raw(b64(v.Bytes.Value))
		if v.Bytes.Set != nil {
			set := []string{}
			for _, b := range v.Bytes.Set {
				set = append(set, b64(b))
			}
			j.Bytes = raw(typed{"set", raw(set)})
		}
	}
	return j
}

func ptr[T any](v T) *T { return &v }

// svnIn reads {"type": "exact-value" | "min-value" | "bare", "value": n}; a plain number is exact.
func svnIn(r json.RawMessage) (*claim.SVN, error) {
	if r == nil {
		return nil, nil
	}
	t := typed{"exact-value", r}
	if isObject(r) {
		if err := decode(r, &t); err != nil {
			return nil, err
		}
	}
	n, err := strconv.ParseUint(string(t.Value), 10, 64)
	if err != nil || !slices.Contains([]string{"exact-value", "min-value", "bare"}, t.Type) {
		return nil, bad("svn: {\"type\": \"exact-value\" or \"min-value\", \"value\": unsigned integer} is expected")
	}
	return &claim.SVN{Value: n, Min: t.Type == "min-value", Bare: t.Type == "bare"}, nil
}

func svnOut(s claim.SVN) json.RawMessage {
	kind := "exact-value"
	switch {
	case s.Min:
		kind = "min-value"
	case s.Bare:
		kind = "bare"
	}
	return raw(typed{kind, raw(s.Value)})
}

func (j *values) flagsIn(v *claim.Values) error {
	var unknown cborx.MapEncoder
	for name, set := range j.Flags {
		known := false
		for f := range claim.NumFlags {
			if f.String() == name {
				v.Flags, known = v.Flags.With(f, set), true
			}
		}
		if known {
			continue
		}
		k, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return bad("%q is no flag", name)
		}
		unknown.Put(k, cborx.AppendBool(nil, set))
	}
	if unknown.Len() > 0 {
		v.Ext = append(v.Ext, claim.Extension{Key: 3, CBOR: unknown.Append(nil)})
	}
	return nil
}

func (j *values) flagsOut(v claim.Values) {
	j.Flags = map[string]bool{}
	for f := range claim.NumFlags {
		if set, known := v.Flags.Get(f); known {
			j.Flags[f.String()] = set
		}
	}
	for _, x := range v.Ext {
		if x.Key == 3 {
			r := cborx.Checked(x.CBOR)
			for n := r.Map(); n > 0 && r.OK(); n-- {
				k := strconv.FormatInt(r.Int64(), 10)
				j.Flags[k] = r.Bool()
			}
			continue
		}
		if j.Ext == nil {
			j.Ext = map[string]json.RawMessage{}
		}
		j.Ext[strconv.FormatInt(x.Key, 10)] = fromCBOR(cborx.Checked(x.CBOR))
	}
}

func (j *values) extIn(v *claim.Values) error {
	keys := make([]int64, 0, len(j.Ext))
	for name := range j.Ext {
		k, err := strconv.ParseInt(name, 10, 64)
		if err != nil || strconv.FormatInt(k, 10) != name {
			return bad("extensions: %q is no code point", name)
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		enc, err := toCBOR(nil, j.Ext[strconv.FormatInt(k, 10)])
		if err != nil {
			return err
		}
		v.Ext = append(v.Ext, claim.Extension{Key: k, CBOR: enc})
	}
	return nil
}

type masked struct {
	Value string `json:"value"`
	Mask  string `json:"mask"`
}

func (j *values) rawIn() (*claim.Raw, error) {
	if j.Raw == nil {
		if j.RawMask != nil {
			return nil, bad("raw-value-mask without raw-value")
		}
		return nil, nil
	}
	var t typed
	if err := decode(j.Raw, &t); err != nil {
		return nil, err
	}
	switch t.Type {
	case "bytes":
		v, err := rawBinary(t.Value)
		if err != nil || j.RawMask == nil {
			return &claim.Raw{Value: v}, err
		}
		m, err := binary(*j.RawMask)
		return &claim.Raw{Value: v, Mask: m, OldMask: true}, err
	case "masked":
		var m masked
		if err := decode(t.Value, &m); err != nil {
			return nil, err
		}
		v, err := binary(m.Value)
		if err != nil {
			return nil, err
		}
		mask, err := binary(m.Mask)
		if j.RawMask != nil {
			return nil, bad("raw-value-mask beside a masked raw-value")
		}
		return &claim.Raw{Value: v, Mask: mask}, err
	}
	return nil, bad("raw-value: the type %q is none of bytes and masked", t.Type)
}

func (j *values) rawOut(r *claim.Raw) {
	switch {
	case r == nil:
	case r.Mask == nil:
		j.Raw = raw(typed{"bytes", raw(b64(r.Value))})
	case r.OldMask:
		j.Raw, j.RawMask = raw(typed{"bytes", raw(b64(r.Value))}), ptr(b64(r.Mask))
	default:
		j.Raw = raw(typed{"masked", raw(masked{b64(r.Value), b64(r.Mask)})})
	}
}

func optBinary(s *string) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	return binary(*s)
}

func macIn(s *string) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	m, err := net.ParseMAC(*s)
	if err != nil || len(m) > 8 {
		return nil, bad("%q is no MAC address", *s)
	}
	return m, nil
}

func ipIn(s *string) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	a, err := netip.ParseAddr(*s)
	if err != nil || a.Zone() != "" {
		return nil, bad("%q is no IP address", *s)
	}
	return a.AsSlice(), nil
}

func uuidIn(s *string) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	b, ok := uuid(*s)
	if !ok {
		return nil, bad("%q is no UUID", *s)
	}
	return b, nil
}

// set reads {"type": "set", "value": […]} and reports whether r is one.
func set(r json.RawMessage) (list []json.RawMessage, ok bool, err error) {
	if !isObject(r) {
		return nil, false, nil
	}
	var t typed
	if err := decode(r, &t); err != nil {
		return nil, false, err
	}
	if t.Type != "set" {
		return nil, false, nil
	}
	err = decode(t.Value, &list)
	return list, true, err
}

func textIn(r json.RawMessage) (*claim.TextChoice, error) {
	if r == nil {
		return nil, nil
	}
	list, ok, err := set(r)
	if err != nil {
		return nil, err
	}
	if !ok {
		s, err := str(r)
		return &claim.TextChoice{Value: s}, err
	}
	c := &claim.TextChoice{}
	for _, x := range list {
		s, err := str(x)
		if err != nil {
			return nil, err
		}
		c.Set = append(c.Set, s)
	}
	return c, nil
}

func bytesIn(r json.RawMessage) (*claim.BytesChoice, error) {
	if r == nil {
		return nil, nil
	}
	list, ok, err := set(r)
	if err != nil {
		return nil, err
	}
	if !ok {
		b, err := rawBinary(r)
		return &claim.BytesChoice{Value: b}, err
	}
	c := &claim.BytesChoice{}
	for _, x := range list {
		b, err := rawBinary(x)
		if err != nil {
			return nil, err
		}
		c.Set = append(c.Set, b)
	}
	return c, nil
}

// registerEntry is one register in the form of cocli: {"<id>": {"key_type": "uint" | "text", "value": [digests]}}.
type registerEntry struct {
	KeyType string            `json:"key_type"`
	Value   []json.RawMessage `json:"value"`
}

// registerItem is one register in list form, which is needed where 5 and "5" are both there.
type registerItem struct {
	Key     json.RawMessage   `json:"key"`
	Digests []json.RawMessage `json:"digests"`
}

func registersIn(r json.RawMessage) (out []claim.Register, err error) {
	if r == nil {
		return nil, nil
	}
	var items []registerItem
	if isObject(r) {
		var m map[string]registerEntry
		if err := decode(r, &m); err != nil {
			return nil, err
		}
		for name, e := range m {
			key := raw(name)
			if e.KeyType == "uint" {
				key = json.RawMessage(name)
			} else if e.KeyType != "text" {
				return nil, bad("integrity-registers: key_type is \"uint\" or \"text\"")
			}
			items = append(items, registerItem{key, e.Value})
		}
		slices.SortFunc(items, func(a, b registerItem) int { return strings.Compare(string(a.Key), string(b.Key)) })
	} else if err := decode(r, &items); err != nil {
		return nil, err
	}
	for _, i := range items {
		var reg claim.Register
		if s, err := str(i.Key); err == nil {
			reg.ID = claim.Text(claim.TagNone, s)
		} else {
			u, err := strconv.ParseUint(string(i.Key), 10, 64)
			if err != nil {
				return nil, bad("integrity-registers: %s is neither text nor an unsigned integer", i.Key)
			}
			reg.ID = claim.Uint(u)
		}
		if reg.Digests, err = digests(i.Digests); err != nil {
			return nil, err
		}
		out = append(out, reg)
	}
	return out, nil
}

func registersOut(regs []claim.Register) json.RawMessage {
	if len(regs) == 0 {
		return nil
	}
	m := map[string]registerEntry{}
	var items []registerItem
	for _, r := range regs {
		if u, ok := r.ID.UintContent(); ok {
			name := strconv.FormatUint(u, 10)
			m[name] = registerEntry{"uint", digestsOut(r.Digests)}
			items = append(items, registerItem{json.RawMessage(name), digestsOut(r.Digests)})
			continue
		}
		m[r.ID.TextContent()] = registerEntry{"text", digestsOut(r.Digests)}
		items = append(items, registerItem{raw(r.ID.TextContent()), digestsOut(r.Digests)})
	}
	if len(m) == len(regs) {
		return raw(m)
	}
	return raw(items)
}
