package result

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/internal/keys"
)

// typEAR is the type of an EAR as JWT (RFC 9782; the draft's text says eat-jwt, which is accepted too).
const typEAR = "eat+jwt"

// newSigner makes the JOSE signer of one key. embed puts the public key into the header, as Trustee's readers want.
func newSigner(k *keys.Private, typ string, embed bool) (jose.Signer, error) {
	opts := (&jose.SignerOptions{EmbedJWK: embed}).WithType(jose.ContentType(typ))
	var key any = k.Signer
	if embed {
		key = jose.JSONWebKey{Key: k.Signer, Algorithm: string(k.Alg)}
	} else {
		opts = opts.WithHeader("kid", k.Public.KID)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Alg), Key: key}, opts)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "EAR key: %w", err)
	}
	return s, nil
}

// header is what is read of a JOSE header. jku, x5u, jwk and x5c are never used to find a key (specs ear.md section 3).
type header struct {
	alg, kid, typ string
}

// splitJWS checks the form of a compact JWS strictly and returns its parts, nothing authenticated yet.
func splitJWS(token []byte) (h header, payload []byte, err error) {
	parts := bytes.Split(token, []byte{'.'})
	if len(parts) != 3 {
		return h, nil, fault.New(fault.Malformed, "a JWT has three parts, this has %d", len(parts))
	}
	var raw [3][]byte
	for i, p := range parts {
		if raw[i], err = unbase64(string(p)); err != nil || len(raw[i]) == 0 {
			return h, nil, fault.New(fault.Malformed, "part %d of the JWT is not base64url", i+1)
		}
	}
	h, err = parseHeader(raw[0])
	return h, raw[1], err
}

// unbase64 is base64url without padding, and strictly: encoding/base64 skips line ends, and trailing bits that are not
// zero would give one token many texts.
func unbase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, fault.New(fault.Malformed, "line ends inside of base64url")
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

func parseHeader(b []byte) (h header, err error) {
	if depth(b) > maxDepth {
		return h, fault.New(fault.Malformed, "JOSE header nested deeper than %d", maxDepth)
	}
	if err := jsonx.Check(b); err != nil {
		return h, fault.Wrap(err, "JOSE header")
	}
	members, err := jsonx.Object(b)
	if err != nil {
		return h, fault.Wrap(err, "JOSE header")
	}
	for _, m := range members {
		switch m.Name {
		case "alg":
			h.alg, err = text(m)
		case "kid":
			h.kid, err = text(m)
		case "typ":
			h.typ, err = text(m)
		case "crit":
			err = fault.New(fault.Unsupported, "the token has critical extensions; none is known here")
		case "b64":
			err = fault.New(fault.Unsupported, "the token says b64, which is not supported")
		}
		if err != nil {
			return h, err
		}
	}
	if h.alg == "" {
		return h, fault.New(fault.Malformed, "the JOSE header has no alg")
	}
	return h, nil
}

// checkType refuses tokens of other kinds, which the same key may never have signed, but an issuer's might
// (RFC 8725 section 3.11). A token without a type is taken: older libraries write none.
func (h header) checkType() error {
	typ, _, _ := strings.Cut(strings.ToLower(h.typ), ";")
	switch strings.TrimPrefix(strings.TrimSpace(typ), "application/") {
	case "", "jwt", typEAR, "eat-jwt":
		return nil
	}
	return fault.New(fault.Unsupported, "a token of type %q is no attestation result", h.typ)
}

// verifyJWS checks the signature against the configured keys and returns the one that made it. The algorithm is that
// of the key; the header's may only agree. kid narrows the search and decides nothing.
func verifyJWS(token []byte, h header, ks []keys.Public) (keys.Public, error) {
	tried := 0
	for _, k := range ks {
		if string(k.Alg) != h.alg || h.kid != "" && h.kid != k.KID && hasKID(ks, h.kid) {
			continue
		}
		tried++
		jws, err := jose.ParseSignedCompact(string(token), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.Alg)})
		if err != nil {
			return keys.Public{}, fault.New(fault.Malformed, "JWS: %w", err)
		}
		if _, err := jws.Verify(k.Key); err == nil {
			return k, nil
		}
	}
	switch {
	case !knownAlg(h.alg):
		return keys.Public{}, fault.New(fault.Unsupported, "signature algorithm %q is not accepted", h.alg)
	case tried == 0:
		return keys.Public{}, fault.New(fault.Signature, "no configured key signs with %s; the token names key %q", h.alg, h.kid)
	}
	return keys.Public{}, fault.New(fault.Signature, "the signature was made by none of the configured keys (%d tried)", tried)
}

func hasKID(ks []keys.Public, kid string) bool {
	for _, k := range ks {
		if k.KID == kid {
			return true
		}
	}
	return false
}

func knownAlg(alg string) bool {
	for _, a := range keys.Algs() {
		if string(a) == alg {
			return true
		}
	}
	return false
}
