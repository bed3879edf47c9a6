package oak_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/drivertest"
	"github.com/assay-tee/assay/evidence/oak"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/protox"
	"github.com/assay-tee/assay/simulator"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// world is one simulated AMD for all tests.
var world = sync.OnceValues(func() (*simulator.AMD, error) {
	return simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, Products: simulator.Products(), KeyBits: 2048})
})

// layer is a key of the chain, and what its certificate says.
type layer struct {
	key     *ecdsa.PrivateKey
	cose    []byte
	point   []byte
	id      string
	claims  map[int64][]byte // encoded, beside issuer and subject
	aad     string
	omitKey bool
}

func newLayer(t testing.TB) *layer {
	t.Helper()
	k := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	pt := must[[]byte](t)(k.PublicKey.Bytes())
	id := must[[]byte](t)(hkdf.Key(sha256.New, pt, []byte("DICE_ID_SALT"), "ID", 20))
	m := cborx.AppendMap(nil, 7)
	m = cborx.AppendInt(cborx.AppendInt(m, 1), 2)
	m = cborx.AppendBytes(cborx.AppendInt(m, 2), id)
	m = cborx.AppendInt(cborx.AppendInt(m, 3), -7)
	m = cborx.AppendInt(cborx.AppendArray(cborx.AppendInt(m, 4), 1), 2)
	m = cborx.AppendInt(cborx.AppendInt(m, -1), 1)
	m = cborx.AppendBytes(cborx.AppendInt(m, -2), pt[1:33])
	m = cborx.AppendBytes(cborx.AppendInt(m, -3), pt[33:])
	return &layer{key: k, cose: m, point: pt, id: hex.EncodeToString(id), claims: map[int64][]byte{}}
}

func eventClaim(event []byte) []byte {
	sum := sha256.Sum256(event)
	return cborx.AppendBytes(cborx.AppendInt(cborx.AppendMap(nil, 1), -4670572), sum[:])
}

// certificate is signed by issuer.
func (l *layer) certificate(t testing.TB, issuer *layer) []byte {
	t.Helper()
	var m cborx.MapEncoder
	m.Put(1, cborx.AppendText(nil, issuer.id))
	m.Put(2, cborx.AppendText(nil, l.id))
	if !l.omitKey {
		m.Put(-4670552, cborx.AppendBytes(nil, l.cose))
	}
	for k, v := range l.claims {
		m.Put(k, v)
	}
	return sign(t, issuer, m.Append(nil), l.aad)
}

func sign(t testing.TB, issuer *layer, payload []byte, aad string) []byte {
	t.Helper()
	var u cborx.MapEncoder
	u.Put(4, cborx.AppendBytes(nil, []byte("AsymmetricECDSA256")))
	b := must[[]byte](t)(cosex.Sign(cosex.Template{Alg: cosex.ES256, Unprotected: u, Payload: payload, External: []byte(aad)}, issuer.key))
	return b[1:] // without tag 18
}

func event(tag, typ string, value []byte) []byte {
	any := protox.AppendBytes(protox.AppendBytes(nil, 1, []byte("type.googleapis.com/oak.attestation.v1."+typ)), 2, value)
	return protox.AppendBytes(protox.AppendBytes(nil, 1, []byte(tag)), 2, any)
}

func sha(s string) []byte { d := sha256.Sum256([]byte(s)); return d[:] }

func stage0Event() []byte {
	var v []byte
	for i, s := range []string{"setup", "kernel", "initrd", "memory map", "acpi"} {
		v = protox.AppendBytes(v, uint32(i+1), sha(s))
	}
	return event("Stage0", "Stage0Measurements", protox.AppendBytes(v, 6, []byte("console=ttyS0")))
}

func rawDigest(s string) []byte { return protox.AppendBytes(nil, 18, sha(s)) }

// machine is Oak evidence under construction. Tests change what they want to see refused, and encode it.
type machine struct {
	platform                    uint64
	report                      []byte
	vcek                        []byte
	eca                         *layer
	ecaKey                      []byte
	layers, events              [][]byte
	encryption, signing, group  []byte
	transparent                 [][]byte
	user                        []byte
	keys                        []*layer // of the layers
	encryptionKey, signingKey   *layer
	session                     *layer
	extraRoot, extra            []byte // encoded fields
	noLog                       bool
	reportDataSuffix            byte
	aadLayer, aadApp, aadOfUser string
}

