package oak

import (
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/oaktext"
	"github.com/assay-tee/assay/internal/protox"
)

// Names of what is endorsed, measured and referred to. They are the names of the claims in package evidence/oak.
const (
	Stage0            = "stage0" // the launch measurement of the root
	Kernel            = "kernel"
	KernelSetupData   = "kernel_setup_data"
	KernelCmdline     = "kernel_cmdline"
	Initrd            = "initrd"
	MemoryMap         = "memory_map"
	ACPI              = "acpi"
	SystemImage       = "system_image"
	Container         = "container"
	ContainerConfig   = "container_config"
	Application       = "application"
	ApplicationConfig = "application_config"
)

// Endorsement is one signed endorsement, not yet verified. Absent members are nil.
type Endorsement struct {
	Serialized []byte // the in-toto statement, as signed
	Subject    []byte // what the statement is about, when it travels along
	Signature  []byte
	KeyID      uint32 // 0 when none is named
	Named      bool   // the form has key ids: the key is looked up by KeyID, and by nothing else
	RekorEntry []byte
	C2SPProof  []byte
	PES        []byte
}

// Endorsements are what travels beside evidence. Everything in it is untrusted.
type Endorsements struct {
	Certificate []byte // VCEK in DER
	By          map[string]*Endorsement
	Variants    bool // read from platform, initial and events, not from the legacy oneof
}

// Ids of the variants (oak.md section 11).
const (
	idSNP         = "\x5a\x12\xd0\x0f\x48\xa0\x42\x24\xbf\xf4\x97\x5c\x76\x57\x43\x8f"
	idFirmware    = "\xde\x4a\x0d\x55\x60\xea\x4d\xc6\xab\xd1\x09\xed\x74\x4f\x80\xea"
	idKernel      = "\x89\x51\x1d\x65\x5d\x35\x46\x01\x90\x0b\x1e\x6d\xba\xf8\x42\xb6"
	idSystem      = "\x47\x22\x65\x5d\x96\x3d\x4f\xc9\x84\x43\xf1\x45\x71\xdd\x32\xa2"
	idApplication = "\xe8\x4e\xd7\x14\x66\x9d\x43\x0a\xa6\x0f\x8a\x65\x1e\x5a\x55\x03"
	idContainer   = "\x72\x97\xa5\x1f\xa0\x5d\x49\xa1\xaf\xdb\x64\xcd\xee\x07\x86\x2d"
)

// ParseEndorsements reads the message Endorsements. Its variants are used when there is any, else the legacy oneof.
// Errors are malformed.
func ParseEndorsements(b []byte) (*Endorsements, error) {
	b, err := oaktext.Binary(b, oaktext.Endorsements)
	if err != nil {
		return nil, err
	}
	m := protox.Parse("Endorsements", b)
	e := &Endorsements{By: map[string]*Endorsement{}}
	e.Variants = m.Has(8) || m.Has(9) || m.Has(10)
	legacy := m.OneOf(1, 2, 3)
	if e.Variants {
		if p := m.Sub(8, "platform"); p != nil {
			e.variant(p)
		}
		if p := m.Sub(9, "initial"); p != nil {
			e.variant(p)
		}
		for _, v := range m.Subs(10, "events") {
			e.variant(v)
		}
	} else if legacy != 0 {
		e.legacy(m.Sub(legacy, "layers"), legacy)
	}
	return e, m.Err()
}

func (e *Endorsements) put(m *protox.Message, num uint32, name string, read func(*protox.Message) *Endorsement) {
	if m == nil {
		return
	}
	s := m.Sub(num, name)
	if s == nil {
		return
	}
	if e.By[name] != nil {
		m.Fail("%s is endorsed twice", name)
		return
	}
	e.By[name] = read(s)
}

func (e *Endorsements) variant(v *protox.Message) {
	id, m := v.Bytes(1), v.Sub(2, "value")
	if m == nil {
		return // an empty variant endorses nothing; whatever needs an endorsement will miss it
	}
	switch string(id) {
	case idSNP:
		e.Certificate = m.Bytes(1)
	case idFirmware:
		e.put(m, 1, Stage0, signed)
	case idKernel:
		for i, name := range []string{Kernel, KernelCmdline, Initrd, MemoryMap, ACPI} {
			e.put(m, uint32(i+1), name, signed)
		}
	case idSystem:
		e.put(m, 1, SystemImage, signed)
	case idApplication:
		e.put(m, 1, Application, signed)
		e.put(m, 2, ApplicationConfig, signed)
	case idContainer:
		e.put(m, 1, Container, signed)
		e.put(m, 2, ContainerConfig, signed)
	}
}

func (e *Endorsements) legacy(m *protox.Message, form uint32) {
	if r := m.Sub(1, "root_layer"); r != nil {
		e.Certificate = r.Bytes(1)
		e.put(r, 2, Stage0, released)
	}
	if form == 3 {
		return
	}
	if k := m.Sub(2, "kernel_layer"); k != nil {
		for num, name := range map[uint32]string{1: Kernel, 2: KernelCmdline, 4: Initrd, 5: MemoryMap, 6: ACPI} {
			e.put(k, num, name, released)
		}
	}
	if form == 1 {
		a := m.Sub(3, "application_layer")
		e.put(a, 1, Application, released)
		e.put(a, 2, ApplicationConfig, released)
		return
	}
	e.put(m.Sub(3, "system_layer"), 1, SystemImage, released)
	c := m.Sub(4, "container_layer")
	e.put(c, 1, Container, released)
	e.put(c, 2, ContainerConfig, released)
}

// signed reads a SignedEndorsement.
func signed(m *protox.Message) *Endorsement {
	e := &Endorsement{Named: true, RekorEntry: m.Bytes(3), C2SPProof: m.Bytes(4), PES: m.Bytes(5)}
	if s := m.Sub(1, "endorsement"); s != nil {
		if f := s.Uint(1); f != 1 {
			m.Fail("an endorsement of format %d; 1 is in-toto JSON", f)
		}
		e.Serialized, e.Subject = s.Bytes(2), s.Bytes(3)
	}
	if s := m.Sub(2, "signature"); s != nil {
		id := s.Uint(1)
		if id > 1<<32-1 {
			m.Fail("key id %d", id)
		}
		e.KeyID, e.Signature = uint32(id), s.Bytes(2)
	}
	return e
}

// released reads a TransparentReleaseEndorsement, the legacy form without key ids.
func released(m *protox.Message) *Endorsement {
	return &Endorsement{Serialized: m.Bytes(1), Signature: m.Bytes(2), RekorEntry: m.Bytes(3), Subject: m.Bytes(4)}
}

// Legacy reads the legacy oneof alone, which carries the same words without key ids. It is class usage when there is none.
func Legacy(b []byte) (*Endorsements, error) {
	b, err := oaktext.Binary(b, oaktext.Endorsements)
	if err != nil {
		return nil, err
	}
	m := protox.Parse("Endorsements", b)
	form := m.OneOf(1, 2, 3)
	if form == 0 {
		return nil, fault.New(fault.Usage, "these endorsements have no legacy form")
	}
	e := &Endorsements{By: map[string]*Endorsement{}}
	e.legacy(m.Sub(form, "layers"), form)
	return e, m.Err()
}
