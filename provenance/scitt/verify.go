package scitt

import (
	"crypto"
	"crypto/subtle"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/didx509"
)

// Key is a configured key of an issuer.
type Key struct {
	Issuer string
	Public crypto.PublicKey
}

// Config is whom to believe. A statement counts when its issuer is configured: by key, as a did:x509 that its chain
// resolves, or as an attested service.
type Config struct {
	// Keys are issuers' keys.
	Keys []Key
	// DIDs are did:x509 issuers that are believed.
	DIDs []string
	// Attested are the conditions for statements whose key a hardware report vouches for; nil accepts none.
	Attested *AttestedConfig
	// Subject, when set, must be the statement's.
	Subject string
	// MinSVN, when set, is the least "svn".
	MinSVN uint64
	// Services issue receipts; MinReceipts of them, each by another service, are demanded.
	Services    []Service
	MinReceipts int
	// At is the time at which a certificate chain is judged. When it is zero the earliest receipt of a service that is
	// trusted for time says it, or, if AllowStatementTime, the statement itself.
	At                 time.Time
	AllowStatementTime bool
	// Preimage, when not nil, is what a hash envelope must be the hash of, or the payload itself.
	Preimage []byte
}

// Result is a statement that holds.
type Result struct {
	Statement *Statement
	Receipts  []*Receipt
	Time      time.Time     // at which the chain was judged; zero when there is none
	Attested  *ReportClaims // what the hardware report says, for an attested service
}

// Verify checks a statement, with the receipts inside it and those given beside it. Classes: malformed, unsupported,
// signature, expired (chain), binding (receipt or payload of another statement), policy (issuer or subject), unavailable
// (too few receipts), stale (no time).
func Verify(file []byte, beside [][]byte, c Config) (*Result, error) {
	s, err := Parse(file)
	if err != nil {
		return nil, err
	}
	res := &Result{Statement: s}
	all := append(append([][]byte(nil), s.receipts...), beside...)
	var parsed []*Receipt
	for _, b := range all {
		r, err := ParseReceipt(b)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, r)
	}
	key, err := c.key(s, res)
	if err != nil {
		return nil, fault.Wrap(err, "signed statement")
	}
	if err := s.sign1.Verify(key, nil); err != nil {
		return nil, fault.Wrap(err, "signed statement")
	}
	if err := c.expected(s); err != nil {
		return nil, fault.Wrap(err, "signed statement")
	}
	if err := c.receipts(s, parsed, res); err != nil {
		return nil, fault.Wrap(err, "receipt")
	}
	return res, fault.Wrap(c.chainTime(s, res), "signed statement")
}

// key finds the key that the statement must verify under.
func (c *Config) key(s *Statement, res *Result) (crypto.PublicKey, error) {
	for _, k := range c.Keys {
		if k.Issuer == s.Issuer {
			return k.Public, nil
		}
	}
	switch {
	case s.attested != nil:
		if c.Attested == nil {
			return nil, fault.New(fault.Policy, "the key is attested by hardware, and no conditions for that are configured")
		}
		k, claims, err := c.Attested.key(s)
		res.Attested = claims
		return k, err
	case strings.HasPrefix(s.Issuer, "did:x509:"):
		key, err := didx509.Resolve(s.Issuer, s.Chain)
		if err != nil {
			return nil, err
		}
		for _, d := range c.DIDs {
			if subtle.ConstantTimeCompare([]byte(d), []byte(s.Issuer)) == 1 {
				return key, nil
			}
		}
	}
	return nil, fault.New(fault.Policy, "issued by %q, who is not configured", s.Issuer)
}

func (c *Config) expected(s *Statement) error {
	if c.Subject != "" && s.Subject != c.Subject {
		return fault.New(fault.Policy, "the subject is %q, expected is %q", s.Subject, c.Subject)
	}
	if c.MinSVN > 0 {
		if n, err := svnOf(s.SVN); err != nil || n < c.MinSVN {
			return fault.New(fault.Policy, "svn %q is below %d", s.SVN, c.MinSVN)
		}
	}
	if c.Preimage == nil {
		return nil
	}
	have := c.Preimage
	if s.HashAlg != 0 {
		have = hash(s.HashAlg, c.Preimage)
	}
	if string(have) != string(s.Payload) {
		return fault.New(fault.Binding, "the statement is about other content")
	}
	return nil
}

// receipts judges each receipt alone; one that does not hold ends the matter, since a statement must not be able to hide
// a bad receipt behind a good one of another service.
func (c *Config) receipts(s *Statement, list []*Receipt, res *Result) error {
	if c.MinReceipts == 0 && len(c.Services) == 0 {
		return nil // nobody is asked, so nobody's receipt counts
	}
	if s.foreign > 0 && len(list) == 0 && c.MinReceipts > 0 {
		return fault.New(fault.Unsupported, "the receipts are of a form before RFC 9942")
	}
	by := map[*Service]bool{}
	for _, r := range list {
		v, err := r.verify(s, c.Services)
		if err != nil {
			return err
		}
		by[v] = true
		res.Receipts = append(res.Receipts, r)
		if v.TrustTime && !r.IssuedAt.IsZero() && (res.Time.IsZero() || r.IssuedAt.Before(res.Time)) {
			res.Time = r.IssuedAt
		}
	}
	if len(by) < c.MinReceipts {
		return fault.New(fault.Unavailable, "receipts of %d services, %d are demanded", len(by), c.MinReceipts)
	}
	return nil
}

// chainTime judges the certificates at the time that is to be trusted.
func (c *Config) chainTime(s *Statement, res *Result) error {
	if len(s.Chain) == 0 || !strings.HasPrefix(s.Issuer, "did:x509:") {
		return nil
	}
	at := c.At
	if at.IsZero() {
		at = res.Time
	}
	if at.IsZero() && c.AllowStatementTime {
		if at = s.IssuedAt; at.IsZero() {
			at = s.signingTime()
		}
	}
	if at.IsZero() {
		return fault.New(fault.Stale, "no time that can be trusted: the chain would have to be judged at the statement's own word")
	}
	res.Time = at
	for i, x := range s.Chain {
		if at.Before(x.NotBefore) || at.After(x.NotAfter) {
			return fault.New(fault.Expired, "certificate %d (%s) is valid from %s to %s, not at %s", i, x.Subject.CommonName,
				x.NotBefore.UTC().Format(time.RFC3339), x.NotAfter.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
		}
	}
	return nil
}