// containers is an Oak Containers machine on a simulated chip.
func containers(t testing.TB, change func(*machine)) *machine {
	t.Helper()
	m := &machine{platform: 1, eca: newLayer(t), encryptionKey: newLayer(t), signingKey: newLayer(t), session: newLayer(t)}
	last := protox.AppendBytes(protox.AppendBytes(nil, 1, rawDigest("bundle")), 2, rawDigest(""))
	last = protox.AppendBytes(last, 3, m.encryptionKey.point)
	last = protox.AppendBytes(last, 4, m.signingKey.point)
	last = protox.AppendBytes(last, 5, m.session.point)
	m.events = [][]byte{stage0Event(), event("stage1", "SystemLayerData", protox.AppendBytes(nil, 1, rawDigest("system"))), event("ORCHESTRATOR", "ContainerLayerData", last)}
	if change != nil {
		change(m)
	}
	m.finish(t, 3)
	return m
}

// restricted is a Restricted Kernel machine: the application is bound by its keys' certificates alone.
func restricted(t testing.TB, change func(*machine)) *machine {
	t.Helper()
	m := &machine{platform: 1, eca: newLayer(t), encryptionKey: newLayer(t), signingKey: newLayer(t)}
	app := protox.AppendBytes(protox.AppendBytes(nil, 1, rawDigest("application")), 2, rawDigest("configuration"))
	m.events = [][]byte{stage0Event(), event("app", "ApplicationLayerData", app)}
	m.encryptionKey.claims[-4670573], m.signingKey.claims[-4670573] = eventClaim(m.events[1]), eventClaim(m.events[1])
	if change != nil {
		change(m)
	}
	m.finish(t, 1)
	return m
}

func (m *machine) finish(t testing.TB, layers int) {
	t.Helper()
	issuer := m.eca
	for i := range layers {
		l := newLayer(t)
		l.aad = m.aadLayer
		if i < len(m.events) {
			l.claims[-4670573] = eventClaim(m.events[i])
		}
		if i < len(m.transparent) {
			l.claims[-4670575] = eventClaim(m.transparent[i])
		}
		m.layers, m.keys = append(m.layers, l.certificate(t, issuer)), append(m.keys, l)
		issuer = l
	}
	m.encryptionKey.aad, m.signingKey.aad = m.aadApp, m.aadApp
	m.encryption, m.signing = m.encryptionKey.certificate(t, issuer), m.signingKey.certificate(t, issuer)
	group := newLayer(t)
	group.aad = m.aadApp
	m.group = group.certificate(t, issuer)
	m.ecaKey = m.eca.cose
	switch m.platform {
	case 1:
		w := must[*simulator.AMD](t)(world())
		c := must[*simulator.Chip](t)(w.NewChip(simulator.Genoa))
		r := c.NewReport()
		r.ReportData = m.reportData()
		m.report, m.vcek = must[[]byte](t)(c.Report(r)), must[[]byte](t)(c.VCEKWith(r.ReportedTCB, simulator.VEKOptions{}))
	case 3:
		d := m.reportData()
		m.report = make([]byte, 1184)
		copy(m.report[0x50:], d[:])
	}
}

func (m *machine) reportData() (d [64]byte) {
	sum := sha256.Sum256(m.eca.cose)
	copy(d[:], sum[:])
	d[63] = m.reportDataSuffix
	return d
}

func (m *machine) last() *layer { return m.keys[len(m.keys)-1] }

func (m *machine) encode() []byte {
	root := protox.AppendBytes(protox.AppendBytes(protox.AppendUint(nil, 1, m.platform), 2, m.report), 3, m.ecaKey)
	b := protox.AppendBytes(nil, 1, append(root, m.extraRoot...))
	for _, l := range m.layers {
		b = protox.AppendBytes(b, 2, protox.AppendBytes(nil, 1, l))
	}
	var apps []byte
	for i, c := range [][]byte{m.encryption, m.signing, m.group} {
		if c != nil {
			apps = protox.AppendBytes(apps, uint32(i+1), c)
		}
	}
	b = protox.AppendBytes(b, 3, apps)
	log := func(num uint32, events [][]byte) {
		var l []byte
		for _, e := range events {
			l = protox.AppendBytes(l, 2, e)
		}
		if events != nil {
			b = protox.AppendBytes(b, num, l)
		}
	}
	if !m.noLog {
		log(4, m.events)
	}
	log(5, m.transparent)
	if m.user != nil {
		b = protox.AppendBytes(b, 7, m.user)
	}
	return append(b, m.extra...)
}

