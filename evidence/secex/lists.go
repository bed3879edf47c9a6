package secex

import (
	"cmp"
	"context"
	"crypto/x509"
	"net/url"
	"slices"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// crldpService is the name of distribution points of revocation lists in collateral requests.
const crldpService = "crldp"

const (
	maxPoint   = 1024      // bytes of an address
	maxFetches = 16        // questions for one set of documents
	fetchedFor = time.Hour // how long a verification that rests on fetched lists is remembered
)

// completeLists asks the distribution points for the lists that were not handed over: those of the chain first, whose
// addresses stand in certificates that the root vouches for, then that of the signing key. It reports whether any was
// had. What cannot be had is left to [VerifyHostKeys] to refuse; why is the first reason.
func completeLists(ctx context.Context, c evidence.Collateral, cfg *HostKeyConfig) (had bool, why error) {
	if c == nil || len(cfg.Documents) == 0 {
		return false, nil
	}
	signer, err := signingCertificate(cfg.Chain)
	if err != nil {
		return false, nil // VerifyHostKeys says it better
	}
	path, err := chainToRoot(signer, *cfg)
	if err != nil {
		return false, nil
	}
	asked := map[evidence.Request]bool{}
	complete := func(issuer *x509.Certificate, issued []*x509.Certificate) {
		for _, cert := range issued {
			for _, req := range listRequests(cert) {
				if _, err := validList(issuer, cfg.Lists, cfg.Time); err == nil {
					return
				}
				if asked[req] || len(asked) == maxFetches {
					continue
				}
				asked[req] = true
				r, err := c.Get(ctx, req)
				if err != nil {
					why = cmp.Or(why, err)
					continue
				}
				l, err := x509.ParseRevocationList(r.Body)
				if err != nil {
					why = cmp.Or(why, error(fault.New(fault.Malformed, "%s: %w", req.Path, err)))
					continue
				}
				cfg.Lists, had = append(cfg.Lists, l), true
			}
		}
	}
	for i := 1; i < len(path); i++ {
		complete(path[i], path[i-1:i])
	}
	complete(signer, cfg.Documents)
	return had, why
}

// listRequests are those for the lists that c names distribution points of, in its order. Points other than HTTP are
// passed over.
func listRequests(c *x509.Certificate) []evidence.Request {
	var out []evidence.Request
	for _, p := range c.CRLDistributionPoints {
		u, err := url.Parse(p)
		if err != nil || len(p) > maxPoint || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			continue
		}
		out = append(out, evidence.Request{Service: crldpService, Path: "/" + u.Scheme + "/" + u.Host + u.EscapedPath()})
	}
	return out
}
