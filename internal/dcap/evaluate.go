package dcap

import (
	"slices"
	"time"
)

// Platform is what of a machine is compared with TCBInfo and the QE identity.
type Platform struct {
	PCK *PCK
	TD  *TDReport     // nil for SGX
	QE  EnclaveReport // report of the quoting enclave
}

// Evaluation is the outcome of comparing a platform with authentic documents: facts, on which policies decide.
type Evaluation struct {
	Status     Status
	Date       time.Time // earliest of the parts
	Advisories []string  // of all parts, sorted, without duplicates

	Launch  Parts  // under TEE_TCB_SVN; for SGX the only one
	Current *Parts // under TEE_TCB_SVN_2; nil without it
}

// Parts is one evaluation, part by part.
type Parts struct {
	Status                     Status // of the whole
	Platform, Module, QE       Status // Module is none for SGX and for TDX modules of version 0
	PlatformDate, ModuleDate   time.Time
	QEDate                     time.Time
	ModuleID                   string // "TDX_01"
	PlatformLevel, ModuleLevel int    // index of the matching level, the highest is 0
	QELevel                    int
	advisories                 [3][]string
}

// Date returns the earliest date of the parts.
func (p *Parts) Date() time.Time {
	d := p.PlatformDate
	for _, o := range [...]time.Time{p.ModuleDate, p.QEDate} {
		if !o.IsZero() && o.Before(d) {
			d = o
		}
	}
	return d
}

// Advisories returns the ids of all parts, sorted, without duplicates.
func (p *Parts) Advisories() []string { return union(p.advisories[:]...) }