func (m *machine) evidence() evidence.Evidence {
	ev := evidence.Evidence{Data: m.encode()}
	if m.vcek != nil {
		// As Oak delivers it: inside Endorsements.
		snp := protox.AppendBytes(protox.AppendBytes(nil, 1, []byte("\x5a\x12\xd0\x0f\x48\xa0\x42\x24\xbf\xf4\x97\x5c\x76\x57\x43\x8f")), 2, protox.AppendBytes(nil, 1, m.vcek))
		ev.Endorsements = [][]byte{protox.AppendBytes(nil, 8, snp)}
	}
	return ev
}

func simulated(t testing.TB) evidence.Env {
	t.Helper()
	a := must[*evidence.Anchors](t)(evidence.NewAnchors(must[*simulator.AMD](t)(world()).Anchors()))
	return evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: a}
}

func TestSuite(t *testing.T) {
	for name, m := range map[string]*machine{"containers": containers(t, nil), "no hardware": containers(t, func(m *machine) { m.platform = 3 })} {
		t.Run(name, func(t *testing.T) {
			env := simulated(t)
			env.Binding = must[evidence.Binding](t)(evidence.ExpectExact(m.session.point))
			drivertest.Run(t, drivertest.Suite{New: func(tb testing.TB) evidence.Driver { return newDriver(tb, oak.Config{}) }, Evidence: m.evidence(), Env: env, Step: 7})
		})
	}
}

