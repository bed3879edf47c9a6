package oak

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// The published confirmation holds under the keys that it carries, and under no other; as part of an endorsement it
// confirms that endorsement alone.
func TestPES(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: no confirmation is at hand")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "oak/pes/pes_confirmation.json"))
	if err != nil {
		t.Fatal(err)
	}
	parse := func() *Confirmation {
		c, err := ParseConfirmation(raw)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := parse()
	endorser, set := &Key{Type: 1, Raw: c.Endorser}, KeySet{Keys: []Key{{Type: 2, Raw: c.signer}}}
	if err := c.Verify(endorser, set); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Confirmation, *Key, *KeySet){
		"endorser":            func(_ *Confirmation, k *Key, _ *KeySet) { k.Raw = set.Keys[0].Raw },
		"key of PES":          func(_ *Confirmation, k *Key, s *KeySet) { s.Keys = []Key{*k} },
		"no key":              func(_ *Confirmation, _ *Key, s *KeySet) { s.Keys = nil },
		"entry id":            func(c *Confirmation, _ *Key, _ *KeySet) { c.entryID = append(c.entryID, 'x') },
		"endorser's sign":     func(c *Confirmation, _ *Key, _ *KeySet) { c.endorsed[10] ^= 1 },
		"signature":           func(c *Confirmation, _ *Key, _ *KeySet) { c.signature[10] ^= 1 },
		"the endorsed itself": func(c *Confirmation, _ *Key, _ *KeySet) { c.Serialized[10] ^= 1 },
	} {
		c, k, s := parse(), *endorser, set
		change(c, &k, &s)
		if err := c.Verify(&k, s); !fault.Is(err, fault.Signature) {
			t.Errorf("%s: %v, want class signature", name, err)
		}
	}
	ref := &EndorsementReference{Endorser: KeySet{Keys: []Key{*endorser}}, RequiredClaims: &RequiredClaims{}, TLog: TLog{Strategy: TLogAll, PES: &set}}
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	e := &Endorsement{Serialized: c.Serialized, Signature: c.endorsed, PES: raw}
	if _, err := e.Verify(ref, at); err != nil {
		t.Error(err)
	}
	e.PES = nil
	if _, err := e.Verify(ref, at); !fault.Is(err, fault.Policy) {
		t.Errorf("without confirmation: %v", err)
	}
	policy := "log x+00000000+BgAA\nquorum none"
	ref.TLog.C2SP = &policy
	e.PES = raw
	if _, err := e.Verify(ref, at); err == nil {
		t.Error("strategy all with one of two")
	}
	ref.TLog.Strategy = TLogAny
	if _, err := e.Verify(ref, at); err != nil {
		t.Errorf("strategy any with one of two: %v", err)
	}
	ref.TLog = TLog{Strategy: TLogAll}
	if _, err := e.Verify(ref, at); !fault.Is(err, fault.Policy) {
		t.Errorf("strategy all of none: %v", err)
	}
}
