package oak

import (
	"crypto/sha256"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/oaktext"
	"github.com/assay-tee/assay/internal/protox"
)

// Limits on what is read before anything is authenticated.
const (
	maxEvidence = 1 << 20 // bytes of the whole message; published evidence has up to 21 KiB
	maxLayers   = 16      // layers, and events of one log
)

// Platform is RootLayerEvidence.platform: the peer's word, until the root's signature has been checked.
type Platform uint64

// The platforms (TeePlatform).
const (
	PlatformUnspecified Platform = 0
	PlatformSNP         Platform = 1
	PlatformTDX         Platform = 2
	PlatformNone        Platform = 3
)

func (p Platform) String() string {
	switch p {
	case PlatformSNP:
		return "AMD_SEV_SNP"
	case PlatformTDX:
		return "INTEL_TDX"
	case PlatformNone:
		return "NONE"
	}
	return "UNSPECIFIED"
}

// Message is the protobuf message Evidence (oak.md section 2), split but not believed.
type Message struct {
	HasRoot  bool
	Platform Platform
	Report   []byte // SNP report, or TDX quote padded with zeros
	ECAKey   []byte // a CBOR COSE_Key
	Layers   [][]byte
	// Application certificates, nil when absent.
	Encryption, Signing, GroupEncryption, GroupSigning []byte
	Events, Transparent                                [][]byte // encoded events, as carried; nil without that log
	UserData                                           []byte   // signed_user_data_certificate
	Unknown                                            int      // fields that are not known here; nothing reads them
}

// ParseMessage reads an Evidence message, in binary form, or in text form that names the message. Errors are malformed.
func ParseMessage(b []byte) (*Message, error) {
	if len(b) > maxEvidence {
		return nil, fault.New(fault.Malformed, "%d bytes of Oak evidence; at most %d are read", len(b), maxEvidence)
	}
	b, err := oaktext.Binary(b, oaktext.Evidence)
	if err != nil {
		return nil, err
	}
	m := protox.Parse("Evidence", b)
	e := &Message{}
	if r := m.Sub(1, "root_layer"); r != nil {
		e.HasRoot, e.Platform, e.Report, e.ECAKey = true, Platform(r.Uint(1)), r.Bytes(2), r.Bytes(3)
		e.Unknown += r.Unknown()
	}
	for _, l := range m.Subs(2, "layers") {
		e.Layers = append(e.Layers, l.Bytes(1))
		e.Unknown += l.Unknown()
	}
	if a := m.Sub(3, "application_keys"); a != nil {
		e.Encryption, e.Signing, e.GroupEncryption, e.GroupSigning = a.Bytes(1), a.Bytes(2), a.Bytes(3), a.Bytes(4)
		e.Unknown += a.Unknown()
	}
	log := func(num uint32, name string) (events [][]byte) {
		if l := m.Sub(num, name); l != nil {
			events = l.All(2)
			e.Unknown += l.Unknown()
		}
		return events
	}
	e.Events, e.Transparent = log(4, "event_log"), log(5, "transparent_event_log")
	e.UserData = m.Bytes(7)
	e.Unknown += m.Unknown()
	if len(e.Layers) > maxLayers || len(e.Events) > maxLayers || len(e.Transparent) > maxLayers {
		m.Fail("%d layers, %d and %d events; at most %d of each are read", len(e.Layers), len(e.Events), len(e.Transparent), maxLayers)
	}
	return e, m.Err()
}

// Event is an entry of an event log. Its digest is over the bytes as carried: real events are not in any canonical order.
type Event struct {
	Digest [32]byte
	Tag    string // the peer's word even when the event is bound: nothing depends on it
	Type   string // message name, without the prefix of the type URL
	value  []byte
}

const typePrefix = "type.googleapis.com/"

func parseEvent(b []byte) (Event, error) {
	m := protox.Parse("Event", b)
	e := Event{Digest: sha256.Sum256(b), Tag: m.Text(1)}
	if a := m.Sub(2, "event"); a != nil {
		url := a.Text(1)
		name, ok := strings.CutPrefix(url, typePrefix)
		if !ok {
			m.Fail("type URL %q does not begin with %s", url, typePrefix)
		}
		e.Type, e.value = name, a.Bytes(2)
	} else {
		m.Fail("no event in it")
	}
	return e, m.Err()
}

// Names of the messages in events (oak.md section 3).
const (
	pkg                 = "oak.attestation.v1."
	typeStage0          = pkg + "Stage0Measurements"
	typeStage0Clear     = pkg + "Stage0TransparentMeasurements"
	typeSystem          = pkg + "SystemLayerData"
	typeStage1          = pkg + "Stage1Measurements"
	typeContainer       = pkg + "ContainerLayerData"
	typeOrchestrator    = pkg + "OrchestratorMeasurements"
	typeApplication     = pkg + "ApplicationLayerData"
	typeSessionKey      = pkg + "SessionBindingPublicKeyData"
	typeApplicationKeys = pkg + "ApplicationKeysData"
	typeCBLayer1        = pkg + "CbLayer1TransparentEvent"
	typeArgv            = pkg + "BinaryArgvRegexMeasurement"
)

// Shape is the composition of the machine. It follows from the types of the events, never from their tags.
type Shape string

// The shapes (oak.md section 1).
const (
	ShapeContainers Shape = "oak_containers"
	ShapeKernel     Shape = "oak_restricted_kernel"
	ShapeCB         Shape = "cb"
)

