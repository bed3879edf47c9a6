package tdx

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence/internal/intel"
)

// classTD is UUIDv5 of tag:assay,2026:tdx#td (corim-profiles.md section 6).
var classTD = claim.Bytes(claim.TagUUID, []byte{0xb9, 0xe5, 0xbe, 0x4f, 0x49, 0x7d, 0x5f, 0x2d, 0xab, 0x51, 0x3d, 0x48, 0x11, 0xac, 0x0d, 0xb0})

// ects are the claims in CoRIM's terms, cmtype evidence: the TD, the TDX module, the quoting enclave, the platform.
func (f *facts) ects() []claim.ECT {
	r, t := f.result, f.td
	return []claim.ECT{
		{Environment: claim.Environment{Class: claim.Class{ID: classTD}}, Elements: f.td10(), Authority: r.QE.Authority, Profile: intel.ProfileTDX, CMType: claim.CMEvidence},
		{Environment: claim.Environment{Class: claim.Class{ID: intel.ClassSEAM}}, Elements: r.ModuleElements(t.ModuleBytes(), f.module),
			Authority: r.QE.Authority, Profile: intel.ProfileIntel, CMType: claim.CMEvidence},
		r.QETuple(),
		r.PlatformWith(t.ModuleBytes(), f.platform),
	}
}

func (f *facts) platform() []claim.Element {
	els := []claim.Element{componentsElement("tdx", "platform.tee_tcb_svn", "TEE_TCB_SVN at 0", f.td.TEETCBSVN())}
	if f.td.HasTDX15() {
		els = append(els, componentsElement("tdx.current", "platform.tee_tcb_svn_2", "TEE_TCB_SVN_2 at 584", f.td.TEETCBSVN2()))
	}
	return els
}

func componentsElement(mkey, name, field string, svn [16]uint8) claim.Element {
	return claim.Element{Key: intel.Text(mkey), Name: name, Field: field, Values: intel.With(intel.Raw(svn[:]), intel.Ext(intel.KeyTCBCompSVN, intel.CBORComponents(svn)))}
}

var rtmrNames = [4]struct{ mkey, name, field string }{
	{"td.rtmr.0", "rtmr_0", "RTMR0 at 328"}, {"td.rtmr.1", "rtmr_1", "RTMR1 at 376"},
	{"td.rtmr.2", "rtmr_2", "RTMR2 at 424"}, {"td.rtmr.3", "rtmr_3", "RTMR3 at 472"},
}

func (f *facts) td10() []claim.Element {
	t := f.td
	regs := make([]claim.Register, 4)
	for i := range regs {
		regs[i] = claim.Register{ID: claim.Uint(uint64(i)), Digests: []claim.Digest{{Alg: claim.SHA384, Value: t.RTMR(i)}}}
	}
	var flags claim.Flags
	els := make([]claim.Element, 0, 16)
	add := func(mkey, name, field string, v claim.Values) {
		els = append(els, claim.Element{Key: intel.Text(mkey), Name: name, Field: field, Values: v})
	}
	els = append(els, claim.Element{Name: "td_attributes.debug", Field: "TDATTRIBUTES bit 0 at 120", Values: claim.Values{Flags: flags.With(claim.FlagDebug, t.AttributeBits()&1 == 1)}})
	add("td.attributes", "td_attributes", "TDATTRIBUTES at 120", intel.Raw(t.TDAttributes()))
	add("td.xfam", "xfam", "XFAM at 128", intel.Raw(t.XFAM()))
	add("td.mrtd", "mr_td", "MRTD at 136", intel.SHA384(t.MRTD()))
	add("td.mrconfigid", "mr_config_id", "MRCONFIGID at 184", intel.Raw(t.MRConfigID()))
	add("td.mrowner", "mr_owner", "MROWNER at 232", intel.Raw(t.MROwner()))
	add("td.mrownerconfig", "mr_owner_config", "MROWNERCONFIG at 280", intel.Raw(t.MROwnerConfig()))
	add("td.rtmr", "rtmr", "RTMR0 to RTMR3 at 328", claim.Values{Registers: regs})
	for i, r := range regs { // one by one as well, for expectations of the operator, which name a single value
		n := &rtmrNames[i]
		add(n.mkey, n.name, n.field, claim.Values{Digests: r.Digests})
	}
	add("td.reportdata", "report_data", "REPORTDATA at 520", intel.Raw(t.ReportData()))
	if t.HasTDX15() {
		add("td.mrservicetd", "mr_servicetd", "MRSERVICETD at 600", intel.Raw(t.MRServiceTD()))
	}
	return els
}

func (f *facts) module() []claim.Element {
	t := f.td
	svn := t.TEETCBSVN()
	els := make([]claim.Element, 0, 7)
	els = append(els,
		claim.Element{Name: "tee_tcb_svn", Field: "TEE_TCB_SVN at 0", Values: intel.With(intel.Raw(svn[:]), intel.Ext(intel.KeyTCBCompSVN, intel.CBORComponents(svn)))},
		claim.Element{Name: "mr_seam", Field: "MRSEAM at 16", Values: intel.With(intel.SHA384(t.MRSEAM()), intel.Ext(intel.KeyMRTEE, intel.CBORDigests(claim.SHA384, t.MRSEAM())))},
		claim.Element{Name: "mrsigner_seam", Field: "MRSIGNERSEAM at 64", Values: intel.With(intel.SHA384(t.MRSignerSEAM()), intel.Ext(intel.KeyMRSigner, intel.CBORDigests(claim.SHA384, t.MRSignerSEAM())))},
		claim.Element{Name: "seam_attributes", Field: "SEAMATTRIBUTES at 112", Values: intel.With(intel.Raw(t.SEAMAttributes()), intel.Ext(intel.KeyAttributes, intel.CBORBytes(t.SEAMAttributes())))},
	)
	els = append(els, intel.Merged("tdx_module", "TD report", els),
		claim.Element{Key: claim.Uint(84), Name: "mrsigner_seam.base", Field: "MRSIGNERSEAM at 64", Values: intel.SHA384(t.MRSignerSEAM())})
	if t.HasTDX15() {
		els = append(els, componentsElement("current", "tee_tcb_svn_2", "TEE_TCB_SVN_2 at 584", t.TEETCBSVN2()))
	}
	return els
}
