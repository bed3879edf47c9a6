package oak

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/oaktext"
)

// Name is the driver's name.
const Name = "oak"

// Forms of evidence. They choose which of the two logs must be bound to the layers.
const (
	FormatEvidence    = "evidence"             // the original event log
	FormatTransparent = "evidence-transparent" // the transparent event log
)

// Marks of what no hardware vouches for.
const (
	UnsafeNoRoot       = "oak-no-root"
	UnsafeSoftwareRoot = "oak-software-root"
)

// RootLabel is the label of the part that holds the hardware's own evidence.
const RootLabel = "root"

// Config configures a [Driver].
type Config struct {
	// AAD says which external AAD the certificates may be signed over. All published evidence is signed over none, newer
	// code over the purpose; the default takes either and says which.
	AAD AAD
	// SNP and TDX authenticate root layers, and share their caches with other users. Nil makes one with its defaults.
	SNP *snp.Driver
	TDX *tdx.Driver
}

// Driver authenticates Oak evidence. It implements evidence.Driver and evidence.Inspector.
type Driver struct {
	aad AAD
	snp *snp.Driver
	tdx *tdx.Driver
}

// New makes a driver.
func New(cfg Config) (*Driver, error) {
	if cfg.AAD > AADLegacy {
		return nil, fault.New(fault.Usage, "AAD mode %d", cfg.AAD)
	}
	d := &Driver{cfg.AAD, cfg.SNP, cfg.TDX}
	var err error
	if d.snp == nil {
		if d.snp, err = snp.New(snp.Config{}); err != nil {
			return nil, err
		}
	}
	if d.tdx == nil {
		if d.tdx, err = tdx.New(tdx.Config{}); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Detect names the form of data, and reports whether it looks like an Oak Evidence message.
func Detect(data []byte) (format string, ok bool) {
	// root_layer, layers or application_keys come first in every encoder's order.
	if len(data) < 16 || data[0] != 0x0a && data[0] != 0x12 && !oaktext.Is(data, oaktext.Evidence) {
		return "", false
	}
	m, err := ParseMessage(data)
	if err != nil || m.Unknown > 0 || m.Platform > PlatformNone || !m.HasRoot && len(m.Layers) == 0 {
		return "", false
	}
	for _, l := range m.Layers {
		if len(l) == 0 || l[0] != 0x84 {
			return "", false
		}
	}
	return FormatEvidence, len(m.Layers) > 0 || len(m.Report) > 0
}

// session is one authentication.
type session struct {
	d       *Driver
	ev      evidence.Evidence
	env     evidence.Env
	msg     *Message
	encoded [][]byte // the events of the chosen log, as carried
	events  []Event
	facts   [][]Measured // per event
	shape   Shape
	layers  []*Certificate
	apps    []*Certificate // those present, in the order of ApplicationKeys
	user    *Certificate
	top     root
}

// Authenticate implements evidence.Driver by oak.md section 6. Everything that the message says is checked against a
// signature before it becomes a claim; what is left over nothing is claimed from.
func (d *Driver) Authenticate(ctx context.Context, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	if err := env.Check(); err != nil {
		return nil, err
	}
	s, err := d.open(ev, env)
	if err != nil {
		return nil, err
	}
	if err := s.root(ctx); err != nil {
		return nil, err
	}
	if err := s.chain(); err != nil {
		return nil, err
	}
	if err := s.bindEvents(); err != nil {
		return nil, err
	}
	if err := s.bindKeys(); err != nil {
		return nil, err
	}
	field, value := s.bindingField()
	bound, err := env.Binding.Check(field, value)
	if err != nil {
		return nil, err
	}
	return sealed.New(s.content(bound)), nil
}

// open does the cheap checks: structure, counts and shape.
func (d *Driver) open(ev evidence.Evidence, env evidence.Env) (*session, error) {
	if ev.TEE != "" && ev.TEE != Name {
		return nil, fault.New(fault.Unsupported, "evidence of TEE %q was given to the driver of %q", ev.TEE, Name)
	}
	m, err := ParseMessage(ev.Data)
	if err != nil {
		return nil, err
	}
	s := &session{d: d, ev: ev, env: env, msg: m, encoded: m.Events}
	switch ev.Format {
	case "", FormatEvidence:
	case FormatTransparent:
		s.encoded = m.Transparent
	default:
		return nil, fault.New(fault.Unsupported, "Oak evidence has no form %q; it has %s and %s", ev.Format, FormatEvidence, FormatTransparent)
	}
	return s, s.read()
}

// read parses certificates and events.
func (s *session) read() error {
	m := s.msg
	if !m.HasRoot && len(m.Layers) == 0 {
		return fault.New(fault.Malformed, "no Oak evidence: neither a root layer nor layers")
	}
	if len(s.encoded) == 0 {
		return fault.New(fault.Malformed, "the evidence has no event log of the wanted kind; without one nothing says what was measured")
	}
	for i, l := range m.Layers {
		c, err := parseCertificate(fmt.Sprintf("layers[%d]", i), l)
		if err != nil {
			return err
		}
		if c.pub.ec == nil {
			return fault.New(fault.Malformed, "layers[%d] has no key that can sign the next layer", i)
		}
		s.layers = append(s.layers, c)
	}
	for _, a := range []struct {
		name string
		der  []byte
	}{{"encryption", m.Encryption}, {"signing", m.Signing}, {"group_encryption", m.GroupEncryption}, {"group_signing", m.GroupSigning}} {
		if a.der == nil {
			continue
		}
		c, err := parseCertificate(a.name, a.der)
		if err != nil {
			return err
		}
		s.apps = append(s.apps, c)
	}
	if m.UserData != nil {
		c, err := parseSign1("signed_user_data", m.UserData)
		if err != nil {
			return err
		}
		if c.sign1.Detached {
			return fault.New(fault.Malformed, "signed_user_data has no payload")
		}
		s.user = c
	}
	if err := s.count(); err != nil {
		return err
	}
	for i, b := range s.encoded {
		e, err := parseEvent(b)
		if err != nil {
			return fault.Wrap(err, "event %d", i)
		}
		f, err := e.measurements()
		if err != nil {
			return fault.Wrap(err, "event %d", i)
		}
		s.events, s.facts = append(s.events, e), append(s.facts, f)
	}
	var err error
	if s.ev.Format == FormatTransparent {
		s.shape = ShapeCB
		return nil
	}
	s.shape, err = shapeOf(s.events, len(s.bindingLayers()) == 0 || !m.HasRoot)
	return err
}

// software reports whether the evidence has the form of a software root.
func (s *session) software() bool { return !s.msg.HasRoot || s.msg.Platform == PlatformUnspecified }

// bindingLayers are the layers that events belong to.
func (s *session) bindingLayers() []*Certificate {
	if s.software() && len(s.layers) > 0 {
		return s.layers[1:]
	}
	return s.layers
}

// restricted reports whether there is one event more than layers, which the application's certificate must bind.
func (s *session) restricted() bool {
	return len(s.layers) == 1 && len(s.encoded) == 2 && !s.software() && s.ev.Format != FormatTransparent
}

// count refuses logs with an event more or less than there are layers, before anything else is done with them.
func (s *session) count() error {
	switch m := s.msg; {
	case m.Platform == PlatformTDX && (len(m.ECAKey) > 0 || len(m.Layers) > 0 || m.applicationKeys() || m.UserData != nil):
		return fault.New(fault.Malformed, "evidence on TDX has no DICE layers and no certificates; nothing would vouch for them")
	case m.Platform == PlatformTDX, s.restricted():
		return nil
	}
	if n := len(s.bindingLayers()); len(s.encoded) != n {
		return fault.New(fault.Binding, "%d events for %d layers: each event belongs to one", len(s.encoded), n)
	}
	return nil
}

// chain verifies the layers and then all that the last of them signed.
func (s *session) chain() error {
	if len(s.layers) == 0 {
		return nil // TDX
	}
	issuer := &s.top.key
	for _, l := range s.layers {
		if err := l.verify(issuer, aadLayer, s.d.aad); err != nil {
			return err
		}
		issuer = &l.pub
	}
	for _, a := range s.apps {
		if err := a.verify(issuer, aadApplication, s.d.aad); err != nil {
			return err
		}
		// Without a purpose in the signature only the place tells an application's certificate from a layer's.
		for _, l := range s.layers {
			if a.sha == l.sha || a.pub.point != nil && bytes.Equal(a.pub.point, l.pub.point) {
				return fault.New(fault.Signature, "the %s certificate is that of %s", a.name, l.name)
			}
		}
	}
	if s.user != nil {
		return s.user.verify(issuer, aadUserData, s.d.aad)
	}
	return nil
}

// bindEvents compares the digest of every event with the certificate that it belongs to.
func (s *session) bindEvents() error {
	if s.msg.Platform == PlatformTDX {
		return nil // by RTMR2
	}
	layers := s.bindingLayers()
	if s.restricted() {
		// One that walks layers only would accept any application: it is bound by the certificate of its key.
		if s.shape != ShapeKernel || s.msg.Encryption == nil {
			return fault.New(fault.Binding, "two events for one layer, and no application certificate that binds the second")
		}
		for _, a := range s.apps {
			if a.name == "encryption" || a.name == "signing" {
				layers = append(layers[:1:1], a)
				if err := s.compare(1, layers[1]); err != nil {
					return err
				}
			}
		}
		return s.compare(0, layers[0])
	}
	for i, l := range layers {
		if err := s.compare(i, l); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) compare(i int, c *Certificate) error {
	want := c.EventID
	if s.ev.Format == FormatTransparent {
		want = c.Transparent
	}
	if want == nil {
		return fault.New(fault.Binding, "%s binds no event", c.name)
	}
	if subtle.ConstantTimeCompare(want, s.events[i].Digest[:]) != 1 {
		return fault.New(fault.Binding, "event %d has the digest %x, %s says %x", i, s.events[i].Digest, c.name, want)
	}
	return nil
}

// bindKeys compares keys that are said twice: in an event, and in a certificate of the last layer.
func (s *session) bindKeys() error {
	for _, a := range s.apps {
		name := map[string]string{"encryption": "hybrid_encryption_public_key", "signing": "signing_public_key"}[a.name]
		if in := s.measured(name); name != "" && in != nil && a.pub.point != nil && !bytes.Equal(in.Raw, a.pub.point) {
			return fault.New(fault.Binding, "the %s certificate is for another key than the last event names", a.name)
		}
	}
	return nil
}

// measured returns the last measurement of that name.
func (s *session) measured(name string) *Measured {
	for i := len(s.facts) - 1; i >= 0; i-- {
		for j := range s.facts[i] {
			if s.facts[i][j].Name == name {
				return &s.facts[i][j]
			}
		}
	}
	return nil
}

// bindingField chooses what an expectation is compared with (doc.go): what the last layer signed on request, else the
// key that a session is made with.
func (s *session) bindingField() (name string, value []byte) {
	if s.user != nil {
		return "USER_DATA", s.user.sign1.Payload
	}
	if k := s.measured("session_binding_public_key"); k != nil {
		return "SESSION_BINDING_PUBLIC_KEY", k.Raw
	}
	for _, a := range s.apps {
		switch {
		case a.name == "encryption" && a.pub.point != nil:
			return "ENCRYPTION_PUBLIC_KEY", a.pub.point
		case a.name == "encryption" && a.KeySet != nil:
			return "ENCRYPTION_KEY_SET", a.KeySet
		}
	}
	if n := len(s.layers); n > 0 {
		return "LAST_LAYER_PUBLIC_KEY", s.layers[n-1].pub.point
	}
	return "LAST_EVENT", s.events[len(s.events)-1].Digest[:]
}

func (m *Message) applicationKeys() bool {
	return m.Encryption != nil || m.Signing != nil || m.GroupEncryption != nil || m.GroupSigning != nil
}

// Inspect implements evidence.Inspector.
func (d *Driver) Inspect(ev evidence.Evidence) (*evidence.Inspection, error) {
	s, err := d.open(ev, evidence.Env{})
	if err != nil {
		return nil, err
	}
	format := ev.Format
	if format == "" {
		format = FormatEvidence
	}
	return &evidence.Inspection{TEE: Name, Format: format, Claims: s.claims()}, nil
}

var _ interface {
	evidence.Driver
	evidence.Inspector
} = (*Driver)(nil)
