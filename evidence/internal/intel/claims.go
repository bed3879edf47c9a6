package intel

import (
	"crypto/ecdsa"
	"crypto/sha512"
	"math/big"
	"slices"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/internal/dcap"
)

// M is one named claim.
func M(name string, n claim.Node) claim.Member { return claim.Member{Name: name, Value: n} }

func date(t time.Time) claim.Node {
	if t.IsZero() {
		return claim.Null()
	}
	return claim.S(t.UTC().Format(time.RFC3339))
}

func texts(list []string) claim.Node {
	out := make([]claim.Node, len(list))
	for i, s := range list {
		out[i] = claim.S(s)
	}
	return claim.L(out...)
}

func number(n *big.Int) claim.Node {
	if n.IsUint64() {
		return claim.U(n.Uint64())
	}
	return claim.S(n.String())
}

// Content is what the drivers of TDX and SGX have in common: everything but the tuples and claims of the body.
func (r *Result) Content(tee string, at time.Time) sealed.Content {
	root := r.Chain.root
	c := sealed.Content{TEE: tee, Product: product(r.Quote.TEE), Time: at, Chain: r.Chain.Links, Window: r.Window, Binding: r.Bound,
		Root: sealed.Root{Name: r.Chain.Root.Subject.CommonName, SHA256: root.sha, BuiltIn: root.builtin, Simulated: root.simulated}}
	c.Statements = r.statements
	if root.simulated {
		c.Unsafe = append(c.Unsafe, "simulator-root")
	}
	if !r.Bound.Bound {
		c.Unsafe = append(c.Unsafe, "unbound")
	}
	if len(r.Quote.Trailing) > 0 {
		c.Notes = append(c.Notes, "trailing_bytes")
	}
	return c
}

func product(tee dcap.TEE) string {
	if tee == dcap.TDX {
		return "Intel TDX"
	}
	return "Intel SGX"
}

// Claims are the claims about quote, PCK, TCB and collateral that both TEEs have (section 20), and the names that
// policies written for Trustee use (kbs-evidence.md section 5).
func (r *Result) Claims() claim.Object {
	o := QuoteClaims(&r.Quote)
	o = append(o, M("pck", pckClaims(r.Chain)), M("qe", qeClaims(r.Quote.QE())), M("tcb", r.tcbClaims()), M("collateral", r.collateralClaims()))
	return append(o, r.trusteeClaims()...)
}

// QuoteClaims are the claims about the container.
func QuoteClaims(q *dcap.Quote) claim.Object {
	return claim.Object{
		M("quote_version", claim.U(uint64(q.Version))),
		M("quote_body_type", claim.U(uint64(q.BodyType))),
		M("certification_data_type", claim.U(uint64(q.CertType))),
		M("trailing_bytes", claim.U(uint64(len(q.Trailing)))),
	}
}

// InspectPCK shows the PCK certificate of a quote that nobody has verified: the FMSPC says which collateral it needs.
func InspectPCK(q *dcap.Quote) claim.Object {
	if q.CertType != dcap.CertPCKChain {
		return nil
	}
	certs, err := dcap.ParseCerts(q.CertData)
	if err != nil {
		return nil
	}
	c := Chain{PCKChain: &dcap.PCKChain{}}
	for _, cert := range certs {
		switch cert.Subject.CommonName {
		case dcap.NamePCK:
			c.Leaf = cert
		case dcap.NameProcessorCA:
			c.CA = dcap.ProcessorCA
		}
	}
	if c.Leaf == nil {
		return nil
	}
	if c.PCK, err = dcap.ParsePCK(c.Leaf); err != nil {
		return nil
	}
	return claim.Object{M("pck", pckClaims(&c)), M("qe", qeClaims(q.QE()))}
}

func pckClaims(c *Chain) claim.Node {
	p := &c.PCK
	comps := make([]claim.Node, len(p.Components))
	for i, v := range p.Components {
		comps[i] = claim.U(uint64(v))
	}
	o := []claim.Member{
		M("ca", claim.S(c.CA.String())),
		M("serial", claim.H(c.Leaf.SerialNumber.Bytes())),
		M("not_before", date(c.Leaf.NotBefore)),
		M("not_after", date(c.Leaf.NotAfter)),
		M("fmspc", claim.H(p.FMSPC[:])),
		M("pceid", claim.H(p.PCEID[:])),
		M("ppid", claim.H(p.PPID[:])),
		M("cpusvn", claim.H(p.CPUSVN[:])),
		M("pcesvn", claim.U(uint64(p.PCESVN))),
		M("components", claim.L(comps...)),
		M("sgx_type", claim.S(p.SGXType.String())),
	}
	if p.Platform {
		o = append(o, M("platform_instance_id", claim.H(p.PlatformInstanceID[:])), M("dynamic_platform", claim.B(p.DynamicPlatform)),
			M("cached_keys", claim.B(p.CachedKeys)), M("smt_enabled", claim.B(p.SMTEnabled)))
	}
	return claim.O(o...)
}

