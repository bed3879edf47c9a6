// Package tlogproof verifies proofs of inclusion that travel with what they prove (C2SP tlog-proof), under a policy that
// names logs, witnesses and a quorum (C2SP tlog-policy). Keys are Ed25519: signed notes (type 01) and timestamped
// cosignatures (type 04).
package tlogproof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-tee/assay/internal/fault"
)

// Limits.
const (
	maxProof  = 64 << 10 // bytes
	maxPolicy = 64 << 10
	maxLines  = 256
)

// key is a verifier key: name+hash+base64(type ‖ key).
type key struct {
	name string
	hash [4]byte
	typ  byte
	pub  ed25519.PublicKey
}

func parseKey(s string) (key, error) {
	name, rest, ok := strings.Cut(s, "+")
	h, b64, ok2 := strings.Cut(rest, "+")
	hash, err := hex.DecodeString(h)
	raw, err2 := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || !ok2 || err != nil || err2 != nil || name == "" || len(hash) != 4 || len(raw) < 1 {
		return key{}, fault.New(fault.Malformed, "%q is no verifier key", s)
	}
	k := key{name: name, hash: [4]byte(hash), typ: raw[0], pub: raw[1:]}
	if k.typ != 1 && k.typ != 4 || len(k.pub) != ed25519.PublicKeySize {
		return key{}, fault.New(fault.Unsupported, "verifier key %s of type %#02x; Ed25519 keys of the types 01 and 04 are known", name, k.typ)
	}
	if sum := sha256.Sum256(append([]byte(name+"\n"), raw...)); !bytes.Equal(sum[:4], hash) {
		return key{}, fault.New(fault.Malformed, "verifier key %s does not have the hash that it names", name)
	}
	return k, nil
}

// signs reports whether one of the lines is a signature of k over the note; at is the time of a cosignature.
func (k key) signs(note string, lines []signature) (at time.Time, ok bool) {
	for _, s := range lines {
		if s.name != k.name || s.hash != k.hash {
			continue
		}
		switch {
		case k.typ == 1 && len(s.sig) == ed25519.SignatureSize && ed25519.Verify(k.pub, []byte(note), s.sig):
			return at, true
		case k.typ == 4 && len(s.sig) == 8+ed25519.SignatureSize:
			t := binary.BigEndian.Uint64(s.sig)
			if ed25519.Verify(k.pub, []byte("cosignature/v1\ntime "+strconv.FormatUint(t, 10)+"\n"+note), s.sig[8:]) {
				return time.Unix(int64(t&(1<<62-1)), 0).UTC(), true
			}
		}
	}
	return at, false
}

// Policy says whom to believe.
type Policy struct {
	logs    []key
	members map[string]member
	quorum  string // "none" or the name of a witness or group
}

type member struct {
	witness *key
	need    int // of a group
	of      []string
}

