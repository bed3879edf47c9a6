package snp

import (
	"crypto/sha256"
	"math/big"

	"github.com/assay-tee/assay/claim"
)

// facts are what an authenticated report says, or an inspected one without its chain. They are immutable.
type facts struct {
	report Report
	chain  *chain // nil when inspected
	crl    crlStatus
}

func m(name string, n claim.Node) claim.Member { return claim.Member{Name: name, Value: n} }

func u[T ~uint8 | ~uint32 | ~uint64](v T) claim.Node { return claim.U(uint64(v)) }

// line returns the product line, or nil when only a certificate could tell.
func (f *facts) line() *Line {
	if f.chain != nil {
		return f.chain.vek.line
	}
	if c, err := f.report.candidateLines(); err == nil && len(c) == 1 {
		return c[0]
	}
	return nil
}

// claims are documented in doc.go. Each call makes new nodes.
func (f *facts) claims() claim.Object {
	r := &f.report
	o := claim.Object{
		m("version", u(r.Version)),
		m("guest_svn", u(r.GuestSVN)),
		m("policy", f.policy()),
		m("family_id", claim.H(r.FamilyID[:])),
		m("image_id", claim.H(r.ImageID[:])),
		m("vmpl", u(r.VMPL)),
		m("signature_algo", u(r.SignatureAlgo)),
		m("platform_info", f.platformInfo()),
		m("author_key_en", claim.B(r.KeyInfo.AuthorKeyEn())),
		m("mask_chip_key", claim.B(r.KeyInfo.MaskChipKey())),
		m("signing_key", claim.S(r.KeyInfo.SigningKey().String())),
		m("report_data", claim.H(r.ReportData[:])),
		m("measurement", claim.H(r.Measurement[:])),
		m("host_data", claim.H(r.HostData[:])),
		m("id_key_digest", claim.H(r.IDKeyDigest[:])),
		m("author_key_digest", claim.H(r.AuthorKeyDigest[:])),
		m("report_id", claim.H(r.ReportID[:])),
		m("report_id_ma", claim.H(r.ReportIDMA[:])),
		m("cpuid", f.cpuid()),
		m("chip_id", claim.H(r.ChipID[:])),
		m("current_tcb", f.tcb(r.CurrentTCB)),
		m("reported_tcb", f.tcb(r.ReportedTCB)),
		m("committed_tcb", f.tcb(r.CommittedTCB)),
		m("launch_tcb", f.tcb(r.LaunchTCB)),
		m("current_version", claim.S(r.Current.String())),
		m("committed_version", claim.S(r.Committed.String())),
		m("launch_mit_vector", f.mitVector(r.LaunchMitVector)),
		m("current_mit_vector", f.mitVector(r.CurrentMitVector)),
	}
	o = append(o, f.endorsementClaims()...)
	return append(o, f.trusteeClaims()...)
}

func (f *facts) policy() claim.Node {
	p := f.report.Policy
	return claim.O(
		m("raw", u(p)),
		m("abi_major", u(p.ABIMajor())),
		m("abi_minor", u(p.ABIMinor())),
		m("smt", claim.B(p.Has(PolicySMT))),
		m("migrate_ma", claim.B(p.Has(PolicyMigrateMA))),
		m("debug", claim.B(p.Has(PolicyDebug))),
		m("single_socket", claim.B(p.Has(PolicySingleSocket))),
		m("cxl_allow", claim.B(p.Has(PolicyCXLAllow))),
		m("mem_aes_256_xts", claim.B(p.Has(PolicyMemAES256XTS))),
		m("rapl_dis", claim.B(p.Has(PolicyRAPLDis))),
		m("ciphertext_hiding_dram", claim.B(p.Has(PolicyCiphertextHiding))),
		m("page_swap_disable", claim.B(p.Has(PolicyPageSwapDisable))),
	)
}

func (f *facts) platformInfo() claim.Node {
	p := f.report.PlatformInfo
	return claim.O(
		m("raw", u(p)),
		m("smt_en", claim.B(p.Has(PlatformSMT))),
		m("tsme_en", claim.B(p.Has(PlatformTSME))),
		m("ecc_en", claim.B(p.Has(PlatformECC))),
		m("rapl_dis", claim.B(p.Has(PlatformRAPLDis))),
		m("ciphertext_hiding_dram_en", claim.B(p.Has(PlatformCiphertextHiding))),
		m("alias_check_complete", claim.B(p.Has(PlatformAliasCheck))),
		m("iommu_write_safe", claim.B(p.Has(PlatformIOMMUWriteSafe))),
		m("tio_en", claim.B(p.Has(PlatformTIO))),
		m("unknown_bits", claim.U(p.UnknownBits())),
	)
}

