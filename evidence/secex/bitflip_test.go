package secex_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
)

// No bit of an answer is free: each one that is flipped is noticed.
func TestEveryBitOfAnAnswerIsGuarded(t *testing.T) {
	w := newWorld(t, true)
	ch := w.challenge()
	good := w.answer(ch, digest())
	env := evidence.Env{Time: w.now, Anchors: w.anchors(), Collateral: w.collateral(), Session: w.session}
	var err error
	if env.Binding, err = evidence.ExpectFit(digest()); err != nil {
		t.Fatal(err)
	}
	verify := func(a map[string]string) error {
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.driver.Authenticate(context.Background(), evidence.Evidence{Data: raw}, env)
		return err
	}
	if err := verify(good); err != nil {
		t.Fatal(err)
	}
	for member, text := range good {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) == 0 {
			t.Fatalf("%s: %d bytes, %v", member, len(raw), err)
		}
		for bit := range len(raw) * 8 {
			raw[bit/8] ^= 1 << (bit % 8)
			bad := maps.Clone(good)
			bad[member] = base64.StdEncoding.EncodeToString(raw)
			raw[bit/8] ^= 1 << (bit % 8)
			if err := verify(bad); !fault.Is(err, fault.Signature) && !fault.Is(err, fault.Binding) {
				t.Errorf("%s, bit %d: class %v: %v", member, bit, fault.ClassOf(err), err)
			}
		}
	}
}

// No byte of a request is free: the Ultravisor refuses it, or its answer is to something else than was asked.
func TestEveryByteOfARequestIsGuarded(t *testing.T) {
	w := newWorld(t, true)
	ch := w.challenge()
	var c map[string]any
	if err := json.Unmarshal(ch.Wire, &c); err != nil {
		t.Fatal(err)
	}
	req, err := base64.StdEncoding.DecodeString(c["request_blob"].(string))
	if err != nil {
		t.Fatal(err)
	}
	for at := range req {
		bad := bytes.Clone(req)
		bad[at] ^= 1 << (at % 8)
		if a, err := w.guest.Attest(bad, digest()); err == nil {
			t.Errorf("byte %#x: the Ultravisor answered: %x", at, a.Measurement[:8])
		}
	}
}

func TestRequestsThatLie(t *testing.T) {
	w := newWorld(t, false)
	var c struct {
		Request []byte `json:"request_blob"`
	}
	if err := json.Unmarshal(w.challenge().Wire, &c); err != nil {
		t.Fatal(err)
	}
	if _, err := secex.ParseRequest(c.Request); err != nil {
		t.Fatal(err)
	}
	const length, slots, encrypted = 0x0c, 0x27, 0x2c
	put32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint32(b[at:], v); return b }
	}
	for name, change := range map[string]func([]byte) []byte{
		"length zero":                 put32(length, 0),
		"length one short":            put32(length, uint32(len(c.Request)-1)),
		"length of 4 GiB":             put32(length, 1<<32-1),
		"encrypted part of 4 GiB":     put32(encrypted, 1<<32-1),
		"encrypted part one too long": put32(encrypted, binary.BigEndian.Uint32(c.Request[encrypted:])+1),
		"no slot":                     func(b []byte) []byte { b[slots] = 0; return b },
		"255 slots, one there":        func(b []byte) []byte { b[slots] = 255; return b },
		"1000 slots behind it":        func(b []byte) []byte { return append(b, make([]byte, 1000*80)...) },
		"one byte behind it":          func(b []byte) []byte { return append(b, 0) },
	} {
		if _, err := secex.ParseRequest(change(bytes.Clone(c.Request))); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: class %v: %v", name, fault.ClassOf(err), err)
		}
	}
	for n := range c.Request {
		if _, err := secex.ParseRequest(c.Request[:n]); !fault.Is(err, fault.Malformed) {
			t.Errorf("cut to %d bytes: class %v: %v", n, fault.ClassOf(err), err)
		}
	}
}

func TestAnswersCutAtEveryLength(t *testing.T) {
	w := newWorld(t, true)
	ch := w.challenge()
	good, err := json.Marshal(w.answer(ch, digest()))
	if err != nil {
		t.Fatal(err)
	}
	env := evidence.Env{Time: w.now, Anchors: w.anchors(), Collateral: w.collateral(), Session: w.session, Binding: evidence.UnboundUnsafe()}
	for n := range good {
		if _, err := w.driver.Authenticate(context.Background(), evidence.Evidence{Data: good[:n]}, env); !fault.Is(err, fault.Malformed) {
			t.Fatalf("cut to %d bytes: class %v: %v", n, fault.ClassOf(err), err)
		}
	}
}
