package secex

import (
	"encoding/hex"
	"fmt"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Forms of what this driver reads.
const (
	FormatJSON     = "kbs-json" // as Trustee's guests send it
	FormatExchange = "exchange" // pvattest's exchange file
	FormatImage    = "image"    // an SE header or image; for display only
)

// Detect names the form of data and reports whether it looks like evidence, or an image, of Secure Execution.
func Detect(data []byte) (string, bool) {
	if len(data) >= 8 && string(data[:8]) == exchangeMagic {
		return FormatExchange, true
	}
	if len(data) <= maxEvidence && len(data) > 0 && (data[0] == '{' || data[0] == ' ' || data[0] == '\n') {
		members, err := jsonx.Object(data)
		if err != nil {
			return "", false
		}
		have := map[string]bool{}
		for _, m := range members {
			have[m.Name] = true
		}
		return FormatJSON, have["measurement"] && have["cuid"] && have["image_hdr_tags"]
	}
	_, _, err := FindHeader(data)
	return FormatImage, err == nil
}

// Inspect implements evidence.Inspector: it also shows the header of an SE image, which is what statements about images
// are made from.
func (d *Driver) Inspect(ev evidence.Evidence) (*evidence.Inspection, error) {
	m := func(n string, v claim.Node) claim.Member { return claim.Member{Name: n, Value: v} }
	if h, off, err := FindHeader(ev.Data); err == nil {
		hosts := make([]claim.Node, len(h.Hosts))
		for i, p := range h.Hosts {
			hosts[i] = claim.H(p[:])
		}
		return &evidence.Inspection{TEE: Name, Format: FormatImage, Claims: claim.Object{
			m("header_offset", claim.U(off)), m("version", claim.U(uint64(h.Version))), m("encrypted_pages", claim.U(h.EncryptedPages)),
			m("pcf", claim.S(fmt.Sprintf("%#016x", h.Control))), m("dump_allowed", claim.B(h.DumpAllowed())),
			m("pld", claim.H(h.Tags.PLD())), m("ald", claim.H(h.Tags.ALD())), m("tld", claim.H(h.Tags.TLD())), m("tag", claim.H(h.Tags.Tag())),
			m("image_hdr_tags", claim.H(h.Tags[:])), m("host_key_hashes", claim.L(hosts...)),
		}}, nil
	}
	form, ok := Detect(ev.Data)
	if !ok {
		return nil, fault.New(fault.Malformed, "neither SE evidence nor an SE image")
	}
	if form == FormatExchange {
		e, err := ParseExchange(ev.Data)
		if err != nil {
			return nil, err
		}
		out := claim.Object{m("response", claim.B(e.IsResponse())), m("request_bytes", claim.U(uint64(len(e.Request))))}
		if h, err := ParseRequest(e.Request); err == nil {
			out = append(out, m("request_flags", claim.S(fmt.Sprintf("%#016x", uint64(h.Flags)))), m("request_slots", claim.U(uint64(len(h.Hosts)))))
		}
		return &evidence.Inspection{TEE: Name, Format: form, Claims: append(out, m("cuid", opt(e.CUID)), m("measurement", opt(e.Measured)),
			m("user_data", opt(e.UserData)), m("additional_data", opt(e.Additional)))}, nil
	}
	a, err := parseAnswer(ev.Data)
	if err != nil {
		return nil, err
	}
	return &evidence.Inspection{TEE: Name, Format: form, Claims: claim.Object{
		m("cuid", claim.H(a.cuid)), m("measurement", claim.H(a.measurement)), m("user_data", claim.H(a.userData)),
		m("additional_data", claim.H(a.additional)), m("echoed_image_hdr_tags", claim.S(hex.EncodeToString(a.echoedTags))),
	}}, nil
}

func opt(b []byte) claim.Node {
	if b == nil {
		return claim.Null()
	}
	return claim.H(b)
}
