package dcap

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// maxLevels bounds the levels of one list; Intel's documents have less than 30.
const maxLevels = 512

// TCBInfo is what Intel says about the TCB of one FMSPC (section 10), decoded. It is authentic only after its Signed
// was verified.
type TCBInfo struct {
	Signed           Signed
	TEE              TEE
	Version          uint64 // 2 or 3
	Window           Window // issueDate to nextUpdate
	FMSPC            [6]byte
	PCEID            [2]byte
	EvaluationNumber uint64   // tcbEvaluationDataNumber
	Module           *Module  // tdxModule; TDX only
	Modules          []Module // tdxModuleIdentities; TDX only, absent in 2023
	Levels           []Level  // highest first
	Unknown          int      // members that are not known here
}

// Module is tdxModule (without id and levels) or one of tdxModuleIdentities.
type Module struct {
	ID             string // "TDX_01", …
	MRSigner       [48]byte
	Attributes     [8]byte
	AttributesMask [8]byte
	Levels         []SVNLevel // highest first
}

// Level is a TCB level of a platform.
type Level struct {
	SGX        [16]uint8
	PCESVN     uint16
	TDX        [16]uint8 // TDX only
	Status     Status
	Date       time.Time // tcbDate
	Advisories []string
}

// SVNLevel is a TCB level of a TDX module or of a QE.
type SVNLevel struct {
	ISVSVN     uint16
	Status     Status
	Date       time.Time
	Advisories []string
}

// ParseTCBInfo reads a document of version 2 (SGX) or 3. Its errors are of class malformed or unsupported.
func ParseTCBInfo(doc []byte) (*TCBInfo, error) {
	s, err := SplitSigned(doc)
	if err != nil {
		return nil, err
	}
	if s.Name != "tcbInfo" {
		return nil, fault.New(fault.Malformed, "the document is %s, not tcbInfo", s.Name)
	}
	t := &TCBInfo{Signed: s}
	f := objectFields("tcbInfo", s.Body)
	t.Version = f.uint("version", 1<<32)
	if f.err == nil && t.Version != 2 && t.Version != 3 {
		return nil, fault.New(fault.Unsupported, "tcbInfo version %d; 2 and 3 are known", t.Version)
	}
	if t.Version == 3 {
		switch id := f.text("id"); {
		case f.err != nil:
		case id == "TDX":
			t.TEE = TDX
		case id != "SGX":
			f.fail("id", "is neither SGX nor TDX")
		}
	}
	if f.uint("tcbType", 0); f.err != nil {
		return nil, f.err
	}
	t.Window = Window{f.time("issueDate"), f.time("nextUpdate")}
	f.hex("fmspc", t.FMSPC[:])
	f.hex("pceId", t.PCEID[:])
	t.EvaluationNumber = f.uint("tcbEvaluationDataNumber", 1<<32)
	t.readModules(&f)
	t.readLevels(&f)
	if f.err != nil {
		return nil, f.err
	}
	if t.Window.Until.Before(t.Window.From) {
		return nil, fault.New(fault.Malformed, "tcbInfo: nextUpdate lies before issueDate")
	}
	t.Unknown = f.unknown()
	return t, nil
}

func (t *TCBInfo) readModules(f *fields) {
	if t.TEE != TDX || f.err != nil {
		return
	}
	m := f.object("tdxModule")
	t.Module = new(Module)
	t.Module.readSigner(&m)
	f.join(&m)
	if f.err != nil || f.optional("tdxModuleIdentities") == nil {
		return
	}
	f.used--
	for _, raw := range f.array("tdxModuleIdentities") {
		var mod Module
		m := objectFields("tdxModuleIdentities", raw)
		mod.ID = m.text("id")
		mod.readSigner(&m)
		mod.Levels = readSVNLevels(&m)
		f.join(&m)
		if f.err != nil || len(t.Modules) == maxLevels {
			f.fail("tdxModuleIdentities", "is too long")
			return
		}
		if slices.ContainsFunc(t.Modules, func(o Module) bool { return o.ID == mod.ID }) {
			f.fail("tdxModuleIdentities", "has "+mod.ID+" twice")
		}
		t.Modules = append(t.Modules, mod)
	}
}

