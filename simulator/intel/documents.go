package intel

import (
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// Level is a TCB level of a platform.
type Level struct {
	SGX        [16]uint8
	PCESVN     uint16
	TDX        [16]uint8
	Status     string // "": UpToDate
	Date       time.Time
	Advisories []string
}

// SVNLevel is a TCB level of a TDX module or of a quoting enclave.
type SVNLevel struct {
	ISVSVN     uint16
	Status     string // "": UpToDate
	Date       time.Time
	Advisories []string
}

// Module is an entry of tdxModuleIdentities.
type Module struct {
	ID       string // "TDX_01"
	MRSigner [48]byte
	Attrs    [8]byte
	Levels   []SVNLevel
}

// TCBInfo describes a document before it is signed.
type TCBInfo struct {
	TDX        bool
	Version    int // zero: 3
	FMSPC      [6]byte
	PCEID      [2]byte
	Evaluation int       // zero: 18
	Issue      time.Time // zero: an hour before the clock
	Next       time.Time // zero: 30 days after the clock
	Levels     []Level
	Modules    []Module
	Document   DocumentOptions
}

// Identity describes an enclave identity before it is signed.
type Identity struct {
	TDX        bool
	ID         string // "": QE or TD_QE
	Evaluation int
	Issue      time.Time
	Next       time.Time
	MiscSelect [4]byte
	MiscMask   [4]byte  // zero: all ones
	Attributes [16]byte // zero: those of the simulated quoting enclaves
	AttrMask   [16]byte
	MRSigner   [32]byte // zero: that of the simulated quoting enclaves
	ISVProdID  int      // zero: 1 or 2
	Levels     []SVNLevel
	Document   DocumentOptions
}

// DocumentOptions change a document, to make what Intel would never sign.
type DocumentOptions struct {
	Edit     func(body []byte) []byte // before it is signed
	Signer   *ecdsa.PrivateKey        // nil: the TCB signing key
	Tamper   func(body []byte) []byte // after it is signed
	Envelope func(doc []byte) []byte  // the whole document
}

func orTime(t, def time.Time) string {
	if t.IsZero() {
		t = def
	}
	return t.UTC().Format(time.RFC3339)
}

func orStatus(s string) string {
	if s == "" {
		return "UpToDate"
	}
	return s
}

// levelDate is the date of levels that name none.
var levelDate = time.Date(2024, 3, 13, 0, 0, 0, 0, time.UTC)

func upperHex(b []byte) string { return fmt.Sprintf("%X", b) }

// TCBInfo signs a document.
func (w *World) TCBInfo(t TCBInfo) ([]byte, error) {
	now := w.clock().UTC().Truncate(time.Second)
	if t.Version == 0 {
		t.Version = 3
	}
	if t.Evaluation == 0 {
		t.Evaluation = 18
	}
	type component struct {
		SVN int `json:"svn"`
	}
	comps := func(c [16]uint8) []component {
		out := make([]component, 16)
		for i, v := range c {
			out[i].SVN = int(v)
		}
		return out
	}
	var levels []map[string]any
	for _, l := range t.Levels {
		tcb := map[string]any{"pcesvn": l.PCESVN}
		if t.Version == 2 {
			for i, v := range l.SGX {
				tcb[fmt.Sprintf("sgxtcbcomp%02dsvn", i+1)] = v
			}
		} else {
			tcb["sgxtcbcomponents"] = comps(l.SGX)
		}
		if t.TDX {
			tcb["tdxtcbcomponents"] = comps(l.TDX)
		}
		levels = append(levels, levelJSON(map[string]any{"tcb": tcb}, l.Status, l.Date, l.Advisories))
	}
	body := map[string]any{"version": t.Version, "issueDate": orTime(t.Issue, now.Add(-time.Hour)), "nextUpdate": orTime(t.Next, now.AddDate(0, 0, 30)),
		"fmspc": upperHex(t.FMSPC[:]), "pceId": hex.EncodeToString(t.PCEID[:]), "tcbType": 0, "tcbEvaluationDataNumber": t.Evaluation, "tcbLevels": levels}
	if t.Version == 3 {
		body["id"] = "SGX"
	}
	if t.TDX {
		body["id"] = "TDX"
		body["tdxModule"] = map[string]any{"mrsigner": upperHex(make([]byte, 48)), "attributes": upperHex(make([]byte, 8)), "attributesMask": "FFFFFFFFFFFFFFFF"}
		mods := []map[string]any{}
		for _, m := range t.Modules {
			mods = append(mods, map[string]any{"id": m.ID, "mrsigner": upperHex(m.MRSigner[:]), "attributes": upperHex(m.Attrs[:]),
				"attributesMask": "FFFFFFFFFFFFFFFF", "tcbLevels": svnLevels(m.Levels)})
		}
		body["tdxModuleIdentities"] = mods
	}
	return w.sign("tcbInfo", body, t.Document)
}

func levelJSON(l map[string]any, status string, date time.Time, advisories []string) map[string]any {
	l["tcbDate"], l["tcbStatus"] = orTime(date, levelDate), orStatus(status)
	if len(advisories) > 0 {
		l["advisoryIDs"] = advisories
	}
	return l
}

func svnLevels(levels []SVNLevel) []map[string]any {
	out := []map[string]any{}
	for _, l := range levels {
		out = append(out, levelJSON(map[string]any{"tcb": map[string]any{"isvsvn": l.ISVSVN}}, l.Status, l.Date, l.Advisories))
	}
	return out
}

// Identity signs an enclave identity.
func (w *World) Identity(d Identity) ([]byte, error) {
	now := w.clock().UTC().Truncate(time.Second)
	id, signer, prod := "QE", qeSigner, 1
	if d.TDX {
		id, signer, prod = "TD_QE", tdqeSigner, 2
	}
	if d.ID != "" {
		id = d.ID
	}
	if d.MRSigner != [32]byte{} {
		signer = d.MRSigner
	}
	if d.ISVProdID != 0 {
		prod = d.ISVProdID
	}
	if d.Evaluation == 0 {
		d.Evaluation = 18
	}
	if d.MiscMask == [4]byte{} {
		d.MiscMask = [4]byte{0xff, 0xff, 0xff, 0xff}
	}
	if d.AttrMask == [16]byte{} {
		d.AttrMask = [16]byte{0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		if d.Attributes == [16]byte{} {
			d.Attributes[0] = 0x11
		}
	}
	if d.Levels == nil {
		d.Levels = []SVNLevel{{ISVSVN: QESVN}}
	}
	body := map[string]any{"id": id, "version": 2, "issueDate": orTime(d.Issue, now.Add(-time.Hour)), "nextUpdate": orTime(d.Next, now.AddDate(0, 0, 30)),
		"tcbEvaluationDataNumber": d.Evaluation, "miscselect": upperHex(d.MiscSelect[:]), "miscselectMask": upperHex(d.MiscMask[:]),
		"attributes": upperHex(d.Attributes[:]), "attributesMask": upperHex(d.AttrMask[:]), "mrsigner": upperHex(signer[:]), "isvprodid": prod,
		"tcbLevels": svnLevels(d.Levels)}
	return w.sign("enclaveIdentity", body, d.Document)
}

func (w *World) sign(name string, body map[string]any, o DocumentOptions) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fault.New(fault.Internal, "%s: %w", name, err)
	}
	if o.Edit != nil {
		b = o.Edit(b)
	}
	key := o.Signer
	if key == nil {
		key = w.Signing.Key
	}
	sig, err := signRaw(key, b)
	if err != nil {
		return nil, err
	}
	if o.Tamper != nil {
		b = o.Tamper(b)
	}
	doc := fmt.Appendf(nil, `{%q:%s,"signature":"%x"}`, name, b, sig)
	if o.Envelope != nil {
		doc = o.Envelope(doc)
	}
	return doc, nil
}

// CurrentTCBInfo is a document under which m is up to date, with an older level that is out of date below it.
func (m *Machine) CurrentTCBInfo(tdx bool) TCBInfo {
	now := Level{SGX: m.Config.Components, PCESVN: m.Config.PCESVN}
	old := Level{PCESVN: 0, Status: "OutOfDate", Date: time.Date(2022, 11, 9, 0, 0, 0, 0, time.UTC), Advisories: []string{"INTEL-SA-00615", "INTEL-SA-00586"}}
	t := TCBInfo{TDX: tdx, FMSPC: m.Config.FMSPC, PCEID: m.Config.PCEID, Levels: []Level{now, old}}
	if tdx {
		t.Levels[0].TDX = [16]uint8{5, 0, 2}
		t.Modules = []Module{
			{ID: "TDX_01", Levels: []SVNLevel{{ISVSVN: 4}, {ISVSVN: 2, Status: "OutOfDate"}}},
			{ID: "TDX_03", Levels: []SVNLevel{{ISVSVN: 1}}},
		}
	}
	return t
}