// shapeOf decides the shape (oak.md section 3). Software-rooted evidence and TDX are CB with fewer events.
func shapeOf(events []Event, fewer bool) (Shape, error) {
	is := func(types ...string) bool {
		if len(events) != len(types) {
			return false
		}
		for i, t := range types {
			if events[i].Type != t {
				return false
			}
		}
		return true
	}
	switch {
	case is(typeStage0, typeSystem, typeContainer), is(typeStage0, typeStage1, typeOrchestrator):
		return ShapeContainers, nil
	case is(typeStage0, typeApplication):
		return ShapeKernel, nil
	case len(events) >= 3, fewer && len(events) >= 1:
		return ShapeCB, nil
	}
	var names []string
	for _, e := range events {
		names = append(names, e.Type)
	}
	return "", fault.New(fault.Unsupported, "events of the types %s are of no shape that is known", strings.Join(names, ", "))
}

// Digest algorithms of RawDigest, by field number.
var digestFields = []struct {
	num  uint32
	name string
	size int
}{
	{17, "sha1", 20}, {18, "sha2_256", 32}, {19, "sha2_512", 64}, {20, "sha3_512", 64}, {21, "sha3_384", 48}, {22, "sha3_256", 32},
	{23, "sha3_224", 28}, {32, "sha2_384", 48}, {16, "psha2", 0},
}

// Measured is one thing that was measured, under one or several algorithms.
type Measured struct {
	Name    string // of the claim
	Field   string // in the event
	Digests []NamedDigest
	Raw     []byte // for values that are carried themselves (command line, keys); nil otherwise
	IsText  bool
}

// NamedDigest is a digest under Oak's name of the algorithm.
type NamedDigest struct {
	Alg   string
	Value []byte
}

// rawDigest reads a RawDigest; absent digests are not listed.
func rawDigest(m *protox.Message) (out []NamedDigest) {
	if m == nil {
		return nil
	}
	for _, f := range digestFields {
		b := m.Bytes(f.num)
		switch {
		case len(b) == 0:
		case f.size != 0 && len(b) != f.size || len(b) > 128:
			m.Fail("%s of %d bytes", f.name, len(b))
		default:
			out = append(out, NamedDigest{f.name, b})
		}
	}
	return out
}

// measurements reads what an event says. Types that are not public are opaque: their digest says everything.
func (e *Event) measurements() ([]Measured, error) {
	m := protox.Parse(e.Type, e.value)
	var out []Measured
	sha256Of := func(num uint32, name, field string) {
		b := m.Bytes(num)
		if len(b) == 0 {
			return
		}
		if len(b) != sha256.Size {
			m.Fail("%s has %d bytes, not %d", field, len(b), sha256.Size)
			return
		}
		out = append(out, Measured{Name: name, Field: field, Digests: []NamedDigest{{"sha2_256", b}}})
	}
	digest := func(num uint32, name, field string) {
		if d := rawDigest(m.Sub(num, field)); len(d) > 0 {
			out = append(out, Measured{Name: name, Field: field, Digests: d})
		}
	}
	key := func(num uint32, name, field string) {
		if b := m.Bytes(num); len(b) > 0 {
			out = append(out, Measured{Name: name, Field: field, Raw: b})
		}
	}
	switch e.Type {
	case typeStage0, typeStage0Clear:
		sha256Of(2, "kernel", "kernel_measurement")
		sha256Of(1, "kernel_setup_data", "setup_data_digest")
		if e.Type == typeStage0 {
			line := []byte(m.Text(6))
			sum := sha256.Sum256(line) // as the transparent form has it, and as predictions give it
			out = append(out, Measured{Name: "kernel_cmdline", Field: "kernel_cmdline", Raw: line, IsText: true},
				Measured{Name: "kernel_cmdline_digest", Field: "kernel_cmdline", Digests: []NamedDigest{{"sha2_256", sum[:]}}})
		} else {
			sha256Of(6, "kernel_cmdline_digest", "kernel_cmdline_digest")
		}
		sha256Of(3, "initrd", "ram_disk_digest")
		sha256Of(4, "memory_map", "memory_map_digest")
		sha256Of(5, "acpi", "acpi_digest")
	case typeSystem, typeStage1:
		digest(1, "system_image", "system_image")
	case typeContainer:
		digest(1, "container", "bundle")
		digest(2, "container_config", "config")
		key(3, "hybrid_encryption_public_key", "hybrid_encryption_public_key")
		key(4, "signing_public_key", "signing_public_key")
		key(5, "session_binding_public_key", "session_binding_public_key")
	case typeOrchestrator:
		digest(1, "container", "container_image")
		digest(2, "container_config", "config")
	case typeApplication:
		digest(1, "application", "binary")
		digest(2, "application_config", "config")
	case typeSessionKey:
		key(1, "session_binding_public_key", "session_binding_public_key")
	case typeApplicationKeys:
		key(1, "session_binding_public_key", "session_binding_public_key")
		key(2, "hybrid_encryption_public_key", "hybrid_encryption_public_key")
		key(3, "signing_public_key", "signing_public_key")
	case typeCBLayer1:
		digest(1, "runtime_agent", "runtime_agent_measurement")
		digest(2, "runtime_agent_binary", "runtime_agent_binary_measurement")
		digest(3, "userspace", "userspace_measurement")
	case typeArgv:
		digest(1, "argv_binary", "binary_static_argv_regex")
	default:
		return nil, nil
	}
	return out, m.Err()
}
