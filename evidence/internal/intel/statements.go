package intel

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
)

// Code points of Intel's profile for what Intel says about a TCB.
const (
	keyTCBDate   int64 = -72
	keyEvalNum   int64 = -86
	keyTCBStatus int64 = -88
	keyAdvisory  int64 = -89
)

// statements are TCBInfo and QE identity as endorsements of this platform, TDX module and QE: who signed them, from when
// to when, and what they say here (corim-profiles.md section 4). The status of the whole is TCBInfo's, merged with those
// of its components (section 16); Intel's library returns nothing else.
func (r *Result) statements() []evidence.VendorStatement {
	p, e := r.p, &r.Evaluation
	tcb := r.statement(fmt.Sprintf("Intel TCBInfo %s %x, evaluation %d", p.tcb.TEE, p.tcb.FMSPC, p.tcb.EvaluationNumber), &p.tcb.Signed, p.tcbSign, p.tcbAuth, p.tcb.Window)
	platform := endorsement(r.Chain.platform.Environment,
		statusElement("tcb_status", e.Status, e.Date, e.Advisories, p.evaluationNumber),
		statusElement("platform_tcb_status", e.Launch.Platform, e.Launch.PlatformDate, e.Launch.PlatformAdvisories(), p.tcb.EvaluationNumber))
	tcb.ECTs = append(tcb.ECTs, platform)
	if e.Launch.ModuleID != "" {
		tcb.ECTs = append(tcb.ECTs, endorsement(claim.Environment{Class: claim.Class{ID: ClassSEAM}},
			statusElement("module_tcb_status", e.Launch.Module, e.Launch.ModuleDate, e.Launch.ModuleAdvisories(), p.tcb.EvaluationNumber)))
	}
	id := r.statement(fmt.Sprintf("Intel enclave identity %s, evaluation %d", p.id.ID, p.id.EvaluationNumber), &p.id.Signed, p.idSign, p.idAuth, p.id.Window)
	id.ECTs = append(id.ECTs, endorsement(claim.Environment{Class: claim.Class{ID: ClassQE}},
		statusElement("qe_tcb_status", e.Launch.QE, e.Launch.QEDate, e.Launch.QEAdvisories(), p.id.EvaluationNumber)))
	return []evidence.VendorStatement{tcb, id}
}

func (r *Result) statement(id string, doc *dcap.Signed, by *dcap.Signer, auth claim.Authority, w dcap.Window) evidence.VendorStatement {
	w = w.Intersect(by.Window)
	return evidence.VendorStatement{ID: id, SHA256: doc.Digest(), Signer: by.Cert.Subject.CommonName, SignerKey: sha256.Sum256(by.Cert.RawSubjectPublicKeyInfo),
		Authority: auth, Anchor: by.Root.Subject.CommonName, Scope: "TCB of FMSPC " + hex.EncodeToString(r.Chain.PCK.FMSPC[:]),
		Window: evidence.Window{NotBefore: w.From, NotAfter: w.Until}}
}

func endorsement(env claim.Environment, elements ...claim.Element) claim.ECT {
	return claim.ECT{Environment: env, Elements: elements, Profile: ProfileIntel, CMType: claim.CMEndorsements}
}

func statusElement(name string, s dcap.Status, date time.Time, advisories []string, eval uint64) claim.Element {
	status := s.String()
	ids := appendHead(nil, 4, uint64(len(advisories)))
	for _, a := range advisories {
		ids = append(ids, CBORText(a)...)
	}
	return claim.Element{Key: Text(name), Name: name, Values: claim.Values{Name: &status, Ext: []claim.Extension{
		Ext(keyTCBStatus, append(appendHead(nil, 4, 1), CBORText(status)...)),
		Ext(keyTCBDate, CBORText(date.UTC().Format(time.RFC3339))),
		Ext(keyEvalNum, CBORUint(eval)),
		Ext(keyAdvisory, ids),
	}}}
}
