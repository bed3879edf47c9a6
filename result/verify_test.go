package result_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/result"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// forge signs any header and payload as they are.
func forge(t testing.TB, k *keys.Private, header, payload string) []byte {
	t.Helper()
	in := b64([]byte(header)) + "." + b64([]byte(payload))
	digest := map[keys.Alg]crypto.Hash{keys.ES256: crypto.SHA256, keys.ES384: crypto.SHA384, keys.ES512: crypto.SHA512}[k.Alg]
	if k.Alg == keys.EdDSA {
		return []byte(in + "." + b64(ed25519.Sign(k.Signer.(ed25519.PrivateKey), []byte(in))))
	}
	h := digest.New()
	h.Write([]byte(in))
	ec := k.Signer.(*ecdsa.PrivateKey)
	r, s, err := ecdsa.Sign(rand.Reader, ec, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	n := (ec.Params().BitSize + 7) / 8
	return []byte(in + "." + b64(append(r.FillBytes(make([]byte, n)), s.FillBytes(make([]byte, n))...)))
}

// claims is a small good claims set; each edit replaces text in it.
func claims(edits ...string) string {
	s := fmt.Sprintf(`{"eat_profile":"tag:ietf.org,2026:rats/ear#03","iat":%d,"exp":%d,"ear_verifier_id":{"developer":"d","build":"b"},`+
		`"eat_nonce":"%s","ear_status":"affirming","submods":{"snp":{"ear_status":"affirming","ear_trustworthiness_vector":{"hardware":2,"executables":3},`+
		`"ear_appraisal_policy_ids":["urn:x"]}}}`, now.Unix()-10, now.Unix()+290, b64(nonce16))
	for i := 0; i+1 < len(edits); i += 2 {
		if !strings.Contains(s, edits[i]) {
			panic("edit does not apply: " + edits[i])
		}
		s = strings.Replace(s, edits[i], edits[i+1], 1)
	}
	return s
}

var nonce16 = []byte("0123456789abcdef")

const typ = `,"typ":"eat+jwt"`

func TestVerifyRefusals(t *testing.T) {
	k, other := generate(t, keys.ES256), generate(t, keys.ES256)
	iat, exp := strconv.FormatInt(now.Unix()-10, 10), strconv.FormatInt(now.Unix()+290, 10)
	hdr := `{"alg":"ES256","kid":"` + k.Public.KID + `"` + typ + `}`
	signed := func(edits ...string) []byte { return forge(t, k, hdr, claims(edits...)) }
	good := signed()
	hs := func() []byte {
		in := b64([]byte(`{"alg":"HS256"}`)) + "." + b64([]byte(claims()))
		m := hmac.New(sha256.New, k.Public.PEM())
		m.Write([]byte(in))
		return []byte(in + "." + b64(m.Sum(nil)))
	}
	x5c := func() string {
		c, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}},
			&x509.Certificate{SerialNumber: big.NewInt(1)}, other.Signer.Public(), other.Signer)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(c)
	}
	jwk := func(p *keys.Private) string {
		b, err := json.Marshal(p.Public.JWK())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const malformed, unsupported, signature, expired, binding = fault.Malformed, fault.Unsupported, fault.Signature, fault.Expired, fault.Binding
	for _, tc := range []struct {
		name   string
		token  []byte
		change func(*result.VerifyConfig)
		want   fault.Class
	}{
		{"alg none", []byte(b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(claims())) + "."), nil, malformed},
		{"alg none with a signature", forge(t, k, `{"alg":"none"}`, claims()), nil, unsupported},
		{"HS256 with the public key as secret", hs(), nil, unsupported},
		{"RS256", forge(t, k, `{"alg":"RS256"}`, claims()), nil, unsupported},
		{"alg of another curve", forge(t, k, `{"alg":"ES384"}`, claims()), nil, signature},
		{"key of somebody else", forge(t, other, hdr, claims()), nil, signature},
		{"key of somebody else in the header", forge(t, other, `{"alg":"ES256","jwk":`+jwk(other)+`}`, claims()), nil, signature},
		{"certificate of its own making", forge(t, other, `{"alg":"ES256","x5c":["`+x5c()+`"]}`, claims()), nil, signature},
		{"jku", forge(t, other, `{"alg":"ES256","jku":"http://127.0.0.1/"}`, claims()), nil, signature},
		{"crit", forge(t, k, `{"alg":"ES256","crit":["x"],"x":1}`, claims()), nil, unsupported},
		{"b64 false", forge(t, k, `{"alg":"ES256","b64":false}`, claims()), nil, unsupported},
		{"another type", forge(t, k, `{"alg":"ES256","typ":"at+jwt"}`, claims()), nil, unsupported},
		{"alg twice", forge(t, k, `{"alg":"ES256","alg":"ES256"}`, claims()), nil, malformed},
		{"no alg", forge(t, k, `{"typ":"JWT"}`, claims()), nil, malformed},
		{"one bit of the claims", flip(good, len(good)/2), nil, signature},
		{"four parts", append(bytes.Clone(good), ".e30"...), nil, malformed},
		{"two parts", good[:bytes.LastIndexByte(good, '.')], nil, malformed},
		{"padding", append(bytes.Clone(good), '='), nil, malformed},
		{"white space", append([]byte("\n"), good...), nil, malformed},
		{"JSON serialisation", []byte(`{"payload":"","signatures":[]}`), nil, malformed},
		{"empty", nil, nil, malformed},
		{"too long", bytes.Repeat([]byte("a"), 1<<20+1), nil, malformed},

		{"exp with fraction", signed(exp, exp+".0"), nil, malformed},
		{"exp with exponent", signed(exp, "1.9e9"), nil, malformed},
		{"exp as text", signed(exp, `"`+exp+`"`), nil, malformed},
		{"iat with fraction", signed(iat, iat+".5"), nil, malformed},
		{"iat missing", signed(`"iat":`+iat+`,`, ""), nil, malformed},
		{"iat negative", signed(iat, "-1"), nil, malformed},
		{"exp beyond all calendars", signed(exp, "9223372036854775807"), nil, malformed},
		{"exp twice", signed(`"exp":`+exp, `"exp":`+exp+`,"exp":`+exp), nil, malformed},
		{"exp twice, escaped", signed(`"exp":`+exp, `"exp":`+exp+`,"\u0065xp":`+exp), nil, malformed},
		{"label twice", signed(`"submods":{`, `"submods":{"snp":{"ear_status":"none"},`), nil, malformed},
		{"expired", signed(exp, strconv.FormatInt(now.Unix(), 10)), nil, expired},
		{"from the future", signed(iat, strconv.FormatInt(now.Unix()+61, 10)), nil, expired},
		{"nbf in the future", signed(`"iat":`, `"nbf":`+strconv.FormatInt(now.Unix()+61, 10)+`,"iat":`), nil, expired},
		{"no exp, too old", signed(`"exp":`+exp+`,`, "", iat, strconv.FormatInt(now.Unix()-300, 10)), nil, expired},

		{"profile of veraison", signed("tag:ietf.org,2026:rats/ear#03", "tag:github.com,2023:veraison/ear"), nil, unsupported},
		{"no profile", signed(`"eat_profile":"tag:ietf.org,2026:rats/ear#03",`, ""), nil, malformed},
		{"affirming with a 96", signed(`"hardware":2`, `"hardware":96`), nil, malformed},
		{"affirming with a 1", signed(`"hardware":2`, `"hardware":1`), nil, malformed},
		{"top better than its submodule", signed(`{"snp":{"ear_status":"affirming"`, `{"snp":{"ear_status":"warning"`), nil, malformed},
		{"empty vector", signed(`{"hardware":2,"executables":3}`, `{}`), nil, malformed},
		{"member of no vector", signed(`"hardware":2`, `"hardwear":2`), nil, malformed},
		{"value out of range", signed(`"hardware":2`, `"hardware":128`), nil, malformed},
		{"value with fraction", signed(`"hardware":2`, `"hardware":2.0`), nil, malformed},
		{"number as status", signed(`"ear_status":"affirming","ear_t`, `"ear_status":2,"ear_t`), nil, malformed},
		{"no status", signed(`"ear_status":"affirming","ear_t`, `"ear_t`), nil, malformed},
		{"no submodules", signed(claims()[strings.Index(claims(), `"submods":`):], `"submods":{}}`), nil, malformed},
		{"no verifier id", signed(`"ear_verifier_id":{"developer":"d","build":"b"},`, ""), nil, malformed},
		{"verifier id without build", signed(`,"build":"b"`, ""), nil, malformed},
		{"empty policy list", signed(`["urn:x"]`, `[]`), nil, malformed},
		{"policy id as text", signed(`["urn:x"]`, `"urn:x"`), nil, malformed},
		{"list of nonces", signed(`"`+b64(nonce16)+`"`, `["`+b64(nonce16)+`"]`), nil, malformed},
		{"nonce of 7 bytes", signed(b64(nonce16), b64(nonce16[:7])), nil, malformed},
		{"nonce of 65 bytes", signed(b64(nonce16), b64(make([]byte, 65))), nil, malformed},
		{"claims nested deeply", signed(`"iat":`, `"x":`+strings.Repeat("[", 17)+strings.Repeat("]", 17)+`,"iat":`), nil, malformed},
		{"claims are a list", forge(t, k, hdr, "[]"), nil, malformed},
		{"more after the claims", forge(t, k, hdr, claims()+" {}"), nil, malformed},
		{"key attestation without akpub", signed(`"ear_appraisal`, `"ear_veraison_key_attestation":{},"ear_appraisal`), nil, malformed},

		{"other nonce", good, func(c *result.VerifyConfig) { c.Nonce = []byte("another nonce 16") }, binding},
		{"no nonce", signed(`"eat_nonce":"`+b64(nonce16)+`",`, ""), nil, binding},
		{"for another audience", signed(`"iat":`, `"aud":"them","iat":`), func(c *result.VerifyConfig) { c.Audience = "us" }, binding},
		{"for somebody, and nobody asks", signed(`"iat":`, `"aud":["them"],"iat":`), nil, binding},
		{"for nobody, and we ask", good, func(c *result.VerifyConfig) { c.Audience = "us" }, binding},
		{"other issuer", signed(`"iat":`, `"iss":"them","iat":`), func(c *result.VerifyConfig) { c.Issuer = "us" }, binding},
		{"label missing", good, func(c *result.VerifyConfig) { c.Labels = []string{"snp", "gpu-0"} }, binding},
		{"label not asked for", signed(`"submods":{`, `"submods":{"gpu-0":{"ear_status":"affirming"},`), func(c *result.VerifyConfig) { c.Labels, c.OnlyLabels = []string{"snp"}, true }, binding},
		{"bound to no key", good, func(c *result.VerifyConfig) { c.BoundKey = k.Public.SPKI() }, binding},
		{"bound to another key", signed(`"ear_appraisal`, `"ear_veraison_key_attestation":{"akpub":"`+b64(other.Public.SPKI())+`"},"ear_appraisal`), func(c *result.VerifyConfig) { c.BoundKey = k.Public.SPKI() }, binding},
		{"marked insecure", signed(`"iat":`, `"ear_assay_mode":{"insecure":["simulator-root"]},"iat":`), nil, fault.Denied},

		{"no keys", good, func(c *result.VerifyConfig) { c.Keys = nil }, fault.Usage},
		{"zero key", good, func(c *result.VerifyConfig) { c.Keys = []keys.Public{{}} }, fault.Internal},
		{"no clock", good, func(c *result.VerifyConfig) { c.Time = time.Time{} }, fault.Internal},
		{"short nonce asked", good, func(c *result.VerifyConfig) { c.Nonce = []byte{1} }, fault.Usage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now, Nonce: nonce16}
			if tc.change != nil {
				tc.change(&cfg)
			}
			a, err := result.Verify(tc.token, cfg)
			if !fault.Is(err, tc.want) || a != nil {
				t.Errorf("%v (%v), want %v", err, fault.ClassOf(err), tc.want)
			}
		})
	}
}