// What the issue lists, each with the class of its refusal.
func TestRefusals(t *testing.T) {
	other := containers(t, nil)
	for _, tc := range []struct {
		name, class string
		rk          bool
		before      func(*machine) // before it is signed
		after       func(*machine)
	}{
		{name: "as it is"},
		{name: "restricted kernel as it is", rk: true},
		{name: "no hardware", before: func(m *machine) { m.platform = 3 }},
		{name: "other bytes behind the digest of the key", class: "binding", before: func(m *machine) { m.reportDataSuffix = 1 }},
		{name: "the same without hardware", class: "binding", before: func(m *machine) { m.platform, m.reportDataSuffix = 3, 1 }},
		{name: "another key than the report names", class: "binding", after: func(m *machine) { m.ecaKey = other.ecaKey }},
		{name: "a bit of the key", class: "binding", after: func(m *machine) { m.ecaKey = slices.Clone(m.ecaKey); m.ecaKey[0] ^= 1 }},
		{name: "a bit of the report", class: "signature", after: func(m *machine) { m.report = slices.Clone(m.report); m.report[0x90] ^= 1 }},
		{name: "report of another machine", class: "signature", after: func(m *machine) { m.report = other.report }},
		{name: "a sibling's layer", class: "signature", after: func(m *machine) { m.layers[1] = other.layers[1] }},
		{name: "a layer left out", class: "binding", after: func(m *machine) { m.layers = m.layers[:2] }},
		{name: "layers in another order", class: "signature", after: func(m *machine) { m.layers[1], m.layers[2] = m.layers[2], m.layers[1] }},
		{name: "an application key of another machine", class: "signature", after: func(m *machine) { m.signing = other.signing }},
		{name: "a group key of another machine", class: "signature", after: func(m *machine) { m.group = other.group }},
		{name: "encryption and signing exchanged", class: "binding", after: func(m *machine) { m.encryption, m.signing = m.signing, m.encryption }},
		{name: "an application key signed by a layer above", class: "signature", after: func(m *machine) { m.signing = m.layers[2] }},
		{name: "an event less", class: "binding", after: func(m *machine) { m.events = m.events[:2] }},
		{name: "an event more", class: "binding", after: func(m *machine) { m.events = append(m.events, m.events[2]) }},
		{name: "events in another order", class: "binding", after: func(m *machine) {
			m.events[1], m.events[2] = m.events[2], m.events[1]
			m.events = slices.Clone(m.events)
		}},
		{name: "a byte of the command line", class: "binding", after: func(m *machine) {
			m.events[0] = bytes.Replace(m.events[0], []byte("ttyS0"), []byte("ttyS1"), 1)
		}},
		{name: "another tag", class: "binding", after: func(m *machine) { m.events[1] = bytes.Replace(m.events[1], []byte("stage1"), []byte("stage2"), 1) }},
		{name: "no log", class: "malformed", after: func(m *machine) { m.noLog = true }},
		{name: "an empty log", class: "malformed", after: func(m *machine) { m.events = [][]byte{} }},
		{name: "a layer that binds no event", class: "binding", before: func(m *machine) { m.events = m.events[:2] }, after: func(m *machine) {
			m.events = append(m.events, other.events[2])
		}},
		{name: "a field twice", class: "malformed", after: func(m *machine) { m.extraRoot = protox.AppendBytes(nil, 3, m.ecaKey) }},
		{name: "the platform says NONE of a report", class: "malformed", after: func(m *machine) { m.platform = 3 }},
		{name: "the platform says TDX of a report", class: "malformed", after: func(m *machine) { m.platform = 2 }},
		{name: "the platform is not said", class: "unsupported", after: func(m *machine) { m.platform = 0; m.layers = append([][]byte{m.layers[0]}, m.layers...) }},
		{name: "a kind of platform nobody knows", class: "unsupported", after: func(m *machine) { m.platform = 9 }},
		{name: "user data signed by nobody of this machine", class: "signature", after: func(m *machine) { m.user = sign(t, m.eca, []byte("data"), "") }},
		{name: "events of no known shape", class: "unsupported", rk: true, before: func(m *machine) {
			m.events[1] = event("x", "SystemLayerData", nil)
			m.encryptionKey.claims[-4670573], m.signingKey.claims[-4670573] = eventClaim(m.events[1]), eventClaim(m.events[1])
		}},
		{name: "another application on the restricted kernel", class: "binding", rk: true, after: func(m *machine) {
			m.events[1] = event("app", "ApplicationLayerData", protox.AppendBytes(nil, 1, rawDigest("evil")))
		}},
		{name: "an application that no certificate binds", class: "binding", rk: true, after: func(m *machine) { m.encryption = nil }},
		{name: "an application whose certificate names no event", class: "binding", rk: true, before: func(m *machine) { delete(m.encryptionKey.claims, -4670573) }},
		{name: "the signing key of another application", class: "binding", rk: true, before: func(m *machine) { m.signingKey.claims[-4670573] = eventClaim([]byte("other")) }},
		{name: "the application's event left out", class: "unsupported", rk: true, after: func(m *machine) { m.events = m.events[:1] }},
		{name: "an issuer of another name", class: "signature", before: func(m *machine) { m.eca.id = "00" + m.eca.id[2:] }},
		{name: "a subject of another name", class: "malformed", before: func(m *machine) { m.signingKey.id = "00" + m.signingKey.id[2:] }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := map[bool]func(testing.TB, func(*machine)) *machine{false: containers, true: restricted}[tc.rk](t, tc.before)
			m.events = slices.Clone(m.events)
			if tc.after != nil {
				tc.after(m)
			}
			check(t, newDriver(t, oak.Config{}), m.evidence(), simulated(t), tc.class)
		})
	}
}

