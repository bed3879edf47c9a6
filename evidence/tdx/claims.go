package tdx

import (
	"encoding/binary"
	"fmt"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence/internal/eventlog"
	"github.com/assay-tee/assay/evidence/internal/intel"
	"github.com/assay-tee/assay/internal/dcap"
)

// facts are what an authenticated quote says, or an inspected one without its result. They are immutable.
type facts struct {
	td     dcap.TDReport
	result *intel.Result       // nil when inspected
	boot   *eventlog.Explained // nil without an event log
}

// explain holds an event log against the RTMRs. A log that does not give all four of them contributes nothing and is
// class binding: somebody who sends one wants it to be believed.
func (f *facts) explain(log []byte) error {
	if len(log) == 0 {
		return nil
	}
	l, err := eventlog.Parse(log, eventlog.Options{Terminated: true})
	if err != nil {
		return err
	}
	f.boot, err = l.Explain(eventlog.Registers{Alg: eventlog.SHA384, First: 1, Name: "RTMR",
		Values: [][]byte{f.td.RTMR(0), f.td.RTMR(1), f.td.RTMR(2), f.td.RTMR(3)}})
	return err
}

var m = intel.M

// claims are documented in doc.go. Each call makes new nodes.
func (f *facts) claims() claim.Object {
	o := append(append(f.body(), f.result.Claims()...), f.trusteeClaims()...)
	if f.boot != nil {
		o = append(o, m("boot", f.boot.BootClaims("rtmr_")), m("uefi_event_logs", f.boot.TrusteeClaims()))
	}
	return o
}

// body is the TD report by the names of its fields.
func (f *facts) body() claim.Object {
	t := f.td
	svn := t.TEETCBSVN()
	o := claim.Object{
		m("tee_tcb_svn", claim.H(svn[:])),
		m("mr_seam", claim.H(t.MRSEAM())),
		m("mrsigner_seam", claim.H(t.MRSignerSEAM())),
		m("seam_attributes", claim.H(t.SEAMAttributes())),
		m("td_attributes", f.attributes()),
		m("xfam", claim.H(t.XFAM())),
		m("mr_td", claim.H(t.MRTD())),
		m("mr_config_id", claim.H(t.MRConfigID())),
		m("mr_owner", claim.H(t.MROwner())),
		m("mr_owner_config", claim.H(t.MROwnerConfig())),
	}
	for i := range 4 {
		o = append(o, m(fmt.Sprintf("rtmr_%d", i), claim.H(t.RTMR(i))))
	}
	o = append(o, m("report_data", claim.H(t.ReportData())))
	if t.HasTDX15() {
		now := t.TEETCBSVN2()
		o = append(o, m("tee_tcb_svn_2", claim.H(now[:])), m("mr_servicetd", claim.H(t.MRServiceTD())))
	}
	if t.IsExtended() {
		e := t.Extended()
		o = append(o, m("extended", claim.O(
			m("vmid", claim.U(uint64(e.VMID()))), m("td_id", claim.H(e.TDID())), m("device_info", claim.H(e.DeviceInfo())),
			m("init_servicetd_hash", claim.H(e.InitServiceTD())), m("init_servicetd_attributes", claim.H(e.InitServiceTDAttr())),
			m("init_cpusvn", claim.H(e.InitCPUSVN())), m("init_tee_tcb_svn", claim.H(e.InitTEETCBSVN())), m("init_fmspc", claim.H(e.InitFMSPC())),
			m("servicetd_hash", claim.H(e.ServiceTD())), m("servicetd_attributes", claim.H(e.ServiceTDAttr())))))
	}
	return o
}

func (f *facts) attributes() claim.Node {
	a := f.td.AttributeBits()
	bit := func(mask uint64) claim.Node { return claim.B(a&mask != 0) }
	return claim.O(
		m("raw", claim.H(f.td.TDAttributes())),
		m("debug", bit(dcap.TDDebug)),
		m("under_debug", bit(dcap.TDUnderDebug)),
		m("septve_disable", bit(dcap.TDSeptVEDisable)),
		m("migratable", bit(dcap.TDMigratable)),
		m("protection_keys", bit(dcap.TDPKS)),
		m("key_locker", bit(dcap.TDKeyLocker)),
		m("perfmon", bit(dcap.TDPerfmon)),
		m("unknown_bits", claim.U(f.td.UnknownBits())),
	)
}

// trusteeClaims are the names that policies written for Trustee use (kbs-evidence.md section 3), where they are not
// among ours already.
func (f *facts) trusteeClaims() claim.Object {
	q := &f.result.Quote
	h, t := q.Header, f.td
	svn := t.TEETCBSVN()
	body := []claim.Member{
		m("tcb_svn", claim.H(svn[:])),
		m("mr_seam", claim.H(t.MRSEAM())),
		m("mrsigner_seam", claim.H(t.MRSignerSEAM())),
		m("seam_attributes", claim.H(t.SEAMAttributes())),
		m("td_attributes", claim.H(t.TDAttributes())),
		m("xfam", claim.H(t.XFAM())),
		m("mr_td", claim.H(t.MRTD())),
		m("mr_config_id", claim.H(t.MRConfigID())),
		m("mr_owner", claim.H(t.MROwner())),
		m("mr_owner_config", claim.H(t.MROwnerConfig())),
		m("rtmr_0", claim.H(t.RTMR(0))), m("rtmr_1", claim.H(t.RTMR(1))), m("rtmr_2", claim.H(t.RTMR(2))), m("rtmr_3", claim.H(t.RTMR(3))),
		m("report_data", claim.H(t.ReportData())),
	}
	if t.HasTDX15() {
		now := t.TEETCBSVN2()
		body = append(body, m("tee_tcb_svn2", claim.H(now[:])), m("mr_servicetd", claim.H(t.MRServiceTD())))
	}
	quote := []claim.Member{
		m("header", claim.O(m("version", claim.H(h[0:2])), m("att_key_type", claim.H(h[2:4])), m("tee_type", claim.H(h[4:8])),
			m("reserved", claim.H(h[8:12])), m("vendor_id", claim.H(h[12:28])), m("user_data", claim.H(h[28:48])))),
		m("body", claim.O(body...)),
	}
	if q.Version == 5 {
		quote = append(quote, m("type", claim.H(binary.LittleEndian.AppendUint16(nil, uint16(q.BodyType)))),
			m("size", claim.H(binary.LittleEndian.AppendUint32(nil, uint32(len(q.Body))))))
	}
	return claim.Object{m("init_data", claim.H(t.MRConfigID())), m("quote", claim.O(quote...))}
}
