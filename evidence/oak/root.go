package oak

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/oaktext"
	"github.com/assay-tee/assay/internal/protox"
)

// root is the outcome of step 1: what vouches for the first key, or for the event log itself on TDX.
type root struct {
	key       publicKey          // the ECA key; of software roots the key of layers[0]; zero on TDX
	verified  *evidence.Verified // of the hardware; nil when there is none
	authority claim.Authority
	unsafe    []string
	info      sealed.Root
	links     []sealed.Link
	window    sealed.Window
}

// root authenticates the root layer (oak.md sections 6 and 7).
func (s *session) root(ctx context.Context) (err error) {
	m := s.msg
	switch {
	case m.Platform == PlatformTDX:
		return s.tdxRoot(ctx)
	case m.Platform == PlatformUnspecified && len(m.Report) == 0 && len(m.ECAKey) == 0:
		return s.softwareRoot()
	case m.Platform == PlatformNone:
		err = s.noRoot()
	case m.Platform == PlatformSNP:
		err = s.snpRoot(ctx)
	default:
		err = fault.New(fault.Unsupported, "root layer of platform %d with a report of %d bytes", m.Platform, len(m.Report))
	}
	if err != nil {
		return err
	}
	// Only now is the key looked into: until here it was bytes of a digest that the root signs.
	if s.top.key, err = parseCOSEKey(m.ECAKey); err != nil {
		return fault.Wrap(err, "eca_public_key")
	}
	if s.top.key.ec == nil {
		return fault.New(fault.Unsupported, "eca_public_key cannot sign")
	}
	if s.top.verified == nil {
		s.top.authority, err = claim.KeyAuthority(s.top.key.ec)
		s.top.info = sealed.Root{Name: "none (insecure)", SHA256: sha256.Sum256(m.ECAKey)}
		s.top.window = sealed.Window{NotBefore: s.env.Time, NotAfter: s.env.Time}
	}
	return err
}

// keyDigest is what report_data must be: SHA-256 of the ECA key as carried, then zeros. Upstream compares the prefix only.
func (s *session) keyDigest() []byte {
	sum := sha256.Sum256(s.msg.ECAKey)
	return append(sum[:], make([]byte, 32)...)
}

func (s *session) take(v *evidence.Verified) {
	s.top.verified, s.top.info, s.top.links, s.top.window = v, v.Root(), v.Chain(), v.Window()
	if e := v.ECTs(); len(e) > 0 {
		s.top.authority = e[0].Authority
	}
	for _, u := range v.Unsafe() {
		s.top.unsafe = append(s.top.unsafe, u)
	}
}

func (s *session) snpRoot(ctx context.Context) error {
	if len(s.msg.Report) != snp.ReportSize {
		return fault.New(fault.Malformed, "an SNP report of %d bytes; reports have %d", len(s.msg.Report), snp.ReportSize)
	}
	want, err := evidence.ExpectExact(s.keyDigest())
	if err != nil {
		return err
	}
	env := s.env
	env.Binding = want
	v, err := s.d.snp.Authenticate(ctx, evidence.Evidence{TEE: snp.Name, Format: snp.FormatReport, Data: s.msg.Report, Endorsements: s.certificates()}, env)
	if err != nil {
		return fault.Wrap(err, "root layer")
	}
	s.take(v)
	return nil
}

// tdxRoot has no keys and layers: RTMR2 holds the event log, report_data and the other registers are zero (section 10).
func (s *session) tdxRoot(ctx context.Context) error {
	m := s.msg
	q, err := dcap.ParseQuote(m.Report)
	if err != nil {
		return fault.Wrap(err, "root layer")
	}
	if len(bytes.Trim(q.Trailing, "\x00")) > 0 {
		return fault.New(fault.Malformed, "root layer: what follows the quote is no padding")
	}
	quote := m.Report[:len(m.Report)-len(q.Trailing)]
	want, err := evidence.ExpectExact(make([]byte, 64))
	if err != nil {
		return err
	}
	env := s.env
	env.Binding = want
	v, err := s.d.tdx.Authenticate(ctx, evidence.Evidence{TEE: tdx.Name, Format: tdx.FormatQuote, Data: quote, Endorsements: s.certificates()}, env)
	if err != nil {
		return fault.Wrap(err, "root layer")
	}
	td := q.TD()
	var rtmr [sha512.Size384]byte
	for _, e := range s.encoded {
		sum := sha512.Sum384(e)
		rtmr = sha512.Sum384(append(rtmr[:], sum[:]...))
	}
	var zero [sha512.Size384]byte
	for i, want := range [][]byte{zero[:], zero[:], rtmr[:], zero[:]} {
		if subtle.ConstantTimeCompare(td.RTMR(i), want) != 1 {
			return fault.New(fault.Binding, "RTMR%d is %x; the event log gives %x", i, td.RTMR(i), want)
		}
	}
	s.take(v)
	return nil
}