// The purpose in the signature tells a layer's certificate from an application's; the options say what is taken.
func TestPurposeOfCertificates(t *testing.T) {
	modern := containers(t, func(m *machine) { m.aadLayer, m.aadApp = "oak-dice-layer-v1", "oak-application-keys-v1" })
	swapped := containers(t, func(m *machine) { m.aadLayer, m.aadApp = "oak-application-keys-v1", "oak-dice-layer-v1" })
	mixed := containers(t, func(m *machine) { m.aadApp = "oak-application-keys-v1" })
	for _, tc := range []struct {
		name                    string
		m                       *machine
		either, purpose, legacy string
		aad                     string
	}{
		{"purpose", modern, "", "", "signature", `"purpose"`},
		{"none", containers(t, nil), "", "signature", "", `"none"`},
		{"mixed", mixed, "", "signature", "signature", `"mixed"`},
		{"the other purpose", swapped, "signature", "signature", "signature", ""},
	} {
		for mode, want := range map[oak.AAD]string{oak.AADEither: tc.either, oak.AADPurpose: tc.purpose, oak.AADLegacy: tc.legacy} {
			v := check(t, newDriver(t, oak.Config{AAD: mode}), tc.m.evidence(), simulated(t), want)
			if want == "" {
				if got := claimText(t, v, "certificate_aad"); got != tc.aad {
					t.Errorf("%s: %s", tc.name, got)
				}
			}
		}
	}
}

// User data that the last layer has signed is what an expectation is compared with, and a claim.
func TestUserData(t *testing.T) {
	m := containers(t, nil)
	m.user = sign(t, m.last(), []byte("nonce of this session"), "oak-user-data-v1")
	env := simulated(t)
	env.Binding = must[evidence.Binding](t)(evidence.ExpectExact([]byte("nonce of this session")))
	v := check(t, newDriver(t, oak.Config{}), m.evidence(), env, "")
	if v.Binding().Field != "USER_DATA" || claimText(t, v, "user_data") != `"`+hex.EncodeToString([]byte("nonce of this session"))+`"` {
		t.Errorf("%+v", v.Binding())
	}
}

// The transparent log is bound by claims of its own.
func TestTransparentLog(t *testing.T) {
	clear := event("Stage0Transparent", "Stage0TransparentMeasurements", protox.AppendBytes(nil, 6, sha("console=ttyS0")))
	rest := [][]byte{event("a", "CbLayer1TransparentEvent", protox.AppendBytes(nil, 3, rawDigest("userspace"))), event("b", "CbLayer2TransparentEvent", nil)}
	m := containers(t, func(m *machine) { m.transparent = append([][]byte{clear}, rest...) })
	ev := m.evidence()
	ev.Format = oak.FormatTransparent
	v := check(t, newDriver(t, oak.Config{}), ev, simulated(t), "")
	if claimText(t, v, "kernel_cmdline") != "" || claimText(t, v, "kernel_cmdline_digest") == "" || claimText(t, v, "userspace") == "" {
		t.Error("claims are not those of the transparent log")
	}
	m.transparent = slices.Clone(m.transparent)
	m.transparent[1] = event("a", "CbLayer1TransparentEvent", protox.AppendBytes(nil, 3, rawDigest("other")))
	ev.Data = m.encode()
	check(t, newDriver(t, oak.Config{}), ev, simulated(t), "binding")
	check(t, newDriver(t, oak.Config{}), m.evidence(), simulated(t), "")
}

// A field that nobody knows changes nothing, but a reader must see it.
func TestUnknownFields(t *testing.T) {
	m := containers(t, nil)
	m.extra = protox.AppendBytes(nil, 77, []byte("?"))
	v := check(t, newDriver(t, oak.Config{}), m.evidence(), simulated(t), "")
	if !slices.Contains(v.Notes(), "unknown_fields") {
		t.Errorf("notes %v", v.Notes())
	}
}

// Certificates may come as DER beside the message, and inside either form of Endorsements.
func TestForms(t *testing.T) {
	m := containers(t, nil)
	root := protox.AppendBytes(nil, 1, protox.AppendBytes(nil, 1, m.vcek))
	for name, blob := range map[string][]byte{"DER": m.vcek, "legacy": protox.AppendBytes(nil, 2, root), "legacy of RK": protox.AppendBytes(nil, 1, root)} {
		ev := evidence.Evidence{Data: m.encode(), Endorsements: [][]byte{blob}}
		if _, err := newDriver(t, oak.Config{}).Authenticate(context.Background(), ev, simulated(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ev := evidence.Evidence{Data: m.encode(), Endorsements: [][]byte{containers(t, nil).vcek}}
	check(t, newDriver(t, oak.Config{}), ev, simulated(t), "signature")
	check(t, newDriver(t, oak.Config{}), evidence.Evidence{Data: m.encode()}, simulated(t), "unavailable")
}
