package scitt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// attestedNames are the text labels of the header that holds a report: the present one and an older.
var attestedNames = []string{"attestedsvc", "msft-css-dev"}

const attestationType = "SEV-SNP:ContainerPlat-AMD-UVM"

// attestation is the header of a statement whose key a hardware report vouches for (specs transparency.md section 17).
type attestation struct {
	report, endorsements, uvm []byte
	kind, service             string
	key                       *ecdsa.PublicKey
	thumbprint                [32]byte // RFC 9679
}

// ReportClaims is what a verified SNP report says, as far as it is held against the statement.
type ReportClaims struct {
	Measurement []byte
	ReportData  []byte // 64 bytes
	HostData    []byte
	VMPL        uint32
	Debug       bool
	Product     string
}

// AttestedConfig are the conditions for attested services.
type AttestedConfig struct {
	// Service is the name that the issuer must have; "" accepts any.
	Service string
	// Report verifies a report with its PEM certificates (VCEK, ASK, ARK) to a pinned root. It is the caller's, so that
	// this package knows no driver.
	Report func(report, certificates []byte) (*ReportClaims, error)
	// UVM is whom to believe about the utility VM; its DIDs are needed. Its chain is judged at the time of UVM.At, or
	// with AllowStatementTime at its own.
	UVM Config
	// MinGuestSVN is the least SVN of the utility VM.
	MinGuestSVN uint64
	// HostData, when there is any, lists the container policies that are accepted, by hash.
	HostData [][]byte
}

func (s *Statement) readAttestation() error {
	for _, p := range s.sign1.Protected {
		if !p.IsText || !slices.Contains(attestedNames, p.Name) {
			continue
		}
		a := &attestation{}
		r := cborx.Checked(p.Value)
		for n := r.Map(); n > 0 && r.OK(); n-- {
			switch k := r.Text(); k {
			case "attestation":
				a.report = r.Bytes()
			case "attestation_type":
				a.kind = r.Text()
			case "snp_endorsements":
				a.endorsements = r.Bytes()
			case "uvm_endorsements":
				a.uvm = r.Bytes()
			case "svc_id":
				a.service = r.Text()
			case "cose_key":
				a.readKey(r)
			case "ver":
				if v := r.Int64(); r.OK() && v != 0 {
					return fault.New(fault.Unsupported, "attested statement of version %d", v)
				}
			default:
				r.Skip()
			}
		}
		if err := r.Done(); err != nil {
			return fault.Wrap(err, "%s", p.Name)
		}
		if s.attested != nil {
			return fault.New(fault.Malformed, "two reports in one header")
		}
		s.attested = a
	}
	return nil
}