// noRoot is evidence that no hardware stands behind. It can never be affirmed; its mark says why.
func (s *session) noRoot() error {
	r := s.msg.Report
	if len(r) != snp.ReportSize || bytes.Count(r, []byte{0}) < snp.ReportSize-64 ||
		len(bytes.Trim(r[:reportData], "\x00")) > 0 || len(bytes.Trim(r[reportData+64:], "\x00")) > 0 {
		return fault.New(fault.Malformed, "platform NONE has a report that is zero but for report_data")
	}
	if subtle.ConstantTimeCompare(r[reportData:reportData+64], s.keyDigest()) != 1 {
		return fault.New(fault.Binding, "report_data %x is not the digest of eca_public_key", r[reportData:reportData+64])
	}
	s.top.unsafe = append(s.top.unsafe, UnsafeNoRoot)
	return nil
}

const reportData = 0x50 // in an SNP report

// softwareRoot is layers[0], signed by itself. That proves possession of a key and nothing more, so the key must be one
// that the operator has configured, and even then no hardware stands behind it.
func (s *session) softwareRoot() error {
	if len(s.layers) == 0 {
		return fault.New(fault.Malformed, "neither a root layer nor layers")
	}
	l := s.layers[0]
	if l.pub.ec == nil {
		return fault.New(fault.Malformed, "layers[0] has no key that can sign")
	}
	for _, a := range s.env.Anchors.Keys(Name) {
		if !l.pub.ec.Equal(a.Key) {
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(l.pub.ec)
		if err != nil {
			return fault.As(fault.Internal, err)
		}
		s.top.info = sealed.Root{Name: a.Name, SHA256: sha256.Sum256(der)}
		s.top.key, s.top.unsafe = l.pub, []string{UnsafeSoftwareRoot}
		s.top.window = sealed.Window{NotBefore: s.env.Time, NotAfter: s.env.Time}
		s.top.authority, err = claim.KeyAuthority(l.pub.ec)
		return err
	}
	return fault.New(fault.Unsupported, "no hardware vouches for this evidence: it has no report, and its root key %s is not configured as an anchor", l.pub.id)
}

// certificates are the hints for the hardware's driver: those that came along, and those inside Oak's Endorsements.
func (s *session) certificates() [][]byte {
	var out [][]byte
	add := func(blobs [][]byte, keep bool) {
		for _, b := range blobs {
			if certs, ok := EndorsementCertificates(b); ok {
				for _, c := range certs {
					if !contains(out, c) {
						out = append(out, c)
					}
				}
			} else if keep {
				out = append(out, b)
			}
		}
	}
	add(s.ev.Endorsements, true)
	if s.env.Collateral != nil {
		add(s.env.Collateral.Given(), false) // the rest the hardware's driver sees by itself
	}
	return out
}

func contains(list [][]byte, b []byte) bool {
	for _, l := range list {
		if bytes.Equal(l, b) {
			return true
		}
	}
	return false
}

// variantSNP is the id of the variant that holds AmdSevSnpEndorsement (oak.md section 11).
const variantSNP = "\x5a\x12\xd0\x0f\x48\xa0\x42\x24\xbf\xf4\x97\x5c\x76\x57\x43\x8f"

// EndorsementCertificates returns the VCEK certificates in b, in DER, and whether b is an Endorsements message at all.
func EndorsementCertificates(b []byte) (certs [][]byte, ok bool) {
	b, err := oaktext.Binary(b, oaktext.Endorsements)
	if err != nil || len(b) < 2 || len(b) > protox.MaxSize || b[0]&7 != 2 {
		return nil, false
	}
	m := protox.Parse("Endorsements", b)
	keep := func(c []byte) {
		if len(c) > 0 && !contains(certs, c) {
			certs = append(certs, c)
		}
	}
	if num := m.OneOf(1, 2, 3); num != 0 {
		if root := m.Sub(num, "layers").Sub(1, "root_layer"); root != nil {
			keep(root.Bytes(1))
		}
	}
	if v := m.Sub(8, "platform"); v != nil && string(v.Bytes(1)) == variantSNP {
		if value := v.Sub(2, "value"); value != nil {
			keep(value.Bytes(1))
		}
	}
	m.Sub(9, "initial")
	m.Subs(10, "events")
	return certs, m.Err() == nil && m.Unknown() == 0
}
