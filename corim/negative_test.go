package corim_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// comid wraps one measurement-values-map, in hex, into a CoMID with one reference triple.
func comid(mval string) string {
	return "a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a1 00 d9 0230 42 c0de 81 a1 01" + mval
}

const (
	d32 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	d31 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
)

func TestMalformedTagsAreRefused(t *testing.T) {
	env := "a1 00 a1 00 d9 0230 42 c0de"
	for name, tc := range map[string]struct {
		in   string
		want fault.Class
	}{
		"empty":                                   {"", fault.Malformed},
		"two bytes":                               {"a200", fault.Malformed},
		"no tag-identity":                         {"a1 04 a1 00 81 82" + env + "81 a1 01 a1 16 f5", fault.Malformed},
		"triples map empty":                       {"a2 01 a1 00 61 74 04 a0", fault.Malformed},
		"category with an empty list":             {"a2 01 a1 00 61 74 04 a1 00 80", fault.Malformed},
		"category that is a map":                  {"a2 01 a1 00 61 74 04 a1 00 a0", fault.Malformed},
		"unknown category that is a map":          {"a2 01 a1 00 61 74 04 a1 18 63 a0", fault.Malformed},
		"reserved category 7":                     {"a2 01 a1 00 61 74 04 a1 07 81 00", fault.Malformed},
		"private key in concise-mid-tag":          {"a3 01 a1 00 61 74 04 a1 00 81 82" + env + "81 a1 01 a1 10 f5 20 00", fault.Unsupported},
		"environment empty":                       {"a2 01 a1 00 61 74 04 a1 00 81 82 a0 81 a1 01 a1 10 f5", fault.Malformed},
		"class empty":                             {"a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a0 81 a1 01 a1 10 f5", fault.Malformed},
		"model without vendor":                    {"a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a1 02 61 6d 81 a1 01 a1 10 f5", fault.Malformed},
		"class-id untagged":                       {"a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a1 00 42 c0de 81 a1 01 a1 10 f5", fault.Malformed},
		"class-id of tag 600":                     {"a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a1 00 d9 0258 42 c0de 81 a1 01 a1 10 f5", fault.Unsupported},
		"class-id is a UUID of 15 bytes":          {"a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a1 00 d8 25 4f 000102030405060708090a0b0c0d0e 81 a1 01 a1 10 f5", fault.Malformed},
		"instance is a UEID of 6 bytes":           {"a2 01 a1 00 61 74 04 a1 00 81 82 a1 01 d9 0226 46 010203040506 81 a1 01 a1 10 f5", fault.Malformed},
		"domain is a number":                      {"a2 01 a1 00 61 74 04 a1 04 81 82 03 81 02", fault.Malformed},
		"mval empty":                              {comid("a0"), fault.Malformed},
		"mval missing":                            {"a2 01 a1 00 61 74 04 a1 00 81 82" + env + "81 a1 00 00", fault.Malformed},
		"measurement list empty":                  {"a2 01 a1 00 61 74 04 a1 00 81 82" + env + "80", fault.Malformed},
		"duplicate code point":                    {comid("a2 10 f5 10 f4"), fault.Malformed},
		"duplicate code point in another form":    {comid("a2 10 f5 18 10 f4"), fault.Malformed},
		"digest of 31 bytes for sha-256":          {comid("a1 02 81 82 01 58 1f" + d31), fault.Malformed},
		"digest of 31 bytes, text name":           {comid("a1 02 81 82 67 7368612d323536 58 1f" + d31), fault.Malformed},
		"same algorithm twice":                    {comid("a1 02 82 82 01 58 20" + d32 + "82 01 58 20" + d32), fault.Malformed},
		"same algorithm under both names":         {comid("a1 02 82 82 01 58 20" + d32 + "82 67 7368612d323536 58 20" + d32), fault.Malformed},
		"digests that are one digest":             {comid("a1 02 82 01 58 20" + d32), fault.Malformed},
		"digest value as text":                    {comid("a1 02 81 82 18 63 61 61"), fault.Malformed},
		"no digests":                              {comid("a1 02 80"), fault.Malformed},
		"flags empty":                             {comid("a1 03 a0"), fault.Malformed},
		"flag that is no boolean":                 {comid("a1 03 a1 00 01"), fault.Malformed},
		"raw value untagged":                      {comid("a1 04 42 0001"), fault.Malformed},
		"raw value under another tag":             {comid("a1 04 d9 0226 42 0001"), fault.Unsupported},
		"mask without value":                      {comid("a1 05 42 0001"), fault.Malformed},
		"mask beside a masked value":              {comid("a2 04 d9 0233 82 41 00 41 00 05 41 00"), fault.Malformed},
		"MAC address of 7 bytes":                  {comid("a1 06 47 00010203040506"), fault.Malformed},
		"IP address of 5 bytes":                   {comid("a1 07 45 0001020304"), fault.Malformed},
		"ueid of 6 bytes":                         {comid("a1 09 46 000102030405"), fault.Malformed},
		"ueid of 34 bytes":                        {comid("a1 09 58 22 0000" + d32), fault.Malformed},
		"uuid of 15 bytes":                        {comid("a1 0a 4f 000102030405060708090a0b0c0d0e"), fault.Malformed},
		"svn negative":                            {comid("a1 01 20"), fault.Malformed},
		"svn as bignum":                           {comid("a1 01 c2 41 01"), fault.Unsupported},
		"svn as float":                            {comid("a1 01 f9 3c00"), fault.Malformed},
		"register id is bytes":                    {comid("a1 0e a1 41 00 81 82 01 58 20" + d32), fault.Malformed},
		"no registers":                            {comid("a1 0e a0"), fault.Malformed},
		"int-range as float":                      {comid("a1 0f f9 3c00"), fault.Malformed},
		"int-range with float ends":               {comid("a1 0f d9 0234 82 f9 3c00 f6"), fault.Malformed},
		"int-range of three":                      {comid("a1 0f d9 0234 83 00 01 02"), fault.Malformed},
		"bool as null":                            {comid("a1 10 f6"), fault.Malformed},
		"number NaN":                              {comid("a1 11 f9 7e00"), fault.Malformed},
		"number as text":                          {comid("a1 11 61 31"), fault.Malformed},
		"set of one":                              {comid("a1 12 d9 0236 81 61 61"), fault.Malformed},
		"text set with bytes":                     {comid("a1 12 d9 0236 82 61 61 41 61"), fault.Malformed},
		"range where only a set is allowed":       {comid("a1 12 d9 0235 82 f6 f6"), fault.Unsupported},
		"version without text":                    {comid("a1 00 a1 01 01"), fault.Malformed},
		"cryptokeys empty":                        {comid("a1 0d 80"), fault.Malformed},
		"cryptokey untagged":                      {comid("a1 0d 81 41 00"), fault.Malformed},
		"OID without content":                     {"a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a1 00 d8 6f 40 81 a1 01 a1 10 f5", fault.Malformed},
		"OID with an unfinished arc":              {"a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a1 00 d8 6f 42 2b81 81 a1 01 a1 10 f5", fault.Malformed},
		"OID with a padded arc":                   {"a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a1 00 d8 6f 43 2b8001 81 a1 01 a1 10 f5", fault.Malformed},
		"key triple without keys":                 {"a2 01 a1 00 61 74 04 a1 03 81 82" + env + "80", fault.Malformed},
		"key triple with empty conditions":        {"a2 01 a1 00 61 74 04 a1 03 81 83" + env + "81 d9 0230 41 00 a0", fault.Malformed},
		"linked tag of unknown relation":          {"a3 01 a1 00 61 74 03 81 a2 00 61 75 01 05 04 a1 00 81 82" + env + "81 a1 01 a1 10 f5", fault.Unsupported},
		"conditional endorsement without one":     {"a2 01 a1 00 61 74 04 a1 0a 81 82 81 82" + env + "81 a1 01 a1 10 f5 80", fault.Malformed},
		"series item without condition":           {"a2 01 a1 00 61 74 04 a1 08 81 82 82" + env + "80 81 82 80 81 a1 01 a1 10 f5", fault.Malformed},
		"text value with invalid UTF-8":           {comid("a1 0b 62 c328"), fault.Malformed},
		"indefinite list of measurements":         {"a2 01 a1 00 61 74 04 a1 00 81 82" + env + "9f a1 01 a1 10 f5 ff", fault.Malformed},
		"trailing byte":                           {comid("a1 10 f5") + "00", fault.Malformed},
		"code point nested to depth 17":           {comid("a1 18 63" + strings.Repeat("81", 17) + "00"), fault.Malformed},
		"tag-id is bytes of 15":                   {"a2 01 a1 00 4f 000102030405060708090a0b0c0d0e 04 a1 00 81 82" + env + "81 a1 01 a1 10 f5", fault.Malformed},
		"tag-version negative":                    {"a2 01 a2 00 61 74 01 20 04 a1 00 81 82" + env + "81 a1 01 a1 10 f5", fault.Malformed},
		"entity without roles":                    {"a3 01 a1 00 61 74 02 81 a1 00 61 65 04 a1 00 81 82" + env + "81 a1 01 a1 10 f5", fault.Malformed},
		"tag 506 around the map":                  {"d9 01fa" + comid("a1 10 f5"), fault.Malformed},
		"thumbprint of wrong length":              {"a2 01 a1 00 61 74 04 a1 03 81 82" + env + "81 d9 022d 82 01 41 00", fault.Malformed},
		"COSE_Key that is bytes":                  {"a2 01 a1 00 61 74 04 a1 03 81 82" + env + "81 d9 022e 41 00", fault.Malformed},
		"key that is a certificate path as bytes": {"a2 01 a1 00 61 74 04 a1 03 81 82" + env + "81 d9 022c 41 00", fault.Malformed},
	} {
		c, err := corim.DecodeCoMID(unhex(t, tc.in), corim.Options{})
		if !fault.Is(err, tc.want) {
			t.Errorf("%s: %v (%v), want class %v", name, err, c, tc.want)
		}
	}
	if _, err := corim.DecodeCoMID(unhex(t, comid("a1 10 f5")), corim.Options{}); err != nil {
		t.Errorf("the frame of these cases is wrong itself: %v", err)
	}
}

