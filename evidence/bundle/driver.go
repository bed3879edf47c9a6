package bundle

import (
	"context"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/internal/fault"
)

// Name is the driver's name. Results carry the name of the lead's.
const Name = "bundle"

// Forms of evidence.
const (
	FormatJSON = "cmw-json"
	FormatCBOR = "cmw-cbor"
)

// NoteIncomplete says that the bundle has records of kinds that are not known here: kept, and judged by nobody.
const NoteIncomplete = "bundle_incomplete"

// Media types of records. A vendor type names the TEE whose driver reads the value: application/vnd.assay.<tee>-report.
const (
	vendorPrefix = "application/vnd.assay."
	vendorSuffix = "-report"
	TypeEventLog = "application/vnd.assay.eventlog"
)

// Content-Formats of EATs (IANA CoAP Content-Formats).
const (
	formatEATCWT     = 263
	formatEATUCSCBOR = 267
)

// Config configures a [Driver].
type Config struct {
	// For finds the driver of one piece of evidence, by its TEE or its form.
	For func(evidence.Evidence) (evidence.Driver, error)
}

// Driver authenticates collections of evidence. It implements evidence.Driver.
type Driver struct{ cfg Config }

// New makes a driver.
func New(cfg Config) (*Driver, error) {
	if cfg.For == nil {
		return nil, fault.New(fault.Usage, "a bundle needs the drivers of its members")
	}
	return &Driver{cfg}, nil
}

// Detect names the form of data, and reports whether it is a CMW with at least one record that could be evidence.
func Detect(data []byte) (format string, ok bool) {
	c, err := Parse(data)
	if err != nil {
		return "", false
	}
	p := plan{}
	if p.walk(c) != nil || len(p.members) == 0 {
		return "", false
	}
	if data[0] == '[' || data[0] == '{' {
		return FormatJSON, true
	}
	return FormatCBOR, true
}

// plan is what a CMW asks to be done.
type plan struct {
	members    []evidence.Evidence
	hints      [][]byte
	log        []byte
	incomplete bool
}

// walk sorts the records by type and indicator. Labels and kinds of collections are the sender's, and decide nothing.
func (p *plan) walk(c *CMW) error {
	for _, it := range c.Items {
		if err := p.walk(it.CMW); err != nil {
			return err
		}
	}
	r := c.Record
	if r == nil {
		return nil
	}
	if r.Ind != 0 && r.Ind&Evidence == 0 {
		if r.Ind&Endorsements != 0 {
			p.hints = append(p.hints, r.Value)
		} else {
			p.incomplete = true // reference values, results and policies are not taken from an Attester
		}
		return nil
	}
	t, _, _ := mime.ParseMediaType(r.Type)
	if r.Type == "" {
		t = map[uint16]string{formatEATCWT: "application/eat+cwt", formatEATUCSCBOR: "application/eat-ucs+cbor"}[r.Format]
	}
	switch tee, vendor := strings.CutPrefix(t, vendorPrefix); {
	case t == TypeEventLog:
		if p.log != nil {
			return fault.New(fault.Malformed, "two event logs in one bundle")
		}
		p.log = r.Value
	case vendor && strings.HasSuffix(tee, vendorSuffix):
		p.members = append(p.members, evidence.Evidence{TEE: strings.TrimSuffix(tee, vendorSuffix), Data: r.Value})
	case t == "application/eat+cwt", t == "application/eat+jwt":
		p.members = append(p.members, evidence.Evidence{Data: r.Value})
	case t == "application/eat-ucs+cbor", t == "application/eat-ucs+json":
		tokens, more, err := submods(r.Value, strings.HasSuffix(t, "json"), 0)
		if err != nil {
			return fault.Wrap(err, "EAT")
		}
		p.incomplete = p.incomplete || more || len(tokens) == 0
		for _, b := range tokens {
			p.members = append(p.members, evidence.Evidence{Data: b})
		}
	default:
		p.incomplete = true
	}
	if len(p.members) > maxItems {
		return fault.New(fault.Malformed, "more than %d attesters in one bundle", maxItems)
	}
	return nil
}

