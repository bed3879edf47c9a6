package sgx

import (
	"encoding/binary"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence/internal/intel"
	"github.com/assay-tee/assay/internal/dcap"
)

// facts are what an authenticated quote says, or an inspected one without its result. They are immutable.
type facts struct {
	report dcap.EnclaveReport
	result *intel.Result // nil when inspected
}

var m = intel.M

// claims are documented in doc.go. Each call makes new nodes.
func (f *facts) claims() claim.Object {
	return append(append(f.body(), f.result.Claims()...), f.trusteeClaims()...)
}

// body is the enclave report by the names of its fields.
func (f *facts) body() claim.Object {
	r := f.report
	flag := func(bit byte) claim.Node { return claim.B(r.Flag(bit)) }
	return claim.Object{
		m("cpu_svn", claim.H(r.CPUSVN())),
		m("misc_select", claim.H(r.MiscSelect())),
		m("isv_ext_prod_id", claim.H(r.ISVExtProdID())),
		m("attributes", claim.O(
			m("flags", claim.H(r.Flags())), m("xfrm", claim.H(r.XFRM())),
			m("init", flag(dcap.EnclaveInit)), m("debug", flag(dcap.EnclaveDebug)), m("mode64", flag(dcap.EnclaveMode64)),
			m("provision_key", flag(dcap.EnclaveProvisionKey)), m("einittoken_key", flag(dcap.EnclaveEInitToken)), m("kss", flag(dcap.EnclaveKSS)))),
		m("mr_enclave", claim.H(r.MREnclave())),
		m("mr_signer", claim.H(r.MRSigner())),
		m("config_id", claim.H(r.ConfigID())),
		m("isv_prod_id", claim.U(uint64(r.ISVProdID()))),
		m("isv_svn", claim.U(uint64(r.ISVSVN()))),
		m("config_svn", claim.U(uint64(r.ConfigSVN()))),
		m("isv_family_id", claim.H(r.ISVFamilyID())),
		m("report_data", claim.H(r.ReportData())),
	}
}

// trusteeClaims are the names that policies written for Trustee use (kbs-evidence.md section 4), where they are not
// among ours already.
func (f *facts) trusteeClaims() claim.Object {
	h, r := f.result.Quote.Header, f.report
	u16 := func(v uint16) claim.Node { return claim.H(binary.LittleEndian.AppendUint16(nil, v)) }
	reserved := r.Reserved()
	return claim.Object{
		m("init_data", claim.H(r.ConfigID())),
		m("header", claim.O(
			m("version", claim.H(h[0:2])), m("att_key_type", claim.H(h[2:4])), m("att_key_data_0", claim.H(h[4:8])),
			m("qe_svn", claim.H(h[8:10])), m("pce_svn", claim.H(h[10:12])), m("vendor_id", claim.H(h[12:28])), m("user_data", claim.H(h[28:48])))),
		m("body", claim.O(
			m("cpu_svn", claim.H(r.CPUSVN())), m("misc_select", claim.H(r.MiscSelect())), m("reserved1", claim.H(reserved[0])),
			m("isv_ext_prod_id", claim.H(r.ISVExtProdID())), m("attributes.flags", claim.H(r.Flags())), m("attributes.xfrm", claim.H(r.XFRM())),
			m("mr_enclave", claim.H(r.MREnclave())), m("reserved2", claim.H(reserved[1])), m("mr_signer", claim.H(r.MRSigner())),
			m("reserved3", claim.H(reserved[2])), m("config_id", claim.H(r.ConfigID())), m("isv_prod_id", u16(r.ISVProdID())),
			m("isv_svn", u16(r.ISVSVN())), m("config_svn", u16(r.ConfigSVN())), m("reserved4", claim.H(reserved[3])),
			m("isv_family_id", claim.H(r.ISVFamilyID())), m("report_data", claim.H(r.ReportData())))),
	}
}