func union(lists ...[]string) []string {
	n := 0
	for _, l := range lists {
		n += len(l)
	}
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for _, l := range lists {
		out = append(out, l...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Evaluate runs steps 8 to 11 of the checklist (section 14): do the documents speak of this platform, is the TDX
// module Intel's, is the QE the one of the identity, and which levels match. A bad status is no error; that the
// documents do not fit is class binding, that no level matches is class unsupported. The signatures over documents,
// certificate and reports are the caller's to have checked.
func Evaluate(p Platform, info *TCBInfo, id *Identity) (Evaluation, error) {
	if err := info.speaksOf(p); err != nil {
		return Evaluation{}, err
	}
	if err := info.checkModule(p.TD); err != nil {
		return Evaluation{}, err
	}
	tee := SGX
	if p.TD != nil {
		tee = TDX
	}
	if want := IdentityID(tee); id.ID != want {
		return Evaluation{}, mismatch(ErrIdentityMismatch, "a %s quote needs the identity %s, this one is %s", tee, want, id.ID)
	}
	if err := id.Match(p.QE); err != nil {
		return Evaluation{}, err
	}
	var svn *[16]byte
	if p.TD != nil {
		s := p.TD.TEETCBSVN()
		svn = &s
	}
	e := Evaluation{}
	var err error
	if e.Launch, err = evaluate(p, svn, info, id); err != nil {
		return Evaluation{}, err
	}
	e.Status, e.Date, e.Advisories = e.Launch.Status, e.Launch.Date(), e.Launch.Advisories()
	if p.TD == nil || !p.TD.HasTDX15() {
		return e, nil
	}
	now := p.TD.TEETCBSVN2()
	cur, err := evaluate(p, &now, info, id)
	if err != nil {
		return Evaluation{}, err
	}
	e.Current = &cur
	e.Status = relaunch(e.Launch.Status, cur.Status)
	if d := cur.Date(); d.Before(e.Date) {
		e.Date = d
	}
	e.Advisories = union(append(cur.advisories[:], e.Launch.advisories[:]...)...)
	return e, nil
}

// speaksOf compares bytes, not hexadecimal text: documents are inconsistent in case (section 26, item 3).
func (t *TCBInfo) speaksOf(p Platform) error {
	tee := SGX
	if p.TD != nil {
		tee = TDX
	}
	switch {
	case t.TEE != tee:
		return mismatch(ErrTCBInfoMismatch, "it speaks of %s, the quote is of %s", t.TEE, tee)
	case t.FMSPC != p.PCK.FMSPC:
		return mismatch(ErrTCBInfoMismatch, "it speaks of FMSPC %x, the platform is %x", t.FMSPC, p.PCK.FMSPC)
	case t.PCEID != p.PCK.PCEID:
		return mismatch(ErrTCBInfoMismatch, "it speaks of PCE-ID %x, the platform has %x", t.PCEID, p.PCK.PCEID)
	}
	return nil
}

// moduleID names the identity of module major version v: two upper-case hexadecimal digits.
func moduleID(v byte) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{'T', 'D', 'X', '_', digits[v>>4], digits[v&15]})
}

func (t *TCBInfo) module(v byte) *Module {
	if v == 0 {
		return t.Module
	}
	id := moduleID(v)
	for i := range t.Modules {
		if t.Modules[i].ID == id {
			return &t.Modules[i]
		}
	}
	return nil
}

// checkModule is step 9 of the checklist.
func (t *TCBInfo) checkModule(td *TDReport) error {
	if td == nil {
		return nil
	}
	v := td.TEETCBSVN()[1]
	m := t.module(v)
	if m == nil {
		return mismatch(ErrModuleMismatch, "TCBInfo of evaluation number %d has no identity %s", t.EvaluationNumber, moduleID(v))
	}
	if [48]byte(td.MRSignerSEAM()) != m.MRSigner {
		return mismatch(ErrModuleMismatch, "MRSIGNERSEAM is %x, not %x", td.MRSignerSEAM(), m.MRSigner)
	}
	if a := [8]byte(td.SEAMAttributes()); a != [8]byte{} || a != m.Attributes {
		return mismatch(ErrModuleMismatch, "SEAMATTRIBUTES are %x, zero is required", a)
	}
	return nil
}

// evaluate is the algorithm of section 15 for one TCB SVN; svn is nil for SGX.
func evaluate(p Platform, svn *[16]byte, info *TCBInfo, id *Identity) (Parts, error) {
	var out Parts
	i := slices.IndexFunc(info.Levels, func(l Level) bool { return l.metBy(p.PCK, svn) })
	if i < 0 {
		return Parts{}, notSupported("%s", info.shortfall(p.PCK, svn))
	}
	l := &info.Levels[i]
	out.Platform, out.PlatformDate, out.PlatformLevel, out.advisories[0] = l.Status, l.Date, i, l.Advisories

	if svn != nil && svn[1] > 0 {
		m := info.module(svn[1])
		if m == nil {
			return Parts{}, notSupported("TCBInfo has no identity %s of the TDX module", moduleID(svn[1]))
		}
		i := levelFor(m.Levels, uint16(svn[0]))
		if i < 0 {
			return Parts{}, notSupported("SVN %d of the TDX module %s is below all of its levels", svn[0], m.ID)
		}
		l := &m.Levels[i]
		out.Module, out.ModuleDate, out.ModuleLevel, out.ModuleID, out.advisories[1] = l.Status, l.Date, i, m.ID, l.Advisories
	}

	if i = levelFor(id.Levels, p.QE.ISVSVN()); i < 0 {
		return Parts{}, notSupported("ISVSVN %d of the QE is below all levels of identity %s", p.QE.ISVSVN(), id.ID)
	}
	q := &id.Levels[i]
	out.QE, out.QEDate, out.QELevel, out.advisories[2] = q.Status, q.Date, i, q.Advisories
	out.Status = merge(out.Platform, out.Module, out.QE)
	return out, nil
}

// metBy reports whether a platform reaches l. For a TDX module of version 1 and above the first two TDX components
// describe the module, which has an identity of its own: the comparison starts behind them (section 15).
func (l *Level) metBy(pck *PCK, svn *[16]byte) bool {
	for i, c := range l.SGX {
		if pck.Components[i] < c {
			return false
		}
	}
	if pck.PCESVN < l.PCESVN {
		return false
	}
	if svn == nil {
		return true
	}
	from := 0
	if svn[1] > 0 {
		from = 2
	}
	for i := from; i < len(svn); i++ {
		if svn[i] < l.TDX[i] {
			return false
		}
	}
	return true
}

func levelFor(levels []SVNLevel, svn uint16) int {
	return slices.IndexFunc(levels, func(l SVNLevel) bool { return svn >= l.ISVSVN })
}