// Authenticate authenticates every member, each bound to what env expects: members of different machines cannot be put
// together unless all of them carry the nonce or key of this session. One that is not authentic refuses the whole. The
// lead is the first by the rank of its TEE, which its own driver has found; the others are its parts.
func (d *Driver) Authenticate(ctx context.Context, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	if err := env.Check(); err != nil {
		return nil, err
	}
	if ev.TEE != "" && ev.TEE != Name {
		return nil, fault.New(fault.Unsupported, "evidence of TEE %q was given to the driver of %q", ev.TEE, Name)
	}
	c, err := Parse(ev.Data)
	if err != nil {
		return nil, err
	}
	p := plan{}
	if err := p.walk(c); err != nil {
		return nil, err
	}
	if len(p.members) == 0 {
		return nil, fault.New(fault.Unsupported, "the bundle has no evidence of a kind that is known here")
	}
	var all []*evidence.Verified
	for i, m := range p.members {
		if m.TEE == Name {
			return nil, fault.New(fault.Malformed, "a bundle inside a record; nest collections instead")
		}
		m.Endorsements = append(slices.Clone(ev.Endorsements), p.hints...)
		m.EventLog = p.log
		if m.EventLog == nil {
			m.EventLog = ev.EventLog
		}
		drv, err := d.cfg.For(m)
		if err != nil {
			return nil, fault.Wrap(err, "member %d", i+1)
		}
		if _, nested := drv.(*Driver); nested {
			return nil, fault.New(fault.Malformed, "member %d is a bundle itself", i+1)
		}
		v, err := drv.Authenticate(ctx, m, env)
		if err != nil {
			return nil, fault.Wrap(err, "member %d", i+1)
		}
		all = append(all, v)
	}
	slices.SortStableFunc(all, func(a, b *evidence.Verified) int { return rank(a.TEE()) - rank(b.TEE()) })
	return sealed.New(join(all, p.incomplete)), nil
}

// devices have no machine of their own: they never lead where there is a CPU.
var devices = []string{"tpm", "nvgpu", "ocp"}

func rank(tee string) int { return slices.Index(devices, tee) + 1 }

// join makes the first the lead, and the others its parts under names that come from their drivers and their number.
func join(all []*evidence.Verified, incomplete bool) sealed.Content {
	lead := all[0]
	c := sealed.Content{TEE: lead.TEE(), Product: lead.Product(), Time: lead.Time(), ECTs: lead.ECTs(), Claims: func() claim.Object { return lead.Claims() },
		Root: lead.Root(), Chain: lead.Chain(), Window: lead.Window(), Binding: lead.Binding(),
		Unsafe: slices.Clone(lead.Unsafe()), Notes: slices.Clone(lead.Notes()), Parts: slices.Clone(lead.Parts())}
	used := map[string]int{lead.TEE(): 1}
	for _, p := range c.Parts {
		used[p.Label]++
	}
	for _, v := range all[1:] {
		used[v.TEE()]++
		label := v.TEE()
		if n := used[label]; n > 1 {
			label = fmt.Sprintf("%s-%d", label, n)
		}
		c.Parts = append(c.Parts, sealed.Part{Label: label, Verified: v})
		// What rests on all of them holds no longer than the shortest.
		if w := v.Window(); w.NotBefore.After(c.Window.NotBefore) {
			c.Window.NotBefore = w.NotBefore
		}
		if w := v.Window(); w.NotAfter.Before(c.Window.NotAfter) {
			c.Window.NotAfter = w.NotAfter
		}
	}
	if incomplete {
		c.Notes = append(c.Notes, NoteIncomplete)
	}
	return c
}

// Inspect implements evidence.Inspector: it shows the tree, with nothing decoded.
func (d *Driver) Inspect(ev evidence.Evidence) (*evidence.Inspection, error) {
	c, err := Parse(ev.Data)
	if err != nil {
		return nil, err
	}
	format := FormatCBOR
	if ev.Data[0] == '[' || ev.Data[0] == '{' {
		format = FormatJSON
	}
	return &evidence.Inspection{TEE: Name, Format: format, Claims: claim.Object{{Name: "cmw", Value: c.node()}}}, nil
}

func (c *CMW) node() claim.Node {
	m := func(name string, v claim.Node) claim.Member { return claim.Member{Name: name, Value: v} }
	if r := c.Record; r != nil {
		return claim.O(m("type", claim.S(r.Type)), m("content_format", claim.U(uint64(r.Format))), m("indicator", claim.U(uint64(r.Ind))), m("bytes", claim.U(uint64(len(r.Value)))))
	}
	items := make([]claim.Node, len(c.Items))
	for i, it := range c.Items {
		items[i] = claim.O(m("label", claim.S(it.Label)), m("cmw", it.CMW.node()))
	}
	return claim.O(m("kind", claim.S(c.Kind)), m("items", claim.L(items...)))
}

var _ interface {
	evidence.Driver
	evidence.Inspector
} = (*Driver)(nil)
