package secex

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func TestAddSecretKnownAnswers(t *testing.T) {
	var doc struct {
		Add struct {
			Cases []struct {
				File      string `json:"file"`
				Secret    string `json:"secret"`
				Extension string `json:"extension"`
				Bound     bool   `json:"cuid_bound"`
			} `json:"cases"`
			Derived struct{ Value string } `json:"extension_derived"`
		} `json:"add_secret"`
		Store struct {
			Cases []struct {
				Requests []string `json:"requests"`
				Locked   int      `json:"locked"`
				Hash     string   `json:"hash"`
			} `json:"cases"`
		} `json:"secret_store_hash"`
		Plain []struct{ Payload, Encoded string } `json:"plaintext_secret"`
		IDs   []struct{ Name, ID string }         `json:"secret_ids"`
		Heads []struct {
			Kind, ID, Bytes string
			Length          int
		} `json:"secret_header"`
	}
	if err := json.Unmarshal(vector(t, "se", "kat.json"), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Add.Cases) == 0 || len(doc.Store.Cases) == 0 || len(doc.Plain) == 0 || len(doc.IDs) == 0 || len(doc.Heads) == 0 {
		t.Fatal("a group of known answers is empty")
	}
	tags := new(HeaderTags)
	for i := range tags {
		tags[i] = byte(1 + i/64)
	}
	derived, err := DerivedExtension(make([]byte, 32), tags)
	if err != nil || hex.EncodeToString(derived[:]) != doc.Add.Derived.Value {
		t.Errorf("derived extension secret %x, %v", derived, err)
	}
	for _, tc := range doc.Add.Cases {
		cfg := AddSecretConfig{
			HostKeys: []*ecdh.PublicKey{hostPublic(t, "se", "keys", "host.pem.crt")}, Tags: tags, Type: SecretNull,
			customer: customerKey(t), key: bytes.Repeat([]byte{0x17}, 32), iv: bytes.Repeat([]byte{0x55}, 12),
		}
		if tc.Secret == "association" {
			cfg.Type, cfg.ID, cfg.Secret = SecretAssociation, SecretID("add_secret_request"), bytes.Repeat([]byte{0x11}, 32)
		}
		if tc.Bound {
			cfg.CUID = bytes.Repeat([]byte{0x42}, 16)
		}
		switch tc.Extension {
		case "simple":
			cfg.Extension = [32]byte(bytes.Repeat([]byte{0x17}, 32))
		case "derived":
			cfg.Extension = derived
		}
		got, err := NewAddSecretRequest(cfg)
		if want := vector(t, "se", tc.File); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s:\n%x\nwant\n%x (%v)", tc.File, got, want, err)
		}
	}
	for i, tc := range doc.Store.Cases {
		var tagsOf [][gcmTagSize]byte
		for _, r := range tc.Requests {
			tag, err := RequestTag(vector(t, "se", "exp", "asrcb", r))
			if err != nil {
				t.Fatal(err)
			}
			tagsOf = append(tagsOf, tag)
		}
		if got := SecretStoreHash(tagsOf, tc.Locked == 1); hex.EncodeToString(got[:]) != tc.Hash {
			t.Errorf("secret store %d: %x", i, got)
		}
	}
	for _, tc := range doc.Plain {
		if got, err := PlaintextSecret(unhex(t, tc.Payload)); err != nil || hex.EncodeToString(got) != tc.Encoded {
			t.Errorf("plaintext secret %s: %x, %v", tc.Payload, got, err)
		}
	}
	for _, tc := range doc.IDs {
		if got := SecretID(tc.Name); hex.EncodeToString(got[:]) != tc.ID {
			t.Errorf("id of %q: %x", tc.Name, got)
		}
	}
	kinds := map[string]SecretType{"null": SecretNull, "association": SecretAssociation, "plaintext": SecretPlaintext, "update-cck": SecretUpdateCCK}
	for _, tc := range doc.Heads {
		var id [32]byte
		copy(id[:], unhex(t, tc.ID))
		size := tc.Length
		if tc.Kind == "update-cck" {
			size = 32
		}
		if got := secretHeader(kinds[tc.Kind], id, size); hex.EncodeToString(got) != tc.Bytes {
			t.Errorf("%s header: %x, want %s", tc.Kind, got, tc.Bytes)
		}
	}
}

func TestAddSecretRefuses(t *testing.T) {
	k, err := ecdh.P521().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := AddSecretConfig{HostKeys: []*ecdh.PublicKey{k.PublicKey()}, Tags: new(HeaderTags), Type: SecretAES128, Secret: make([]byte, 16)}
	for name, change := range map[string]func(*AddSecretConfig){
		"no host key":    func(c *AddSecretConfig) { c.HostKeys = nil },
		"no image":       func(c *AddSecretConfig) { c.Tags = nil },
		"zero CUID":      func(c *AddSecretConfig) { c.CUID = make([]byte, 16) },
		"short CUID":     func(c *AddSecretConfig) { c.CUID = []byte{1} },
		"wrong length":   func(c *AddSecretConfig) { c.Secret = make([]byte, 24) },
		"bare plaintext": func(c *AddSecretConfig) { c.Type, c.Secret = SecretPlaintext, []byte("pw") },
		"unknown type":   func(c *AddSecretConfig) { c.Type = 99 },
	} {
		c := good
		change(&c)
		if _, err := NewAddSecretRequest(c); !fault.Is(err, fault.Usage) && !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewAddSecretRequest(good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}
