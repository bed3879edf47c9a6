package result_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/result"
)

// Both forms say the same.
func TestCWTRoundTrip(t *testing.T) {
	w := newWorld(t, nil)
	for _, alg := range keys.Algs() {
		k := generate(t, alg)
		i, err := result.NewIssuer(result.IssuerConfig{Key: k, Issuer: "us"})
		if err != nil {
			t.Fatal(err)
		}
		o := result.Options{Nonce: nonce16, Audience: []string{"them"}, Confirm: true}
		cwt, err := i.IssueCWT(w.appraisal, w.decision, o)
		if err != nil {
			t.Fatal(err)
		}
		jwt, err := i.Issue(w.appraisal, w.decision, o)
		if err != nil {
			t.Fatal(err)
		}
		cfg := result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now, Nonce: nonce16, Audience: "them", Issuer: "us", Labels: []string{"snp"}, BoundKey: w.bound.Public.SPKI()}
		a, err := result.Verify(cwt, cfg)
		if err != nil {
			t.Fatalf("%s: %v\n%x", alg, err, cwt)
		}
		b, err := result.Verify(jwt, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(view(b), view(a)); diff != "" {
			t.Errorf("%s: JWT and CWT differ: %s", alg, diff)
		}
		if tagged, err := result.Verify(append(cborx.AppendTag(nil, 61), cwt...), cfg); err != nil || tagged.Status() != claim.TierAffirming {
			t.Errorf("%s: tag 61 around it: %v", alg, err)
		}
		s, err := cosex.Parse(cwt, cosex.Options{})
		if err != nil || !bytes.Equal(cborx.Canonical(s.Payload), s.Payload) {
			t.Errorf("%s: claims are not deterministic: %v", alg, err)
		}
	}
}

// view is what two forms of one result must agree on.
func view(a *result.Accepted) map[string]string {
	out := map[string]string{"status": a.Status().String(), "issuer": a.Issuer(), "iat": a.IssuedAt().String(), "exp": a.Expires().String(), "nonce": string(a.Nonce())}
	for _, m := range a.Basis() { // CBOR sorts the members of maps
		out["basis "+m.Name] = m.Value.String()
	}
	for _, s := range a.Submods() {
		out[s.Label()] = s.Status().String() + string(s.Nonce()) + string(s.Key())
		for i, m := range s.Vector() {
			out[s.Label()+claim.VectorMember(i).String()] = m.V.String()
		}
		for _, p := range s.PolicyIDs() {
			out[p] = p
		}
		for _, e := range s.Trail() {
			n, _ := e.Value.Object().Get("value")
			acc, _ := e.Value.Object().Get("accepted")
			out[e.Name] = n.String() + acc.String()
		}
	}
	return out
}