func TestMalformedManifestsAreRefused(t *testing.T) {
	tag := "d9 01fa 58 1b" + comid("a1 10 f5")
	for name, tc := range map[string]struct {
		in    string
		want  fault.Class
		relax corim.Relaxation
	}{
		"good":                        {"d9 01f5 a2 00 61 69 01 81" + tag, 0, ""},
		"legacy prefix":               {"d9 01f4 d9 01f5 a2 00 61 69 01 81" + tag, fault.Malformed, corim.RelaxLegacyPrefix},
		"bare payload":                {"a2 00 61 69 01 81" + tag, fault.Malformed, corim.RelaxBarePayload},
		"no id":                       {"d9 01f5 a1 01 81" + tag, fault.Malformed, ""},
		"no tags":                     {"d9 01f5 a1 00 61 69", fault.Malformed, ""},
		"tags empty":                  {"d9 01f5 a2 00 61 69 01 80", fault.Malformed, ""},
		"tag without a byte string":   {"d9 01f5 a2 00 61 69 01 81 d9 01fa" + comid("a1 10 f5"), fault.Malformed, ""},
		"bytes around the tag":        {"d9 01f5 a2 00 61 69 01 81 58 1e d9 01fa" + comid("a1 10 f5"), fault.Malformed, corim.RelaxBstrAroundTag},
		"unknown tag":                 {"d9 01f5 a2 00 61 69 01 81 d9 01ff 41 00", fault.Unsupported, ""},
		"profile untagged":            {"d9 01f5 a3 00 61 69 01 81" + tag + "03 63 613a62", fault.Malformed, corim.RelaxUntaggedURI},
		"profile in an array":         {"d9 01f5 a3 00 61 69 01 81" + tag + "03 81 d8 20 63 613a62", fault.Malformed, corim.RelaxProfileArray},
		"profile unknown":             {"d9 01f5 a3 00 61 69 01 81" + tag + "03 d8 20 63 613a63", fault.Unsupported, ""},
		"private key":                 {"d9 01f5 a3 00 61 69 01 81" + tag + "20 00", fault.Unsupported, ""},
		"validity without an end":     {"d9 01f5 a3 00 61 69 01 81" + tag + "04 a1 00 c1 00", fault.Malformed, ""},
		"validity with a float (A22)": {"d9 01f5 a3 00 61 69 01 81" + tag + "04 a1 01 c1 f9 3c00", fault.Malformed, ""},
		"validity untagged":           {"d9 01f5 a3 00 61 69 01 81" + tag + "04 a1 01 1a 70000000", fault.Malformed, ""},
		"two signers":                 {"d9 01f5 a3 00 61 69 01 81" + tag + "05 82 a2 00 61 61 02 81 02 a2 00 61 62 02 81 02", fault.Malformed, ""},
		"trailing byte":               {"d9 01f5 a2 00 61 69 01 81" + tag + "00", fault.Malformed, ""},
		"id given twice":              {"d9 01f5 a3 00 61 69 01 81" + tag + "18 00 61 6a", fault.Malformed, ""},
		"old tag 500 without 501":     {"d9 01f4 a2 00 61 69 01 81" + tag, fault.Malformed, ""},
		"href untagged":               {"d9 01f5 a3 00 61 69 01 81" + tag + "02 81 a1 00 61 61", fault.Malformed, corim.RelaxUntaggedURI},
	} {
		b := unhex(t, tc.in)
		o := corim.Options{Profiles: corim.NewRegistry(&corim.Profile{IDs: []string{"a:b"}})}
		_, err := corim.Decode(b, o)
		if tc.want == 0 != (err == nil) || err != nil && fault.ClassOf(err) != tc.want {
			t.Errorf("%s: %v, want class %v", name, err, tc.want)
		}
		if tc.relax == "" {
			continue
		}
		o.Relax = []corim.Relaxation{tc.relax}
		m, err := corim.Decode(b, o)
		if err != nil || len(m.Relaxations) != 1 || m.Relaxations[0] != string(tc.relax) {
			t.Errorf("%s: with %s: %v, %v", name, tc.relax, m, err)
		}
	}
}

