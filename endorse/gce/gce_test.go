package gce

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/assaytdx"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
)

var now = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)

// world is a root and a signer as Google has them.
type world struct {
	rootKey, key *rsa.PrivateKey
	root, leaf   *x509.Certificate
}

var newWorld = sync.OnceValue(func() *world {
	w := &world{}
	var err error
	if w.rootKey, err = rsa.GenerateKey(rand.Reader, 3072); err != nil {
		panic(err)
	}
	if w.key, err = rsa.GenerateKey(rand.Reader, 3072); err != nil {
		panic(err)
	}
	w.root = issue("GCE-cc-tcb-root", nil, w.rootKey.Public(), w.rootKey, nil)
	w.leaf = issue("GCE-uefi-signing-key", w.root, w.key.Public(), w.rootKey, nil)
	return w
})

func issue(cn string, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn, Organization: []string{"Google"}},
		NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(2, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
	if parent == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		parent = c
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, by)
	if err != nil {
		panic(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c
}

func lit(num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
}

func vint(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func cat(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func digest(b byte) []byte { return append(make([]byte, 47), b) }

// doc is an endorsement that can be changed before it is signed.
type doc struct {
	timestamp []byte
	build     []byte // cl_spec and commit
	cert      []byte
	digest    []byte
	snp, tdx  []byte // whole fields
	more      []byte
	sign      func(key *rsa.PrivateKey, golden []byte) []byte
}

func stamp(t time.Time) []byte { return lit(1, vint(1, uint64(t.Unix()))) }

func snpEntry(n uint64, m []byte) []byte { return lit(2, cat(vint(1, n), lit(2, m))) }

func goodDoc(w *world) *doc {
	return &doc{timestamp: stamp(now.AddDate(0, -1, 0)), build: vint(2, 701234567), cert: lit(4, w.leaf.Raw), digest: lit(5, digest(0xfd)),
		snp: lit(7, cat(vint(1, 4), snpEntry(1, digest(1)), snpEntry(2, digest(2)), lit(3, make([]byte, 16)), vint(5, 0x70000))),
		tdx: lit(8, cat(vint(1, 3), lit(2, lit(3, digest(9))))), sign: pss}
}

func pss(key *rsa.PrivateKey, golden []byte) []byte {
	sum := sha256.Sum256(golden)
	sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: 32})
	if err != nil {
		panic(err)
	}
	return sig
}

func (d *doc) golden() []byte {
	return cat(d.timestamp, d.build, d.cert, d.digest, d.snp, d.tdx, d.more)
}

func (d *doc) bytes(w *world) []byte {
	g := d.golden()
	return cat(lit(1, g), lit(2, d.sign(w.key, g)))
}

func builder(t testing.TB, w *world, change func(*endorse.Anchor)) *endorse.Builder {
	t.Helper()
	a := &endorse.Anchor{Name: "google", Certificates: []*x509.Certificate{w.root}, Scope: endorse.AnyEnvironmentScope()}
	if change != nil {
		change(a)
	}
	b, err := endorse.NewBuilder(endorse.Config{Time: now, Anchors: []*endorse.Anchor{a}, Profiles: profiles.All(), Forms: []endorse.Form{Form()}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLaunchEndorsementIsAdmitted(t *testing.T) {
	w := newWorld()
	b := builder(t, w, nil)
	data := goodDoc(w).bytes(w)
	r, err := b.Admit(data)
	if err != nil {
		t.Fatal(err)
	}
	// Two measurements for each of VCEK and VLEK and their series; one MRTD and its series.
	if r.Relations != 2*(2+1)+1+1 || len(r.Tags) != 2 || r.Anchor != "google" || r.Signer != "GCE-uefi-signing-key" {
		t.Errorf("%+v", r)
	}
	if again, err := b.Admit(data); err != nil || !again.Already {
		t.Errorf("admitted twice: %+v, %v", again, err)
	}
	older := goodDoc(w)
	older.timestamp = stamp(now.AddDate(0, -2, 0))
	if _, err := b.Admit(older.bytes(w)); !fault.Is(err, fault.Stale) {
		t.Errorf("an older endorsement of the same firmware: %v", err)
	}
}

func TestLaunchEndorsementIsRefused(t *testing.T) {
	w := newWorld()
	self := issue("GCE-cc-tcb-root", nil, w.key.Public(), w.key, nil)
	for _, tc := range []struct {
		name   string
		change func(d *doc)
		after  func(b []byte) []byte
		anchor func(*endorse.Anchor)
		class  fault.Class
		says   string
	}{
		{name: "one bit of the content", after: func(b []byte) []byte { b[40] ^= 1; return b }, class: fault.Signature},
		{name: "signature of another message", change: func(d *doc) {
			d.sign = func(k *rsa.PrivateKey, g []byte) []byte { return pss(k, append(g[:len(g):len(g)], 0)) }
		}, class: fault.Signature},
		{name: "PKCS#1 v1.5", change: func(d *doc) {
			d.sign = func(k *rsa.PrivateKey, g []byte) []byte {
				sum := sha256.Sum256(g)
				s, _ := rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
				return s
			}
		}, class: fault.Signature},
		{name: "PSS with SHA-1", change: func(d *doc) {
			d.sign = func(k *rsa.PrivateKey, g []byte) []byte {
				sum := sha1.Sum(g)
				s, _ := rsa.SignPSS(rand.Reader, k, crypto.SHA1, sum[:], &rsa.PSSOptions{SaltLength: 20})
				return s
			}
		}, class: fault.Signature},
		{name: "salt of another length", change: func(d *doc) {
			d.sign = func(k *rsa.PrivateKey, g []byte) []byte {
				sum := sha256.Sum256(g)
				s, _ := rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: 20})
				return s
			}
		}, class: fault.Signature},
		{name: "certificate with the root's names, signed by itself", change: func(d *doc) { d.cert = lit(4, self.Raw) }, class: fault.Signature},
		{name: "certificate of another key", change: func(d *doc) { d.cert = lit(4, w.root.Raw) }, class: fault.Signature},
		{name: "certificate not for signatures", change: func(d *doc) {
			d.cert = lit(4, issue("x", w.root, w.key.Public(), w.rootKey, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }).Raw)
		}, class: fault.Signature, says: "not for signatures"},
		{name: "certificate expired", change: func(d *doc) {
			d.cert = lit(4, issue("x", w.root, w.key.Public(), w.rootKey, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }).Raw)
		}, class: fault.Expired},
		{name: "no certificate", change: func(d *doc) { d.cert = nil }, class: fault.Malformed},
		{name: "provenance missing", change: func(d *doc) { d.build = nil }, class: fault.Malformed, says: "change number"},
		{name: "measurement of 47 bytes", change: func(d *doc) { d.snp = lit(7, snpEntry(1, make([]byte, 47))) }, class: fault.Malformed, says: "47 bytes"},
		{name: "no measurements", change: func(d *doc) { d.snp = lit(7, vint(1, 4)) }, class: fault.Malformed},
		{name: "map key 0", change: func(d *doc) { d.snp = lit(7, snpEntry(0, digest(1))) }, class: fault.Malformed},
		{name: "map key twice", change: func(d *doc) { d.snp = lit(7, cat(snpEntry(1, digest(1)), snpEntry(1, digest(2)))) }, class: fault.Malformed, says: "two measurements"},
		{name: "family id of 15 bytes", change: func(d *doc) { d.snp = lit(7, cat(snpEntry(1, digest(1)), lit(3, make([]byte, 15)))) }, class: fault.Malformed},
		{name: "SNP given twice", change: func(d *doc) { d.more = lit(7, snpEntry(1, digest(66))) }, class: fault.Malformed, says: "twice"},
		{name: "MRTD of 32 bytes", change: func(d *doc) { d.tdx = lit(8, lit(2, lit(3, make([]byte, 32)))) }, class: fault.Malformed},
		{name: "TDX without MRTD", change: func(d *doc) { d.tdx = lit(8, vint(1, 1)) }, class: fault.Malformed},
		{name: "one shape of machine twice", change: func(d *doc) { d.tdx = lit(8, cat(lit(2, lit(3, digest(1))), lit(2, lit(3, digest(2))))) }, class: fault.Malformed},
		{name: "neither SNP nor TDX", change: func(d *doc) { d.snp, d.tdx = nil, nil }, class: fault.Malformed},
		{name: "svn beyond 32 bits", change: func(d *doc) { d.tdx = lit(8, cat(vint(1, 1<<32), lit(2, lit(3, digest(1))))) }, class: fault.Malformed},
		{name: "wire type of a fixed number", change: func(d *doc) {
			d.build = protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), 7)
		}, class: fault.Malformed, says: "wire type"},
		{name: "no time", change: func(d *doc) { d.timestamp = nil }, class: fault.Malformed},
		{name: "signed in the future", change: func(d *doc) { d.timestamp = stamp(now.Add(time.Hour)) }, class: fault.Expired},
		{name: "digest of the firmware missing", change: func(d *doc) { d.digest = nil }, class: fault.Malformed},
		{name: "a further field 1 after the message", after: func(b []byte) []byte { return append(b, lit(1, []byte{1})...) }, class: fault.Malformed},
		{name: "no signature", after: func(b []byte) []byte { _, _, n := protowire.ConsumeField(b); return b[:n] }, class: fault.Malformed},
		{name: "cut off", after: func(b []byte) []byte { return b[:len(b)-1] }, class: fault.Malformed},
		{name: "too large", after: func(b []byte) []byte { return append(b, lit(9, make([]byte, maxSize))...) }, class: fault.Malformed},
		{name: "anchor that may only speak about TDX", anchor: func(a *endorse.Anchor) {
			a.Scope[0].AnyEnvironment = false
			a.Scope[0].Environments = tdxOnly()
		}, class: fault.Scope},
		{name: "anchor that is for another signer", anchor: func(a *endorse.Anchor) { a.LeafNames = []string{"somebody"} }, class: fault.Scope},
		{name: "anchor marked as revoked", anchor: func(a *endorse.Anchor) { a.Revoked = true }, class: fault.Revoked},
		{name: "anchor that demands revocation lists", anchor: func(a *endorse.Anchor) { a.RequireCRL = true }, class: fault.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := goodDoc(w)
			if tc.change != nil {
				tc.change(d)
			}
			b := d.bytes(w)
			if tc.after != nil {
				b = tc.after(b)
			}
			bld := builder(t, w, tc.anchor)
			_, err := bld.Admit(b)
			if !fault.Is(err, tc.class) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v (class %v), want %v", err, fault.ClassOf(err), tc.class)
			}
			if n := bld.Set().Len(); n != 0 {
				t.Errorf("%d relations of a refused endorsement are in force", n)
			}
		})
	}
}