func (f *facts) cpuid() claim.Node {
	if f.report.Version < 3 {
		return claim.Null()
	}
	c := f.report.CPUID
	return claim.O(m("family", u(c.Family)), m("model", u(c.Model)), m("stepping", u(c.Stepping)))
}

// tcb names the components by the layout of the product; without a known product there is the raw value alone.
func (f *facts) tcb(t TCB) claim.Node {
	var o []claim.Member
	if l := f.line(); l != nil {
		for _, c := range l.tcb {
			o = append(o, m(c.name, u(t[c.at])))
		}
	}
	return claim.O(append(o, m("raw", claim.H(t[:])))...)
}

func (f *facts) mitVector(v uint64) claim.Node {
	if f.report.Version < 5 {
		return claim.Null()
	}
	return claim.U(v)
}

// chipBinding says what the signing key is tied to. "csp" is the weakest: a VLEK proves a provider, not a machine.
func (f *facts) chipBinding() string {
	switch {
	case f.chain.vek.kind == SignedByVLEK:
		return "csp"
	case f.report.chipIDMasked():
		return "masked"
	}
	return "hwid"
}

func (f *facts) endorsementClaims() claim.Object {
	if f.line() == nil {
		return nil
	}
	o := claim.Object{m("product", claim.S(f.line().Name))}
	if f.chain == nil {
		return o
	}
	v := f.chain.vek
	csp := claim.Null()
	if v.kind == SignedByVLEK {
		csp = claim.S(v.ext.cspID)
	}
	key := sha256.Sum256(v.cert.RawSubjectPublicKeyInfo)
	crl := []claim.Member{m("status", claim.S(f.crl.status))}
	if f.crl.status == crlGood {
		crl = append(crl, m("number", bigNode(f.crl.number)), m("this_update", claim.S(rfc3339(f.crl.thisUpdate))),
			m("next_update", claim.S(rfc3339(f.crl.nextUpdate))))
	}
	return append(o,
		m("csp_id", csp),
		m("chip_binding", claim.S(f.chipBinding())),
		m("vek_public_key_sha256", claim.H(key[:])),
		m("vek_not_before", claim.S(rfc3339(v.cert.NotBefore))),
		m("vek_not_after", claim.S(rfc3339(v.cert.NotAfter))),
		m("root_sha256", claim.H(f.chain.inter.root.sha[:])),
		m("crl", claim.O(crl...)),
	)
}

// bigNode is a number, or text where it exceeds 64 bits (RFC 5280 allows CRL numbers of 20 bytes).
func bigNode(n *big.Int) claim.Node {
	if n.IsUint64() {
		return claim.U(n.Uint64())
	}
	return claim.S(n.String())
}

// trusteeClaims are the names that policies written for Trustee use (kbs-evidence.md section 2.2), where they are not
// among ours already.
func (f *facts) trusteeClaims() claim.Object {
	r := &f.report
	o := claim.Object{
		m("policy_abi_major", u(r.Policy.ABIMajor())),
		m("policy_abi_minor", u(r.Policy.ABIMinor())),
		m("policy_smt_allowed", claim.B(r.Policy.Has(PolicySMT))),
		m("policy_migrate_ma", claim.B(r.Policy.Has(PolicyMigrateMA))),
		m("policy_debug_allowed", claim.B(r.Policy.Has(PolicyDebug))),
		m("policy_single_socket", claim.B(r.Policy.Has(PolicySingleSocket))),
		m("platform_tsme_enabled", claim.B(r.PlatformInfo.Has(PlatformTSME))),
		m("platform_smt_enabled", claim.B(r.PlatformInfo.Has(PlatformSMT))),
		m("init_data", claim.H(r.HostData[:])),
	}
	if l := f.line(); l != nil {
		for _, c := range l.tcb {
			o = append(o, m("reported_tcb_"+c.name, u(r.ReportedTCB[c.at])))
		}
	}
	return o
}