func (m *Module) readSigner(f *fields) {
	f.hex("mrsigner", m.MRSigner[:])
	f.hex("attributes", m.Attributes[:])
	f.hex("attributesMask", m.AttributesMask[:])
}

func (t *TCBInfo) readLevels(f *fields) {
	for _, raw := range f.array("tcbLevels") {
		l := objectFields("tcbLevels", raw)
		lev := Level{Date: l.time("tcbDate"), Advisories: l.advisories()}
		lev.Status = l.status(parseStatus)
		tcb := l.object("tcb")
		if t.Version == 2 {
			for i := range lev.SGX {
				lev.SGX[i] = uint8(tcb.uint(fmt.Sprintf("sgxtcbcomp%02dsvn", i+1), 0xff))
			}
		} else {
			tcb.components("sgxtcbcomponents", &lev.SGX)
		}
		lev.PCESVN = uint16(tcb.uint("pcesvn", 0xffff))
		if t.TEE == TDX {
			tcb.components("tdxtcbcomponents", &lev.TDX)
		}
		l.join(&tcb)
		f.join(&l)
		if f.err != nil {
			return
		}
		if len(t.Levels) == maxLevels {
			f.fail("tcbLevels", "is too long")
			return
		}
		t.Levels = append(t.Levels, lev)
	}
	if f.err == nil && len(t.Levels) == 0 {
		f.fail("tcbLevels", "is empty")
	}
	// "First match" needs the highest level first; PCS sends them so, but nothing signs a promise about it.
	slices.SortStableFunc(t.Levels, func(a, b Level) int { return compareLevels(&b, &a) })
	for i := 1; i < len(t.Levels) && f.err == nil; i++ {
		if compareLevels(&t.Levels[i-1], &t.Levels[i]) == 0 {
			f.fail("tcbLevels", "has the same level twice")
		}
	}
}

func compareLevels(a, b *Level) int {
	return cmp.Or(bytes.Compare(a.SGX[:], b.SGX[:]), cmp.Compare(a.PCESVN, b.PCESVN), bytes.Compare(a.TDX[:], b.TDX[:]))
}

func (f *fields) components(name string, into *[16]uint8) {
	list := f.array(name)
	if f.err == nil && len(list) != len(into) {
		f.fail(name, "does not have 16 entries")
	}
	for i, raw := range list {
		if f.err != nil {
			return
		}
		c := objectFields(f.what+"."+name, raw)
		into[i] = uint8(c.uint("svn", 0xff))
		f.join(&c)
	}
}

func (f *fields) status(parse func(string) (Status, bool)) Status {
	name := f.text("tcbStatus")
	s, ok := parse(name)
	if !ok {
		f.fail("tcbStatus", fmt.Sprintf("%q is not known", name))
	}
	return s
}

// readSVNLevels reads the tcbLevels of a module or an identity, and orders them.
func readSVNLevels(f *fields) []SVNLevel {
	var out []SVNLevel
	for _, raw := range f.array("tcbLevels") {
		l := objectFields(f.what+".tcbLevels", raw)
		lev := SVNLevel{Date: l.time("tcbDate"), Advisories: l.advisories()}
		lev.Status = l.status(parseSVNStatus)
		tcb := l.object("tcb")
		lev.ISVSVN = uint16(tcb.uint("isvsvn", 0xffff))
		l.join(&tcb)
		f.join(&l)
		if f.err != nil {
			return nil
		}
		if len(out) == maxLevels {
			f.fail("tcbLevels", "is too long")
			return nil
		}
		out = append(out, lev)
	}
	if f.err == nil && len(out) == 0 {
		f.fail("tcbLevels", "is empty")
	}
	slices.SortStableFunc(out, func(a, b SVNLevel) int { return cmp.Compare(b.ISVSVN, a.ISVSVN) })
	for i := 1; i < len(out) && f.err == nil; i++ {
		if out[i-1].ISVSVN == out[i].ISVSVN {
			f.fail("tcbLevels", "has the same level twice")
		}
	}
	return out
}
