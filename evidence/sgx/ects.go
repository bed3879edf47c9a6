package sgx

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence/internal/intel"
	"github.com/assay-tee/assay/internal/dcap"
)

// ects are the claims in CoRIM's terms, cmtype evidence: the enclave, the quoting enclave, the platform.
func (f *facts) ects() []claim.ECT {
	r := f.result
	return []claim.ECT{
		{Environment: claim.Environment{Class: claim.Class{ID: intel.ClassEnclave}}, Elements: f.enclave(), Authority: r.QE.Authority, Profile: intel.ProfileIntel, CMType: claim.CMEvidence},
		r.QETuple(),
		r.Platform(),
	}
}

func (f *facts) enclave() []claim.Element {
	r := f.report
	var flags claim.Flags
	els := intel.EnclaveElements("", r)
	add := func(mkey, name, field string, v claim.Values) {
		els = append(els, claim.Element{Key: intel.Text(mkey), Name: name, Field: field, Values: v})
	}
	els = append(els, claim.Element{Name: "attributes.debug", Field: "ATTRIBUTES bit 1 at 48", Values: claim.Values{Flags: flags.With(claim.FlagDebug, r.Flag(dcap.EnclaveDebug))}})
	add("sgx.cpusvn", "cpu_svn", "CPUSVN at 0", intel.Raw(r.CPUSVN()))
	add("sgx.isvextprodid", "isv_ext_prod_id", "ISVEXTPRODID at 32", intel.Raw(r.ISVExtProdID()))
	add("sgx.configid", "config_id", "CONFIGID at 192", intel.Raw(r.ConfigID()))
	add("sgx.configsvn", "config_svn", "CONFIGSVN at 260", intel.Int(uint64(r.ConfigSVN())))
	add("sgx.isvfamilyid", "isv_family_id", "ISVFAMILYID at 304", intel.Raw(r.ISVFamilyID()))
	add("sgx.reportdata", "report_data", "REPORT_DATA at 320", intel.Raw(r.ReportData()))
	return els
}