func qeClaims(q dcap.EnclaveReport) claim.Node {
	return claim.O(
		M("mr_enclave", claim.H(q.MREnclave())),
		M("mr_signer", claim.H(q.MRSigner())),
		M("isv_prod_id", claim.U(uint64(q.ISVProdID()))),
		M("isv_svn", claim.U(uint64(q.ISVSVN()))),
		M("misc_select", claim.H(q.MiscSelect())),
		M("attributes", claim.H(q.Attributes())),
	)
}

// tcbClaims is the whole evaluation: the status that counts, and what it was made from.
func (r *Result) tcbClaims() claim.Node {
	e := &r.Evaluation
	o := []claim.Member{
		M("status", claim.S(e.Status.String())),
		M("date", date(e.Date)),
		M("advisory_ids", texts(e.Advisories)),
		M("evaluation_number", claim.U(r.p.evaluationNumber)),
		M("launch", partsClaims(&e.Launch)),
	}
	if e.Current != nil {
		o = append(o, M("current", partsClaims(e.Current)))
	}
	var td *dcap.TDReport
	if r.Quote.TEE == dcap.TDX {
		t := r.Quote.TD()
		td = &t
	}
	if s := r.p.tcb.Shortfall(&r.Chain.PCK, td); s != "" {
		o = append(o, M("below_highest_level", claim.S(s)))
	}
	return claim.O(o...)
}

func partsClaims(p *dcap.Parts) claim.Node {
	part := func(s dcap.Status, d time.Time, level int) claim.Node {
		return claim.O(M("status", claim.S(s.String())), M("date", date(d)), M("level", claim.U(uint64(level))))
	}
	o := []claim.Member{M("status", claim.S(p.Status.String())), M("date", date(p.Date())), M("advisory_ids", texts(p.Advisories())),
		M("platform", part(p.Platform, p.PlatformDate, p.PlatformLevel))}
	if p.ModuleID != "" {
		m := part(p.Module, p.ModuleDate, p.ModuleLevel)
		o = append(o, M("module", claim.O(append([]claim.Member{M("id", claim.S(p.ModuleID))}, m.Object()...)...)))
	}
	return claim.O(append(o, M("qe", part(p.QE, p.QEDate, p.QELevel)))...)
}

func (r *Result) collateralClaims() claim.Node {
	p := r.p
	doc := func(d dcap.Signed, w dcap.Window, n uint64) claim.Node {
		sum := d.Digest()
		return claim.O(M("sha256", claim.H(sum[:])), M("issue_date", date(w.From)), M("next_update", date(w.Until)), M("evaluation_number", claim.U(n)))
	}
	list := func(c *dcap.CRL) claim.Node {
		return claim.O(M("number", number(c.Number)), M("this_update", date(c.Window.From)), M("next_update", date(c.Window.Until)), M("entries", claim.U(uint64(c.Len()))))
	}
	return claim.O(
		M("tcb_info", doc(p.tcb.Signed, p.tcb.Window, p.tcb.EvaluationNumber)),
		M("qe_identity", doc(p.id.Signed, p.id.Window, p.id.EvaluationNumber)),
		M("pck_crl", list(p.pckCRL)),
		M("root_ca_crl", list(p.rootCRL)),
		M("tcb_signing_not_after", date(p.tcbSign.Cert.NotAfter)),
	)
}

// trusteeClaims are flat; statuses other than Revoked are claims there too.
func (r *Result) trusteeClaims() claim.Object {
	e, p, pck := &r.Evaluation, r.p, &r.Chain.PCK
	// The public key as the point 04 ‖ x ‖ y, which is what Intel's supplemental data hash.
	var key [48]byte
	if k, ok := r.Chain.Root.PublicKey.(*ecdsa.PublicKey); ok {
		if pt, err := k.Bytes(); err == nil {
			key = sha512.Sum384(pt)
		}
	}
	o := claim.Object{
		M("tcb_status", claim.S(e.Status.String())),
		M("tcb_date", date(e.Date)),
		M("advisory_ids", texts(e.Advisories)),
		M("tcb_eval_num", claim.U(p.evaluationNumber)),
		M("collateral_expiration_status", claim.S("0")),
		M("earliest_issue_date", date(p.issued[0])),
		M("latest_issue_date", date(p.issued[1])),
		M("earliest_expiration_date", date(p.earliestExpiry)),
		M("pck_crl_num", number(p.pckCRL.Number)),
		M("root_ca_crl_num", number(p.rootCRL.Number)),
		M("platform_provider_id", claim.H(pck.PPID[:])),
		M("sgx_type", claim.U(uint64(pck.SGXType))),
		M("root_key_id", claim.H(key[:])),
	}
	if pck.Platform {
		// Trustee's library hands the id out in the reverse order of the certificate.
		piid := slices.Clone(pck.PlatformInstanceID[:])
		slices.Reverse(piid)
		o = append(o, M("platform_instance_id", claim.H(piid)), M("is_dynamic_platform", claim.B(pck.DynamicPlatform)),
			M("is_cached_keys", claim.B(pck.CachedKeys)), M("is_smt_enabled", claim.B(pck.SMTEnabled)))
	}
	if c := e.Current; c != nil {
		o = append(o, M("tcb_status_current", claim.S(c.Status.String())), M("tcb_date_current", date(c.Date())), M("advisory_ids_current", texts(c.Advisories())))
	}
	return o
}