func flip(token []byte, at int) []byte {
	out := bytes.Clone(token)
	if out[at] == 'A' {
		out[at] = 'B'
	} else {
		out[at] = 'A'
	}
	return out
}

// The counterparts of the refusals: what they change is all that is wrong with them.
func TestVerifyAcceptances(t *testing.T) {
	k, other := generate(t, keys.ES256), generate(t, keys.EdDSA)
	exp := strconv.FormatInt(now.Unix()+290, 10)
	hdr := `{"alg":"ES256","kid":"` + k.Public.KID + `"` + typ + `}`
	for _, tc := range []struct {
		name   string
		token  []byte
		change func(*result.VerifyConfig)
	}{
		{"as it is", forge(t, k, hdr, claims()), nil},
		{"no kid, no type", forge(t, k, `{"alg":"ES256"}`, claims()), nil},
		{"unknown kid", forge(t, k, `{"alg":"ES256","kid":"x"}`, claims()), nil},
		{"draft's type", forge(t, k, `{"alg":"ES256","typ":"application/eat-jwt; eat_profile=\"x\""}`, claims()), nil},
		{"one of several keys", forge(t, k, hdr, claims()), func(c *result.VerifyConfig) { c.Keys = append([]keys.Public{other.Public}, c.Keys...) }},
		{"another algorithm among them", forge(t, other, `{"alg":"EdDSA"}`, claims()), func(c *result.VerifyConfig) { c.Keys = append(c.Keys, other.Public) }},
		{"nonce in base64 with padding", forge(t, k, hdr, claims(b64(nonce16), base64.StdEncoding.EncodeToString(nonce16))), nil},
		{"no exp, young", forge(t, k, hdr, claims(`"exp":`+exp+`,`, "")), nil},
		{"unknown claims", forge(t, k, hdr, claims(`"iat":`, `"x":{"":1.5e3},"iat":`, `"ear_appraisal`, `"":null,"ear_appraisal`)), nil},
		{"worse than its vector", forge(t, k, hdr, claims(`"ear_status":"affirming","submods":{"snp":{"ear_status":"affirming"`, `"ear_status":"warning","submods":{"snp":{"ear_status":"warning"`)), nil},
		{"without a vector", forge(t, k, hdr, claims(`"ear_trustworthiness_vector":{"hardware":2,"executables":3},`, "")), nil},
		{"for us among others", forge(t, k, hdr, claims(`"iat":`, `"aud":["them","us"],"iat":`)), func(c *result.VerifyConfig) { c.Audience = "us" }},
		{"bound to our key", forge(t, k, hdr, claims(`"ear_appraisal`, `"ear_veraison_key_attestation":{"akpub":"`+b64(k.Public.SPKI())+`"},"ear_appraisal`)), func(c *result.VerifyConfig) { c.BoundKey = k.Public.SPKI() }},
		{"insecure and allowed", forge(t, k, hdr, claims(`"iat":`, `"ear_assay_mode":{"insecure":["simulator-root"]},"iat":`)), func(c *result.VerifyConfig) { c.AllowInsecure = true }},
		{"veraison with a number as status", forge(t, k, hdr, claims("tag:ietf.org,2026:rats/ear#03", "tag:github.com,2023:veraison/ear", "ear_verifier_id", "ear.verifier-id",
			`"ear_status":"affirming","sub`, `"sub`, `"ear_status":"affirming"`, `"ear.status":2`, "ear_trustworthiness_vector", "ear.trustworthiness-vector", `"hardware":2`, `"hardware":2,"new-member":96`,
			`"ear_appraisal_policy_ids":["urn:x"]`, `"ear.appraisal-policy-id":"urn:x"`)), func(c *result.VerifyConfig) { c.Profiles = []result.Profile{result.ProfileVeraison} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now, Nonce: nonce16}
			if tc.change != nil {
				tc.change(&cfg)
			}
			a, err := result.Verify(tc.token, cfg)
			if err != nil {
				t.Fatal(err)
			}
			want := claim.TierAffirming
			if strings.HasPrefix(tc.name, "worse") {
				want = claim.TierWarning
			}
			if a.Status() != want || !a.Valid() {
				t.Errorf("status %v", a.Status())
			}
		})
	}
	var zero *result.Accepted
	if zero.Valid() || new(result.Accepted).Valid() {
		t.Error("a zero result is valid")
	}
}

