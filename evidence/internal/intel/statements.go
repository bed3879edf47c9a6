package intel

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
)

// statements are TCBInfo and QE identity as endorsements of this platform, TDX module and QE: who signed them, from when
// to when, and what they say here (corim-profiles.md section 4). The status of the whole is TCBInfo's, merged with those
// of its components (section 16); Intel's library returns nothing else.
func (r *Result) statements() []evidence.VendorStatement {
	p, e := r.p, &r.Evaluation
	tcb := r.statement(fmt.Sprintf("Intel TCBInfo %s %x, evaluation %d", p.tcb.TEE, p.tcb.FMSPC, p.tcb.EvaluationNumber), &p.tcb.Signed, p.tcbSign, p.tcbAuth, p.tcb.Window)
	platform := endorsement(r.Chain.platform.Environment, named("tcb_status", e.Status.String()),
		named("tcb_date", e.Date.UTC().Format(time.RFC3339)), named("platform_tcb_status", e.Launch.Platform.String()))
	if len(e.Advisories) > 0 {
		platform.Elements = append(platform.Elements, named("advisory_ids", strings.Join(e.Advisories, " ")))
	}
	tcb.ECTs = append(tcb.ECTs, platform)
	if e.Launch.ModuleID != "" {
		tcb.ECTs = append(tcb.ECTs, endorsement(claim.Environment{Class: claim.Class{ID: ClassSEAM}}, named("module_tcb_status", e.Launch.Module.String())))
	}
	id := r.statement(fmt.Sprintf("Intel enclave identity %s, evaluation %d", p.id.ID, p.id.EvaluationNumber), &p.id.Signed, p.idSign, p.idAuth, p.id.Window)
	id.ECTs = append(id.ECTs, endorsement(claim.Environment{Class: claim.Class{ID: ClassQE}}, named("qe_tcb_status", e.Launch.QE.String())))
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

// named is a word of Intel's under the name by which people and policies know it.
func named(name, value string) claim.Element {
	return claim.Element{Key: Text(name), Name: name, Values: claim.Values{Name: &value}}
}