// readKey reads an EC2 COSE_Key and computes its thumbprint (RFC 9679 section 4.2).
func (a *attestation) readKey(r *cborx.Reader) {
	var kty, crv int64
	var x, y []byte
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch r.Int64() {
		case 1:
			kty = r.Int64()
		case -1:
			crv = r.Int64()
		case -2:
			x = r.Bytes()
		case -3:
			y = r.Bytes()
		default:
			r.Skip()
		}
	}
	curve := map[int64]elliptic.Curve{1: elliptic.P256(), 2: elliptic.P384(), 3: elliptic.P521()}[crv]
	if !r.OK() {
		return
	}
	if kty != 2 || curve == nil {
		r.FailAs(fault.Unsupported, "cose_key of type %d on curve %d", kty, crv)
		return
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size {
		r.Fail("coordinates of %d and %d bytes", len(x), len(y))
		return
	}
	var m cborx.MapEncoder
	m.Put(1, cborx.AppendInt(nil, kty))
	m.Put(-1, cborx.AppendInt(nil, crv))
	m.Put(-2, cborx.AppendBytes(nil, x))
	m.Put(-3, cborx.AppendBytes(nil, y))
	a.thumbprint = sha256.Sum256(m.Append(nil))
	a.key = &ecdsa.PublicKey{Curve: curve, X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
}

// key checks the whole chain: hardware → utility VM → service key.
func (c *AttestedConfig) key(s *Statement) (crypto.PublicKey, *ReportClaims, error) {
	a := s.attested
	switch {
	case c.Report == nil:
		return nil, nil, fault.New(fault.Internal, "attested statements without a way to verify reports")
	case a.key == nil || a.report == nil || a.endorsements == nil || a.uvm == nil:
		return nil, nil, fault.New(fault.Malformed, "attested statement without key, report, certificates or UVM endorsement")
	case a.kind != attestationType:
		return nil, nil, fault.New(fault.Unsupported, "attestation of type %q", a.kind)
	}
	service, ok := strings.CutPrefix(s.Issuer, "did:attestedsvc:")
	service, _, sep := strings.Cut(service, "::")
	if !ok || !sep || a.service != "" && service != a.service || c.Service != "" && service != c.Service {
		return nil, nil, fault.New(fault.Policy, "issued by %q, the report is of service %q, expected is %q", s.Issuer, a.service, c.Service)
	}
	claims, err := c.Report(a.report, a.endorsements)
	if err != nil {
		return nil, nil, err
	}
	var zero [32]byte
	if len(claims.ReportData) != 64 || !bytes.Equal(claims.ReportData[:32], a.thumbprint[:]) || !bytes.Equal(claims.ReportData[32:], zero[:]) {
		return nil, claims, fault.New(fault.Signature, "the key is not the one that the report vouches for")
	}
	if !bytes.Equal(s.KeyID, a.thumbprint[:]) {
		return nil, claims, fault.New(fault.Signature, "kid is not the thumbprint of the attested key")
	}
	if _, err := a.key.ECDH(); err != nil { // off the curve
		return nil, claims, fault.New(fault.Malformed, "attested key: %w", err)
	}
	if claims.Debug || claims.VMPL != 0 {
		return nil, claims, fault.New(fault.Policy, "the report is of VMPL %d, debug %t", claims.VMPL, claims.Debug)
	}
	if len(c.HostData) > 0 && !slices.ContainsFunc(c.HostData, func(h []byte) bool { return bytes.Equal(h, claims.HostData) }) {
		return nil, claims, fault.New(fault.Policy, "the container policy %x is not one that is accepted", claims.HostData)
	}
	m, svn, err := Endorsement(a.uvm, nil, c.UVM)
	if err != nil {
		return nil, claims, fault.Wrap(err, "UVM endorsement")
	}
	if !bytes.Equal(m, claims.Measurement) {
		return nil, claims, fault.New(fault.Binding, "the UVM endorsement is of another utility VM than the report's")
	}
	if svn < c.MinGuestSVN {
		return nil, claims, fault.New(fault.Policy, "the utility VM's SVN is %d, demanded is %d", svn, c.MinGuestSVN)
	}
	return a.key, claims, nil
}

// Endorsement verifies a statement about a utility VM and returns the launch measurement and the guest's SVN, in both of
// its shapes: JSON payload, or a hash envelope over the measurement with svn in the CWT claims.
func Endorsement(file []byte, beside [][]byte, c Config) (measurement []byte, svn uint64, err error) {
	if c.At.IsZero() && !c.AllowStatementTime && c.MinReceipts == 0 {
		return nil, 0, fault.New(fault.Usage, "the endorsement's chain needs a time: a receipt, or one that is configured")
	}
	res, err := Verify(file, beside, c)
	if err != nil {
		return nil, 0, err
	}
	s := res.Statement
	if s.HashAlg != 0 {
		if svn, err = svnOf(s.SVN); err != nil {
			return nil, 0, err
		}
		return s.Payload, svn, nil
	}
	var p struct {
		Measurement string `json:"x-ms-sevsnpvm-launchmeasurement"`
		SVN         any    `json:"x-ms-sevsnpvm-guestsvn"`
	}
	if err := jsonx.Unmarshal(s.Payload, &p, false); err != nil {
		return nil, 0, err
	}
	if measurement, err = hex.DecodeString(p.Measurement); err != nil || len(measurement) != 48 {
		return nil, 0, fault.New(fault.Malformed, "x-ms-sevsnpvm-launchmeasurement is no 48 bytes in hex")
	}
	switch v := p.SVN.(type) {
	case string:
		svn, err = svnOf(v)
	case float64:
		if svn = uint64(v); v < 0 || v > 1<<52 || float64(svn) != v {
			err = fault.New(fault.Malformed, "x-ms-sevsnpvm-guestsvn is no whole number")
		}
	default:
		err = fault.New(fault.Malformed, "no x-ms-sevsnpvm-guestsvn")
	}
	return measurement, svn, err
}

func svnOf(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fault.New(fault.Malformed, "svn %q is no number", s)
	}
	return n, nil
}

// signingTime is the header of the older shape of a UVM endorsement: text, RFC 3339, or tag 1.
func (s *Statement) signingTime() time.Time {
	for _, p := range s.sign1.Protected {
		if !p.IsText || p.Name != "signingtime" {
			continue
		}
		r := cborx.Checked(p.Value)
		if t, ok := r.PeekTag(); ok {
			r.Expect(t)
		}
		if r.Kind() == cborx.Text {
			at, err := time.Parse(time.RFC3339, r.Text())
			if err == nil {
				return at
			}
			return time.Time{}
		}
		if sec := r.Int64(); r.OK() && sec > 0 && sec <= maxUnix {
			return time.Unix(sec, 0).UTC()
		}
	}
	return time.Time{}
}