// Every value of the vector has the tier of AR4SI section 2.3.2, and a token may say that tier or worse, never better
// (specs ear.md section 5). Claims of tier none: 0 is neutral, 1 and −1 cap at none.
func TestEveryValueAgainstEveryStatus(t *testing.T) {
	k := generate(t, keys.EdDSA)
	tiers := []claim.Tier{claim.TierAffirming, claim.TierNone, claim.TierWarning, claim.TierContraindicated} // best to worst
	for v := -128; v <= 127; v++ {
		allowed := 0 // index of the best status allowed
		switch {
		case v == 0 || v == 1 || v == -1:
			allowed = 1
		case v >= 96 || v <= -97:
			allowed = 3
		case v >= 32 || v <= -33:
			allowed = 2
		}
		for i, tier := range tiers {
			tok := forge(t, k, `{"alg":"EdDSA"}`, claims(`"ear_status":"affirming","submods"`, `"submods"`, `"ear_status":"affirming"`, `"ear_status":"`+tier.String()+`"`,
				`{"hardware":2,"executables":3}`, `{"hardware":`+strconv.Itoa(v)+`}`))
			a, err := result.Verify(tok, result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now})
			switch {
			case i >= allowed && (err != nil || a.Status() != tier):
				t.Errorf("%d with %v: %v", v, tier, err)
			case i < allowed && !fault.Is(err, fault.Malformed):
				t.Errorf("%d with %v: %v", v, tier, err)
			}
		}
	}
}

