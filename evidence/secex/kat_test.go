package secex

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func vector(t *testing.T, elem ...string) []byte {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: known answers are not checked")
	}
	b, err := os.ReadFile(filepath.Join(append([]string{dir}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// customerKey is the published test key: 14 zero bytes, then the 66-byte scalar.
func customerKey(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	b := vector(t, "se", "keys", "private_cust.bin")
	k, err := ecdh.P521().NewPrivateKey(b[len(b)-p521Size:])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func hostPublic(t *testing.T, elem ...string) *ecdh.PublicKey {
	t.Helper()
	blk, _ := pem.Decode(vector(t, elem...))
	c, err := x509.ParseCertificate(blk.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	k, err := c.PublicKey.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The published request is met to the byte.
func TestRequestKnownAnswer(t *testing.T) {
	r, err := NewRequest(RequestConfig{
		HostKeys: []*ecdh.PublicKey{hostPublic(t, "se", "keys", "host.pem.crt")}, Flags: FlagImagePHKH | FlagAttestationPHKH,
		customer: customerKey(t), arpk: bytes.Repeat([]byte{0x17}, 32), iv: bytes.Repeat([]byte{0x55}, 12),
		measurementKey: bytes.Repeat([]byte{0x77}, 64), nonce: bytes.Repeat([]byte{0xab}, 16),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := vector(t, "se", "exp", "arcb.bin")
	if !bytes.Equal(r.Bytes, want) {
		t.Errorf("request\n%x\nwant\n%x", r.Bytes, want)
	}
	h, err := ParseRequest(want)
	if err != nil {
		t.Fatal(err)
	}
	mk, nonce, err := h.open(bytes.Repeat([]byte{0x17}, 32))
	if err != nil || !bytes.Equal(mk, r.MeasurementKey) || !bytes.Equal(nonce, r.Nonce) {
		t.Errorf("the request opens to %x %x: %v", mk, nonce, err)
	}
}

func TestRequestsOfTheKBSVectors(t *testing.T) {
	var doc struct {
		Requests []struct {
			Name     string   `json:"name"`
			Customer string   `json:"customer_private_hex"`
			Hosts    []string `json:"host_public_keys_160"`
			ARPK     string   `json:"arpk"`
			IV       string   `json:"iv"`
			Key      string   `json:"measurement_key"`
			Nonce    string   `json:"nonce"`
			Flags    string   `json:"flags"`
			Expect   struct {
				Slots []string `json:"key_slots"`
				ARCB  string   `json:"arcb_hex"`
			} `json:"expect"`
		} `json:"attestation_request"`
		Measurement []struct {
			Name       string `json:"name"`
			Key        string `json:"measurement_key"`
			Tags       string `json:"tags_208"`
			CUID       string `json:"cuid"`
			User       string `json:"user_data"`
			Nonce      string `json:"nonce"`
			Additional string `json:"additional_data"`
			Expect     string `json:"expect_measurement"`
		} `json:"measurement"`
	}
	if err := json.Unmarshal(vector(t, "kbs", "se.json"), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Requests) == 0 || len(doc.Measurement) == 0 {
		t.Fatal("no cases")
	}
	for _, tc := range doc.Requests {
		t.Run("request "+tc.Name, func(t *testing.T) {
			cust, err := ecdh.P521().NewPrivateKey(unhex(t, tc.Customer))
			if err != nil {
				t.Fatal(err)
			}
			cfg := RequestConfig{customer: cust, arpk: unhex(t, tc.ARPK), iv: unhex(t, tc.IV), measurementKey: unhex(t, tc.Key), nonce: unhex(t, tc.Nonce)}
			var f uint64
			for _, b := range unhex(t, tc.Flags) {
				f = f<<8 | uint64(b)
			}
			cfg.Flags = Flags(f)
			for _, h := range tc.Hosts {
				pub, err := decodePoint(unhex(t, h))
				if err != nil {
					t.Fatal(err)
				}
				cfg.HostKeys = append(cfg.HostKeys, pub)
			}
			r, err := NewRequest(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(r.Bytes); got != tc.Expect.ARCB {
				t.Errorf("request %s\nwant %s", got, tc.Expect.ARCB)
			}
		})
	}
	for _, tc := range doc.Measurement {
		t.Run("measurement "+tc.Name, func(t *testing.T) {
			tags := HeaderTags(unhex(t, tc.Tags))
			got, err := measure(unhex(t, tc.Key), measurementInput{&tags, unhex(t, tc.CUID), unhex(t, tc.User), unhex(t, tc.Nonce), unhex(t, tc.Additional)})
			if err != nil {
				t.Fatal(err)
			}
			if hex.EncodeToString(got) != tc.Expect {
				t.Errorf("measurement %x\nwant %s", got, tc.Expect)
			}
		})
	}
}

func TestParseRequestRefuses(t *testing.T) {
	good := vector(t, "se", "exp", "arcb.bin")
	for name, tc := range map[string]struct {
		change func([]byte) []byte
		want   fault.Class
	}{
		"measurement algorithm": {func(b []byte) []byte { b[0x3b] = 17; return b }, fault.Unsupported},
		"magic":                 {func(b []byte) []byte { b[3] = 1; return b }, fault.Malformed},
		"version":               {func(b []byte) []byte { b[0x0a] = 2; return b }, fault.Unsupported},
		"one byte less":         {func(b []byte) []byte { return b[:len(b)-1] }, fault.Malformed},
		"one byte more":         {func(b []byte) []byte { return append(b, 0) }, fault.Malformed},
		"no slots":              {func(b []byte) []byte { b[offSlots] = 0; return b }, fault.Malformed},
		"two slots":             {func(b []byte) []byte { b[offSlots] = 2; return b }, fault.Malformed},
		"area without a nonce":  {func(b []byte) []byte { b[0x2f] = 64; return b }, fault.Malformed},
		"unknown flag":          {func(b []byte) []byte { b[0x37] = 1; return b }, fault.Unsupported},
		"reserved byte":         {func(b []byte) []byte { b[0x3c] = 1; return b }, fault.Malformed},
		"long coordinate":       {func(b []byte) []byte { b[offCustomer] = 1; return b }, fault.Malformed},
		"point off the curve":   {func(b []byte) []byte { b[offFirstSlot-1] ^= 1; return b }, fault.Malformed},
	} {
		if _, err := ParseRequest(tc.change(bytes.Clone(good))); !fault.Is(err, tc.want) {
			t.Errorf("%s: %v, want class %v", name, err, tc.want)
		}
	}
	for n := range good {
		if _, err := ParseRequest(good[:n]); !fault.Is(err, fault.Malformed) {
			t.Fatalf("truncated to %d bytes: %v", n, err)
		}
	}
}

func TestHeaderKnownAnswer(t *testing.T) {
	raw := vector(t, "se", "exp", "secure_guest.hdr")
	h, err := ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	if h.EncryptedPages != 64549 || len(h.Hosts) != 1 || hex.EncodeToString(h.Tags.Tag()) != "92309d4589b9a85b427f8753171d1520" ||
		hex.EncodeToString(h.Tags.PLD()[:8]) != "be94b5eab3c1b118" || hex.EncodeToString(h.Hosts[0][:4]) != "782966a6" {
		t.Errorf("%+v", h)
	}
	at := func(off, size int) []byte { b := make([]byte, size); copy(b[off:], raw); return b }
	meta := at(0x14000, 0x17000)
	copy(meta[imageMetaOffset:], unhex(t, "5365496d674c6e780000000000014000000000010000000000016000"))
	for name, tc := range map[string]struct {
		image []byte
		off   uint64
		found bool
	}{
		"page 0x12":          {at(0x12000, 0x13000), 0x12000, true},
		"the header itself":  {raw, 0, true},
		"not at a page":      {at(8, 0x1000), 0, false},
		"first byte missing": {raw[1:], 0, false},
		"bytes swapped":      {append([]byte{raw[1], raw[0]}, raw[2:]...), 0, false},
		"by metadata":        {meta, 0x14000, true},
		"page 0x15":          {at(0x15000, 0x16000), 0, false},
	} {
		got, off, err := FindHeader(tc.image)
		if (err == nil) != tc.found || (tc.found && (off != tc.off || got.Tags != h.Tags)) {
			t.Errorf("%s: offset %#x, %v", name, off, err)
		}
		if err != nil && !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: class %v", name, fault.ClassOf(err))
		}
	}
}

func TestExchangeFilesRoundTrip(t *testing.T) {
	for _, name := range []string{"full_req", "full_resp", "min_req", "min_resp", "add_req", "add_resp", "user_req", "user_resp"} {
		raw := vector(t, "se", "exchange", name+".bin")
		e, err := ParseExchange(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if isResp := name[len(name)-4:] == "resp"; e.IsResponse() != isResp {
			t.Errorf("%s: IsResponse = %v", name, e.IsResponse())
		}
		out, err := e.Marshal()
		if err != nil || !bytes.Equal(out, raw) {
			t.Errorf("%s: written again as\n%x\nwant\n%x (%v)", name, out, raw, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(headerMagic))
	f.Add([]byte(exchangeMagic))
	f.Add(make([]byte, 400))
	f.Fuzz(func(t *testing.T, b []byte) {
		for what, err := range map[string]error{
			"request":  second(ParseRequest(b)),
			"header":   second(ParseHeader(b)),
			"exchange": second(ParseExchange(b)),
		} {
			if err != nil && !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Unsupported) {
				t.Errorf("%s: class %v: %v", what, fault.ClassOf(err), err)
			}
		}
		if e, err := ParseExchange(b); err == nil {
			if out, err := e.Marshal(); err == nil {
				if _, err := ParseExchange(out); err != nil {
					t.Errorf("what Marshal writes does not parse: %v", err)
				}
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestComponentDigestsKnownAnswer(t *testing.T) {
	var doc struct {
		C struct {
			Key   string `json:"xts_key"`
			Pages uint64 `json:"pages"`
			PLD   string `json:"pld"`
			ALD   string `json:"ald"`
			TLD   string `json:"tld"`
		} `json:"component_digests"`
	}
	if err := json.Unmarshal(vector(t, "se", "kat.json"), &doc); err != nil {
		t.Fatal(err)
	}
	tweak := [16]byte{7: 0x42}
	parts := []Component{
		{Address: 0x10000, Content: bytes.Repeat([]byte{1}, 0x3400), Tweak: tweak},
		{Address: 0x20000, Content: bytes.Repeat([]byte{2}, 0x3000), Tweak: tweak},
	}
	pld, ald, tld, pages, err := ComponentDigests(unhex(t, doc.C.Key), parts)
	if err != nil || pages != doc.C.Pages || hex.EncodeToString(pld[:]) != doc.C.PLD || hex.EncodeToString(ald[:]) != doc.C.ALD || hex.EncodeToString(tld[:]) != doc.C.TLD {
		t.Errorf("%d pages\nPLD %x\nALD %x\nTLD %x\n%v\nwant %+v", pages, pld, ald, tld, err, doc.C)
	}
	if _, _, _, n, err := ComponentDigests(unhex(t, doc.C.Key), []Component{{}}); err != nil || n != 1 {
		t.Errorf("an empty component has %d pages (%v), one of zeros expected", n, err)
	}
}