// Small keys are refused, however well the chain holds.
func TestSmallKeyIsRefused(t *testing.T) {
	w := newWorld()
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	d := goodDoc(w)
	d.cert = lit(4, issue("GCE-uefi-signing-key", w.root, small.Public(), w.rootKey, nil).Raw)
	d.sign = func(_ *rsa.PrivateKey, g []byte) []byte { return pss(small, g) }
	if _, err := builder(t, w, nil).Admit(d.bytes(w)); !fault.Is(err, fault.Unsupported) {
		t.Errorf("RSA of 2048 bits: %v", err)
	}
}

// Fields that are not known are kept out of the way and told.
func TestUnknownFieldsAreTold(t *testing.T) {
	w := newWorld()
	d := goodDoc(w)
	d.more = lit(77, []byte("new"))
	r, err := builder(t, w, nil).Admit(d.bytes(w))
	if err != nil || len(r.Warnings) == 0 || !strings.Contains(strings.Join(r.Warnings, " "), "field 77") {
		t.Errorf("%+v, %v", r, err)
	}
}

// Before August 2024 endorsements said nothing about their build.
func TestOldEndorsementsNeedNoProvenance(t *testing.T) {
	w := newWorld()
	d := goodDoc(w)
	d.build, d.timestamp = nil, stamp(time.Date(2024, 8, 1, 0, 0, 0, 0, time.UTC))
	d.cert = lit(4, issue("GCE-uefi-signing-key", w.root, w.key.Public(), w.rootKey, func(c *x509.Certificate) { c.NotBefore = now.AddDate(-4, 0, 0) }).Raw)
	old := *w
	old.root = issue("GCE-cc-tcb-root", nil, w.rootKey.Public(), w.rootKey, func(c *x509.Certificate) { c.NotBefore = now.AddDate(-9, 0, 0) })
	if _, err := builder(t, &old, nil).Admit(d.bytes(w)); err != nil {
		t.Error(err)
	}
}

// Fuzzing looks at forms only, so its seeds need no keys.
func FuzzEndorsement(f *testing.F) {
	leaf := &x509.Certificate{NotAfter: now.AddDate(1, 0, 0)}
	d := goodDoc(&world{leaf: &x509.Certificate{Raw: []byte{0x30, 0}}})
	f.Add(cat(lit(1, d.golden()), lit(2, make([]byte, 384))), d.golden())
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, []byte{})
	f.Fuzz(func(t *testing.T, b, g []byte) {
		if _, err := open(b); err != nil && !fault.Is(err, fault.Malformed) {
			t.Errorf("class %v: %v", fault.ClassOf(err), err)
		}
		ms, err := (&launchEndorsement{golden: g}).manifests(leaf)
		if err != nil && !fault.Is(err, fault.Malformed) {
			t.Errorf("class %v: %v", fault.ClassOf(err), err)
		}
		for _, m := range ms {
			if len(m.CoMIDs) != 1 || len(m.CoMIDs[0].Triples.Reference) == 0 {
				t.Errorf("a manifest that says nothing: %+v", m)
			}
		}
	})
}

func tdxOnly() []claim.Environment { return []claim.Environment{assaytdx.TD()} }