func TestIssueRefusals(t *testing.T) {
	w := newWorld(t, nil)
	i, err := result.NewIssuer(result.IssuerConfig{Key: w.key})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Issue(nil, w.decision, result.Options{}); !fault.Is(err, fault.Internal) {
		t.Errorf("no appraisal: %v", err)
	}
	if _, err := i.Issue(w.appraisal, nil, result.Options{}); !fault.Is(err, fault.Internal) {
		t.Errorf("no decision: %v", err)
	}
	if _, err := i.Issue(w.appraisal, w.decision, result.Options{Nonce: []byte{1}}); !fault.Is(err, fault.Malformed) {
		t.Errorf("short nonce: %v", err)
	}
	for name, cfg := range map[string]result.IssuerConfig{
		"no key": {}, "trustee with ES384": {Key: generate(t, keys.ES384), Profile: result.ProfileTrustee},
	} {
		if _, err := result.NewIssuer(cfg); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := result.NewIssuer(result.IssuerConfig{Key: generate(t, keys.ES256), Profile: "x"}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("unknown profile: %v", err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := keys.NewPrivate(p384); err != nil || k.Alg != keys.ES384 {
		t.Errorf("%v %v", k, err)
	}
}

func FuzzVerify(f *testing.F) {
	k := generate(f, keys.EdDSA)
	f.Add([]byte(`{"alg":"EdDSA"}`), []byte(claims()))
	f.Add([]byte(`{"alg":"EdDSA","typ":"eat+jwt"}`), []byte(claims(`"hardware":2`, `"hardware":-1`)))
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		tok := forge(t, k, string(header), string(payload))
		a, err := result.Verify(tok, result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now, Profiles: []result.Profile{result.ProfileEAR, result.ProfileVeraison, result.ProfileTrustee}, AllowInsecure: true})
		if err != nil {
			return
		}
		for _, s := range a.Submods() {
			if s.Status().Better(s.Vector().Tier()) && s.Vector() != (claim.TrustVector{}) {
				t.Errorf("status %v with vector %v", s.Status(), s.Vector())
			}
			if a.Status().Better(s.Status()) {
				t.Errorf("token %v, submodule %v", a.Status(), s.Status())
			}
		}
		_, _ = result.Verify(payload, result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now})
	})
}