// ParsePolicy reads a policy: log, witness, group and quorum lines. Errors are malformed or unsupported.
func ParsePolicy(text string) (*Policy, error) {
	if len(text) > maxPolicy {
		return nil, fault.New(fault.Malformed, "a policy of %d bytes", len(text))
	}
	p := &Policy{members: map[string]member{}}
	keys := map[string]bool{}
	add := func(s string) (key, error) {
		k, err := parseKey(s)
		if err == nil && keys[string(k.pub)] {
			err = fault.New(fault.Malformed, "policy: the key of %s occurs twice", k.name)
		}
		keys[string(k.pub)] = true
		return k, err
	}
	define := func(name string, m member) error {
		if _, dup := p.members[name]; dup || name == "none" {
			return fault.New(fault.Malformed, "policy: the name %q is taken", name)
		}
		p.members[name] = m
		return nil
	}
	for n, line := range strings.Split(text, "\n") {
		f := strings.FieldsFunc(strings.TrimSuffix(line, "\r"), func(r rune) bool { return r == ' ' || r == '\t' })
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		var err error
		switch {
		case n > maxLines:
			err = fault.New(fault.Malformed, "a policy of more than %d lines", maxLines)
		case f[0] == "log" && (len(f) == 2 || len(f) == 3):
			var k key
			k, err = add(f[1])
			p.logs = append(p.logs, k)
		case f[0] == "witness" && (len(f) == 3 || len(f) == 4):
			var k key
			if k, err = add(f[2]); err == nil {
				err = define(f[1], member{witness: &k})
			}
		case f[0] == "group" && len(f) >= 4:
			m := member{of: f[3:]}
			switch f[2] {
			case "any":
				m.need = 1
			case "all":
				m.need = len(m.of)
			default:
				m.need, err = strconv.Atoi(f[2])
			}
			for i, o := range m.of {
				if _, known := p.members[o]; !known || slices.Contains(m.of[:i], o) {
					err = fault.New(fault.Malformed, "policy: %q is not defined above, or named twice", o)
				}
			}
			if err != nil || m.need < 1 || m.need > len(m.of) {
				err = fault.New(fault.Malformed, "policy: group %s: %w", f[1], err)
			} else {
				err = define(f[1], m)
			}
		case f[0] == "quorum" && len(f) == 2 && p.quorum == "":
			if _, known := p.members[f[1]]; !known && f[1] != "none" {
				err = fault.New(fault.Malformed, "policy: quorum %q is not defined above", f[1])
			}
			p.quorum = f[1]
		default:
			err = fault.New(fault.Malformed, "policy: line %d cannot be read", n+1)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(p.logs) == 0 || p.quorum == "" {
		return nil, fault.New(fault.Malformed, "a policy needs a log and one quorum line")
	}
	return p, nil
}

// met reports whether the witness or group of that name has signed. Each is asked once: groups may share members.
func (p *Policy) met(name string, known map[string]bool, signed func(key) bool) bool {
	if ok, asked := known[name]; asked {
		return ok
	}
	m := p.members[name]
	if m.witness != nil {
		known[name] = signed(*m.witness)
		return known[name]
	}
	n := 0
	for _, o := range m.of {
		if p.met(o, known, signed) {
			n++
		}
	}
	known[name] = n >= m.need
	return known[name]
}

type signature struct {
	name string
	hash [4]byte
	sig  []byte
}

// Proof is a proof as it travels, not yet verified.
type Proof struct {
	Extra  []byte // not authenticated by the proof; nil when absent
	index  int64
	hashes tlog.RecordProof
	note   string
	size   int64
	root   tlog.Hash
	sigs   []signature
}

// Parse reads a proof. Errors are malformed.
func Parse(b []byte) (*Proof, error) {
	bad := func(what string) (*Proof, error) { return nil, fault.New(fault.Malformed, "tlog-proof: %s", what) }
	if len(b) > maxProof {
		return bad("too long")
	}
	head, checkpoint, ok := strings.Cut(string(b), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || lines[0] != "c2sp.org/tlog-proof@v1" || len(lines) > maxLines {
		return bad("no proof of version 1")
	}
	p, lines := &Proof{}, lines[1:]
	var err error
	if len(lines) > 0 {
		if extra, found := strings.CutPrefix(lines[0], "extra "); found {
			if p.Extra, err = base64.StdEncoding.Strict().DecodeString(extra); err != nil {
				return bad("extra")
			}
			lines = lines[1:]
		}
	}
	if len(lines) == 0 {
		return bad("no index")
	}
	n, found := strings.CutPrefix(lines[0], "index ")
	if p.index, err = strconv.ParseInt(n, 10, 64); !found || err != nil || p.index < 0 || n != strconv.FormatInt(p.index, 10) {
		return bad("index")
	}
	for _, l := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(l)
		if err != nil || len(h) != tlog.HashSize {
			return bad("a hash")
		}
		p.hashes = append(p.hashes, tlog.Hash(h))
	}
	return p, p.checkpoint(checkpoint)
}

func (p *Proof) checkpoint(text string) error {
	bad := fault.New(fault.Malformed, "tlog-proof: the checkpoint cannot be read")
	body, sigs, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(body, "\n")
	if !ok || len(lines) < 3 || lines[0] == "" {
		return bad
	}
	p.note = body + "\n"
	var err error
	if p.size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || p.size <= 0 || lines[1] != strconv.FormatInt(p.size, 10) {
		return bad
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return bad
	}
	p.root = tlog.Hash(root)
	for _, l := range strings.Split(strings.TrimSuffix(sigs, "\n"), "\n") {
		l, dash := strings.CutPrefix(l, "— ")
		name, b64, ok := strings.Cut(l, " ")
		raw, err := base64.StdEncoding.Strict().DecodeString(b64)
		if !dash || !ok || err != nil || len(raw) < 5 || len(p.sigs) == maxLines {
			return bad
		}
		p.sigs = append(p.sigs, signature{name, [4]byte(raw[:4]), raw[4:]})
	}
	return nil
}

// Verify checks that entry is in a log of the policy, and that its quorum of witnesses has seen that tree. Exactly one
// log must have signed. Errors are of class signature.
func (p *Proof) Verify(entry []byte, policy *Policy) error {
	logs := 0
	for _, k := range policy.logs {
		if strings.HasPrefix(p.note, k.name+"\n") {
			if _, ok := k.signs(p.note, p.sigs); ok {
				logs++
			}
		}
	}
	if logs != 1 {
		return fault.New(fault.Signature, "the checkpoint is signed by %d logs of the policy; one must be", logs)
	}
	if policy.quorum != "none" && !policy.met(policy.quorum, map[string]bool{}, func(k key) bool { _, ok := k.signs(p.note, p.sigs); return ok }) {
		return fault.New(fault.Signature, "the quorum %s of witnesses has not signed the checkpoint", policy.quorum)
	}
	if err := tlog.CheckRecord(p.hashes, p.size, p.root, p.index, tlog.RecordHash(entry)); err != nil {
		return fault.New(fault.Signature, "the entry is not in the tree of the checkpoint: %w", err)
	}
	return nil
}