func TestCWTRefusals(t *testing.T) {
	k, other := generate(t, keys.ES256), generate(t, keys.ES256)
	sub := func(status int64, vector map[int64]int64) []byte {
		var v, m cborx.MapEncoder
		for key, val := range vector {
			v.Put(key, cborx.AppendInt(nil, val))
		}
		m.Put(1000, cborx.AppendInt(nil, status))
		m.Put(1001, v.Append(nil))
		return m.Append(nil)
	}
	good := sub(2, map[int64]int64{2: 3, 4: 2})
	payload := func(edit func(map[int64][]byte)) []byte {
		var id, subs cborx.MapEncoder
		id.Put(0, cborx.AppendText(nil, "d"))
		id.Put(1, cborx.AppendText(nil, "b"))
		subs.PutText("snp", good)
		c := map[int64][]byte{265: cborx.AppendText(nil, string(result.ProfileEAR)), 6: cborx.AppendInt(nil, now.Unix()), 4: cborx.AppendInt(nil, now.Unix()+300),
			1004: id.Append(nil), 266: subs.Append(nil)}
		if edit != nil {
			edit(c)
		}
		var m cborx.MapEncoder
		for key, v := range c {
			m.Put(key, v)
		}
		return m.Append(nil)
	}
	sign := func(p []byte, key *keys.Private, edit func(*cosex.Template)) []byte {
		tm := cosex.Template{Alg: cosex.ES256, Payload: p}
		if edit != nil {
			edit(&tm)
		}
		b, err := cosex.Sign(tm, key.Signer)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	with := func(edit func(map[int64][]byte)) []byte { return sign(payload(edit), k, nil) }
	submods := func(b []byte) func(map[int64][]byte) {
		return func(c map[int64][]byte) {
			var m cborx.MapEncoder
			m.PutText("snp", b)
			c[266] = m.Append(nil)
		}
	}
	whole := sign(payload(nil), k, nil)
	cfg := result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now}
	if _, err := result.Verify(whole, cfg); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		token []byte
		want  fault.Class
	}{
		{"key of somebody else", sign(payload(nil), other, nil), fault.Signature},
		{"one bit", flipBit(whole, len(whole)/2), fault.Signature},
		{"cut", whole[:len(whole)-1], fault.Malformed},
		{"more after it", append(bytes.Clone(whole), 0), fault.Malformed},
		{"tag 61 inside tag 18", append([]byte{0xd2, 0xd8, 61}, whole[1:]...), fault.Malformed},
		{"no claims", sign(payload(nil), k, func(t *cosex.Template) { t.Detached = true }), fault.Malformed},
		{"another type", sign(payload(nil), k, func(t *cosex.Template) { t.Protected.Put(cosex.LabelTyp, cborx.AppendText(nil, "application/cose")) }), fault.Unsupported},
		{"crit", sign(payload(nil), k, func(t *cosex.Template) {
			t.Protected.Put(cosex.LabelCrit, cborx.AppendInt(cborx.AppendArray(nil, 1), 99))
			t.Protected.Put(99, cborx.AppendUint(nil, 1))
		}), fault.Malformed},
		{"float as time", with(func(c map[int64][]byte) { c[4] = cborx.AppendFloat(nil, float64(now.Unix()+300)) }), fault.Malformed},
		{"tagged time", with(func(c map[int64][]byte) { c[4] = cborx.AppendTag(nil, 1); c[4] = cborx.AppendInt(c[4], now.Unix()+300) }), fault.Malformed},
		{"expired", with(func(c map[int64][]byte) { c[4] = cborx.AppendInt(nil, now.Unix()) }), fault.Expired},
		{"no iat", with(func(c map[int64][]byte) { delete(c, 6) }), fault.Malformed},
		{"no profile", with(func(c map[int64][]byte) { delete(c, 265) }), fault.Malformed},
		{"another profile", with(func(c map[int64][]byte) { c[265] = cborx.AppendText(nil, "x") }), fault.Unsupported},
		{"no verifier id", with(func(c map[int64][]byte) { delete(c, 1004) }), fault.Malformed},
		{"no submodules", with(func(c map[int64][]byte) { c[266] = cborx.AppendMap(nil, 0) }), fault.Malformed},
		{"affirming with a 96", with(submods(sub(2, map[int64]int64{4: 96}))), fault.Malformed},
		{"member of no vector", with(submods(sub(2, map[int64]int64{8: 2}))), fault.Malformed},
		{"value out of range", with(submods(sub(2, map[int64]int64{4: -129}))), fault.Malformed},
		{"empty vector", with(submods(sub(2, nil))), fault.Malformed},
		{"status 3", with(submods(sub(3, map[int64]int64{4: 2}))), fault.Malformed},
		{"status 258", with(submods(sub(258, map[int64]int64{4: 2}))), fault.Malformed},
		{"nonce of 7 bytes", with(func(c map[int64][]byte) { c[10] = cborx.AppendBytes(nil, make([]byte, 7)) }), fault.Malformed},
		{"marked insecure", with(func(c map[int64][]byte) {
			var m cborx.MapEncoder
			m.PutText("insecure", cborx.AppendText(cborx.AppendArray(nil, 1), "simulator-root"))
			c[-71002] = m.Append(nil)
		}), fault.Denied},
	} {
		if a, err := result.Verify(tc.token, cfg); !fault.Is(err, tc.want) || a != nil {
			t.Errorf("%s: %v (%v), want %v", tc.name, err, fault.ClassOf(err), tc.want)
		}
	}
}

func flipBit(b []byte, at int) []byte {
	out := bytes.Clone(b)
	out[at] ^= 1
	return out
}

func FuzzVerifyCWT(f *testing.F) {
	k := generate(f, keys.EdDSA)
	w := newWorld(f, nil)
	i, err := result.NewIssuer(result.IssuerConfig{Key: k})
	if err != nil {
		f.Fatal(err)
	}
	seed, err := i.IssueCWT(w.appraisal, w.decision, result.Options{Confirm: true})
	if err != nil {
		f.Fatal(err)
	}
	s, err := cosex.Parse(seed, cosex.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Payload)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, payload []byte) {
		_, _ = result.Verify(payload, result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now})
		tok, err := cosex.Sign(cosex.Template{Alg: cosex.EdDSA, Payload: payload}, k.Signer)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := result.Verify(tok, result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now, AllowInsecure: true}); err == nil {
			for _, s := range a.Submods() {
				if a.Status().Better(s.Status()) {
					t.Errorf("token %v, submodule %v", a.Status(), s.Status())
				}
			}
		}
	})
}
