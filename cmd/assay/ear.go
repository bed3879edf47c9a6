package main

import (
	"github.com/assay-tee/assay"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/result"
)

// issueEAR signs the Attestation Result of o with the key in keyFile. A nonce that was asked for is carried over, so
// that who asked can tell the answer to this question from an older one.
func (a *app) issueEAR(o *assay.Outcome, keyFile, nonce, dialect string) (string, error) {
	key, err := keys.Load(keyFile)
	if err != nil {
		return "", err
	}
	profile, err := result.ParseProfile(dialect)
	if err != nil {
		return "", err
	}
	is, err := result.NewIssuer(result.IssuerConfig{Key: key, Profile: profile, Build: "assay " + version})
	if err != nil {
		return "", err
	}
	opts := result.Options{Time: o.Appraisal.Time()}
	if nonce != "" {
		if opts.Nonce, err = unhex("--nonce", nonce); err != nil {
			return "", err
		}
	}
	token, err := is.Issue(o.Appraisal, o.Decision, opts)
	return string(token), err
}
