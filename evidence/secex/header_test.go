package secex

import (
	"bytes"
	"crypto/ecdh"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

// What this package reads is held against a builder of headers, and that against the published one, byte for byte.

func (s *HeaderSecrets) marshal() []byte {
	b := append(bytes.Clone(s.CCK[:]), s.XTSKey[:]...)
	b = binary.BigEndian.AppendUint64(b, s.PSWMask)
	b = binary.BigEndian.AppendUint64(b, s.PSWAddress)
	b = binary.BigEndian.AppendUint64(b, s.Control)
	b = binary.BigEndian.AppendUint32(b, s.Components)
	return binary.BigEndian.AppendUint32(b, 0)
}

// headerConfig is what a header is built from. Building images is the business of pvimg.
type headerConfig struct {
	hosts          []*ecdh.PublicKey
	customer       *ecdh.PrivateKey
	key, iv        []byte
	pld, ald, tld  []byte
	encryptedPages uint64
	control        uint64
	secrets        HeaderSecrets
}

func buildHeader(c headerConfig) ([]byte, error) {
	if n := len(c.hosts); n == 0 || n > maxHeaderSlots {
		return nil, fault.New(fault.Usage, "an SE header has 1 to %d key slots, not %d", maxHeaderSlots, n)
	}
	point, err := encodePoint(c.customer.PublicKey())
	if err != nil {
		return nil, err
	}
	b := make([]byte, offHeaderSlots)
	copy(b, headerMagic)
	binary.BigEndian.PutUint32(b[8:], headerVersion)
	binary.BigEndian.PutUint32(b[offHeaderSize:], uint32(offHeaderSlots+len(c.hosts)*slotSize+headerSEA+gcmTagSize))
	copy(b[offHeaderIV:], c.iv)
	binary.BigEndian.PutUint64(b[offHeaderNKS:], uint64(len(c.hosts)))
	binary.BigEndian.PutUint64(b[offHeaderSEA:], headerSEA)
	binary.BigEndian.PutUint64(b[offHeaderNEP:], c.encryptedPages)
	binary.BigEndian.PutUint64(b[offHeaderPCF:], c.control)
	copy(b[offHeaderCustomer:], point[:])
	for i, d := range [][]byte{c.pld, c.ald, c.tld} {
		copy(b[offHeaderPLD+i*digestSize:], d)
	}
	for _, h := range c.hosts {
		slot, err := makeSlot(c.customer, h, c.key)
		if err != nil {
			return nil, err
		}
		b = append(b, slot...)
	}
	g, err := newGCM(c.key)
	if err != nil {
		return nil, err
	}
	return g.Seal(b, c.iv, c.secrets.marshal(), b), nil
}

func TestHeaderBuildKnownAnswer(t *testing.T) {
	var doc struct {
		H struct{ Header string } `json:"se_header_build"`
	}
	if err := json.Unmarshal(vector(t, "se", "kat.json"), &doc); err != nil {
		t.Fatal(err)
	}
	c := headerConfig{
		hosts: []*ecdh.PublicKey{hostPublic(t, "se", "keys", "host.pem.crt")}, customer: customerKey(t),
		key: bytes.Repeat([]byte{0x32}, 32), iv: bytes.Repeat([]byte{0x33}, 12), encryptedPages: 1,
		pld: bytes.Repeat([]byte{2}, 64), ald: bytes.Repeat([]byte{1}, 64), tld: bytes.Repeat([]byte{3}, 64),
		secrets: HeaderSecrets{CCK: [32]byte(bytes.Repeat([]byte{0x31}, 32)), XTSKey: [64]byte(bytes.Repeat([]byte{3}, 64)), PSWMask: 5678, PSWAddress: 1234},
	}
	got, err := buildHeader(c)
	if err != nil || hex.EncodeToString(got) != doc.H.Header {
		t.Fatalf("header %x\nwant %s (%v)", got, doc.H.Header, err)
	}
	h, err := ParseHeader(got)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Open(c.key)
	if err != nil || *s != c.secrets {
		t.Errorf("opened as %+v, %v", s, err)
	}
	if _, err := h.Open(bytes.Repeat([]byte{1}, 32)); !fault.Is(err, fault.Signature) {
		t.Errorf("another key: %v", err)
	}
	for i := range got { // everything in the header is covered by its tag, or changes where it is read
		bad := bytes.Clone(got)
		bad[i] ^= 1
		if h, err := ParseHeader(bad); err == nil {
			if _, err := h.Open(c.key); err == nil {
				t.Errorf("byte %#x flipped, and the header still opens", i)
			}
		}
	}
}

func TestSecretListKnownAnswer(t *testing.T) {
	var doc struct {
		L struct {
			Bytes     string `json:"bytes"`
			Total     uint16 `json:"total"`
			NextIndex uint16 `json:"next_index"`
			Entries   []struct {
				Index  uint16 `json:"index"`
				Type   uint16 `json:"type"`
				Length uint32 `json:"length"`
			} `json:"entries"`
		} `json:"secret_list"`
	}
	if err := json.Unmarshal(vector(t, "se", "kat.json"), &doc); err != nil {
		t.Fatal(err)
	}
	raw := unhex(t, doc.L.Bytes)
	l, err := ParseSecretList(raw)
	if err != nil || l.Total != doc.L.Total || l.NextIndex != doc.L.NextIndex || len(l.Entries) != len(doc.L.Entries) {
		t.Fatalf("%+v, %v", l, err)
	}
	for i, e := range doc.L.Entries {
		if g := l.Entries[i]; g.Index != e.Index || uint16(g.Type) != e.Type || g.Size != e.Length {
			t.Errorf("entry %d: %+v", i, g)
		}
	}
	for n := range raw {
		if _, err := ParseSecretList(raw[:n]); !fault.Is(err, fault.Malformed) {
			t.Errorf("truncated to %d bytes: %v", n, err)
		}
	}
}

// The published negative cases of the exchange file.
func TestExchangeFileRefusals(t *testing.T) {
	good := vector(t, "se", "exchange", "min_req.bin")
	if e, err := ParseExchange(good); err != nil || e.IsResponse() {
		t.Errorf("a request reads as a response: %v", err)
	}
	for name, b := range map[string][]byte{
		"first byte inverted":     append([]byte{good[0] ^ 0xff}, good[1:]...),
		"no request":              append(append(bytes.Clone(good[:0x18]), make([]byte, 8)...), good[0x20:]...),
		"last byte removed":       good[:len(good)-1],
		"shorter than the header": unhex(t, "707661747465737401020304"),
	} {
		if _, err := ParseExchange(b); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (&Exchange{Request: []byte{1}}).Marshal(); !fault.Is(err, fault.Usage) {
		t.Errorf("a request that expects no measurement was written: %v", err)
	}
}