// sign1 signs a payload under headers that corim.Sign would not write.
func sign1(t *testing.T, key crypto.Signer, payload []byte, change func(p, u *cborx.MapEncoder)) []byte {
	t.Helper()
	alg, err := cosex.AlgFor(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	tm := cosex.Template{Alg: alg, Payload: payload}
	change(&tm.Protected, &tm.Unprotected)
	b, err := cosex.Sign(tm, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func meta(name string, notAfter int64) []byte {
	m := cborx.AppendText(append(cborx.AppendMap(cborx.AppendUint(nil, 0), 1), 0), name)
	n := 1
	if notAfter != 0 {
		m = append(m, 0x01, 0xa1, 0x01, 0xc1)
		m = cborx.AppendInt(m, notAfter)
		n = 2
	}
	return cborx.AppendBytes(nil, append(cborx.AppendMap(nil, n), m...))
}

func cwt(iss string, exp int64) []byte {
	b := cborx.AppendText(append(cborx.AppendMap(nil, 2), 1), iss)
	return cborx.AppendInt(append(b, 4), exp)
}

func TestEnvelopeRules(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	payload := example(t)
	text := func(s string) []byte { return cborx.AppendText(nil, s) }
	cty := text(corim.MediaTypeUnsigned)
	type enc = *cborx.MapEncoder
	for name, tc := range map[string]struct {
		change func(p, u enc)
		want   fault.Class // of ParseSigned; 0 for none
	}{
		"good, meta":               {func(p, u enc) { p.Put(3, cty); p.Put(8, meta("A", 0)) }, 0},
		"good, cwt":                {func(p, u enc) { p.Put(3, cty); p.Put(15, cwt("A", 5)) }, 0},
		"good, both":               {func(p, u enc) { p.Put(3, cty); p.Put(8, meta("A", 5)); p.Put(15, cwt("A", 5)) }, 0},
		"good, critical meta":      {func(p, u enc) { p.Put(2, []byte{0x81, 8}); p.Put(3, cty); p.Put(8, meta("A", 0)) }, 0},
		"neither 8 nor 15":         {func(p, u enc) { p.Put(3, cty) }, fault.Malformed},
		"meta unprotected":         {func(p, u enc) { p.Put(3, cty); u.Put(8, meta("A", 0)) }, fault.Malformed},
		"cwt unprotected":          {func(p, u enc) { p.Put(3, cty); u.Put(15, cwt("A", 5)) }, fault.Malformed},
		"iss is another":           {func(p, u enc) { p.Put(3, cty); p.Put(8, meta("A", 5)); p.Put(15, cwt("B", 5)) }, fault.Malformed},
		"exp is another":           {func(p, u enc) { p.Put(3, cty); p.Put(8, meta("A", 6)); p.Put(15, cwt("A", 5)) }, fault.Malformed},
		"exp without a validity":   {func(p, u enc) { p.Put(3, cty); p.Put(8, meta("A", 0)); p.Put(15, cwt("A", 5)) }, fault.Malformed},
		"no content type":          {func(p, u enc) { p.Put(8, meta("A", 0)) }, fault.Malformed},
		"another content type":     {func(p, u enc) { p.Put(3, text("text/plain")); p.Put(8, meta("A", 0)) }, fault.Malformed},
		"content type unprotected": {func(p, u enc) { u.Put(3, cty); p.Put(8, meta("A", 0)) }, fault.Malformed},
		"content type and 258":     {func(p, u enc) { p.Put(3, cty); p.Put(258, []byte{0x2f}); p.Put(259, cty); p.Put(8, meta("A", 0)) }, fault.Malformed},
		"258 without 259":          {func(p, u enc) { p.Put(258, []byte{0x2f}); p.Put(8, meta("A", 0)) }, fault.Malformed},
		"crit unknown label": {func(p, u enc) {
			p.Put(2, []byte{0x81, 0x18, 99})
			p.Put(99, []byte{0})
			p.Put(3, cty)
			p.Put(8, meta("A", 0))
		}, fault.Malformed},
		"crit text label": {func(p, u enc) {
			p.Put(2, []byte{0x81, 0x61, 'x'})
			p.PutText("x", []byte{0})
			p.Put(3, cty)
			p.Put(8, meta("A", 0))
		}, fault.Malformed},
		"crit absent label":     {func(p, u enc) { p.Put(2, []byte{0x81, 4}); p.Put(3, cty); p.Put(8, meta("A", 0)) }, fault.Malformed},
		"crit empty":            {func(p, u enc) { p.Put(2, []byte{0x80}); p.Put(3, cty); p.Put(8, meta("A", 0)) }, fault.Malformed},
		"crit unprotected":      {func(p, u enc) { u.Put(2, []byte{0x81, 8}); p.Put(3, cty); p.Put(8, meta("A", 0)) }, fault.Malformed},
		"alg in both headers":   {func(p, u enc) { u.Put(1, []byte{0x26}); p.Put(3, cty); p.Put(8, meta("A", 0)) }, fault.Malformed},
		"label in both headers": {func(p, u enc) { p.Put(4, []byte{0x40}); u.Put(4, []byte{0x40}); p.Put(3, cty); p.Put(8, meta("A", 0)) }, fault.Malformed},
		"meta names nobody":     {func(p, u enc) { p.Put(3, cty); p.Put(8, meta("", 0)) }, fault.Malformed},
		"meta that is no bytes": {func(p, u enc) { p.Put(3, cty); p.Put(8, []byte{0xa0}) }, fault.Malformed},
		"cwt with a float": {func(p, u enc) {
			p.Put(3, cty)
			p.Put(15, append(cborx.AppendText([]byte{0xa2, 1}, "A"), 4, 0xf9, 0x3c, 0))
		}, fault.Malformed},
		"x5chain of one as a list": {func(p, u enc) { p.Put(3, cty); p.Put(8, meta("A", 0)); p.Put(33, []byte{0x81, 0x41, 0}) }, fault.Malformed},
		"x5chain that is a text":   {func(p, u enc) { p.Put(3, cty); p.Put(8, meta("A", 0)); p.Put(33, []byte{0x61, 'a'}) }, fault.Malformed},
		"x5chain of eleven": {func(p, u enc) {
			p.Put(3, cty)
			p.Put(8, meta("A", 0))
			p.Put(33, append([]byte{0x8b}, bytes.Repeat([]byte{0x41, 0}, 11)...))
		}, fault.Malformed},
	} {
		b := sign1(t, key, payload, tc.change)
		s, err := corim.ParseSigned(b, corim.Options{Profiles: profiles.All()})
		if (err == nil) != (tc.want == 0) || err != nil && fault.ClassOf(err) != tc.want {
			t.Errorf("%s: %v, want class %v", name, err, tc.want)
			continue
		}
		if err == nil {
			if err := s.Verify(key.Public()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestAlgorithmInTheUnprotectedHeaderOnly(t *testing.T) {
	// 18([h'a20378..08..', {1: -7}, payload, sig]): no alg is protected.
	p := append([]byte{0xa2, 0x03}, cborx.AppendText(nil, corim.MediaTypeUnsigned)...)
	p = append(append(p, 0x08), meta("A", 0)...)
	b := cborx.AppendBytes([]byte{0xd2, 0x84}, p)
	b = append(b, 0xa1, 0x01, 0x26)
	b = cborx.AppendBytes(cborx.AppendBytes(b, example(t)), make([]byte, 64))
	if _, err := corim.ParseSigned(b, corim.Options{}); !fault.Is(err, fault.Malformed) {
		t.Errorf("%v", err)
	}
}

// rawSigned builds a signed CoRIM with any algorithm id and signature bytes.
func rawSigned(alg int64, payload, sig []byte) []byte {
	p := cborx.AppendInt([]byte{0xa3, 0x01}, alg)
	p = append(append(p, 0x03), cborx.AppendText(nil, corim.MediaTypeUnsigned)...)
	p = append(append(p, 0x08), meta("A", 0)...)
	b := append(cborx.AppendBytes([]byte{0xd2, 0x84}, p), 0xa0)
	return cborx.AppendBytes(cborx.AppendBytes(b, payload), sig)
}

func TestAlgorithmsThatAreRefused(t *testing.T) {
	payload := example(t)
	p256, p384 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384())
	rsa1024, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, p256, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		alg  int64
		key  crypto.PublicKey
		sig  []byte
		want fault.Class
	}{
		"ESP256 with a P-384 key": {cosex.ESP256, p384.Public(), make([]byte, 96), fault.Signature},
		"ES256 in DER":            {cosex.ES256, p256.Public(), der, fault.Signature},
		"RS256":                   {-257, rsa1024.Public(), make([]byte, 256), fault.Signature},
		"RS1":                     {-65535, rsa1024.Public(), make([]byte, 256), fault.Signature},
		"HMAC 256/256":            {5, p256.Public(), make([]byte, 32), fault.Signature},
		"ES256 with an RSA key":   {cosex.ES256, rsa1024.Public(), make([]byte, 64), fault.Signature},
		"EdDSA with an EC key":    {cosex.EdDSA, p256.Public(), make([]byte, 64), fault.Signature},
		"zero signature":          {cosex.ES256, p256.Public(), make([]byte, 64), fault.Signature},
		"no signature":            {cosex.ES256, p256.Public(), nil, fault.Signature},
		"ML-DSA-65":               {-49, p256.Public(), make([]byte, 64), fault.Unsupported},
		"no key":                  {cosex.ES256, nil, make([]byte, 64), fault.Signature},
	} {
		s, err := corim.ParseSigned(rawSigned(tc.alg, payload, tc.sig), corim.Options{Profiles: profiles.All()})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Verify(tc.key); !fault.Is(err, tc.want) {
			t.Errorf("%s: %v, want class %v", name, err, tc.want)
		}
		if _, err := s.Manifest(); !fault.Is(err, fault.Signature) {
			t.Errorf("%s: the manifest was read: %v", name, err)
		}
	}
}

func TestDetachedAndHashEnvelope(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	payload := example(t)
	other := bytes.Clone(payload)
	other[len(other)-1] ^= 1
	for name, o := range map[string]corim.SignOptions{
		"detached": {SignerName: "A", Detached: true},
		"sha-256":  {SignerName: "A", HashAlg: -16, PayloadLocation: "https://example.com/x.corim"},
		"sha-384":  {SignerName: "A", HashAlg: -43},
		"sha-512":  {SignerName: "A", HashAlg: -44, OnlyCWT: true},
	} {
		b, err := corim.Sign(payload, key, o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := corim.ParseSigned(b, corim.Options{Profiles: profiles.All()})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Verify(key.Public()); !s.Detached() || !fault.Is(err, fault.Signature) {
			t.Errorf("%s: verified without its manifest: %v", name, err)
		}
		if err := s.VerifyContent(key.Public(), other); !fault.Is(err, fault.Signature) {
			t.Errorf("%s: verified over other bytes: %v", name, err)
		}
		if _, err := s.Manifest(); !fault.Is(err, fault.Signature) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.VerifyContent(key.Public(), payload); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if m, err := s.Manifest(); err != nil || m.ID != claim.Text(0, "example.com/fw") {
			t.Errorf("%s: %v %v", name, m, err)
		}
	}
	inline, err := corim.Sign(payload, key, corim.SignOptions{SignerName: "A"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := corim.ParseSigned(inline, corim.Options{Profiles: profiles.All()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.VerifyContent(key.Public(), payload); !fault.Is(err, fault.Signature) {
		t.Errorf("a supplied manifest took the place of the carried one: %v", err)
	}
	if _, err := corim.Sign(payload, key, corim.SignOptions{SignerName: "A", Detached: true, HashAlg: -16}); err == nil {
		t.Error("detached and hash envelope together")
	}
	sum := sha256.Sum256(payload)
	if _, err := corim.Sign(sum[:], key, corim.SignOptions{SignerName: "A"}); err == nil {
		t.Error("something that is no CoRIM was signed")
	}
}

func TestSubjectMustNameTheManifest(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	b, err := corim.Sign(example(t), key, corim.SignOptions{SignerName: "A", OnlyCWT: true, Subject: "example.com/other"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := corim.ParseSigned(b, corim.Options{Profiles: profiles.All()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(key.Public()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Manifest(); !fault.Is(err, fault.Malformed) {
		t.Errorf("%v", err)
	}
}

// A million triples are refused before they cost more than the input itself.
func TestAMillionTriplesAreRefused(t *testing.T) {
	env := unhex(t, "82 a1 00 a1 00 d9 0230 42 c0de 81 a1 01 a1 10 f5")
	for name, n := range map[string]int{"one category beyond the list limit": 1_000_000, "within the list limit": 60_000} {
		b := unhex(t, "a2 01 a1 00 61 74 04 a2")
		for _, key := range []byte{0, 1} {
			b = cborx.AppendArray(append(b, key), n)
			b = append(b, bytes.Repeat(env, n)...)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := corim.DecodeCoMID(b, corim.Options{})
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(len(b))+(160<<20); got > most {
			t.Errorf("%s: %d bytes allocated for %d bytes of input", name, got, len(b))
		}
		if took > 5*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}
