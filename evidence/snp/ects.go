package snp

import (
	"encoding/binary"
	"strconv"

	"github.com/assay-tee/assay/claim"
)

// ProfileAMD is the profile of the tuples (corim-profiles.md section 1). The elements that we add to it (section 2.4)
// follow its rule for mkeys, or have a name of ours.
const ProfileAMD = "tag:amd.com,2025:snp-corim-profile"

// The class-ids of the AMD profile: content of 1.3.6.1.4.1.3704.3.1 ("by chip") and .3.2 ("by CSP").
var (
	classByChip = claim.Bytes(claim.TagOID, []byte{0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x03, 0x01})
	classByCSP  = claim.Bytes(claim.TagOID, []byte{0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x03, 0x02})
)

// mkeys of the AMD profile: numbered up to the first reserved field, from there the bit offset (section 2.2), and of
// our additions (section 2.4).
var (
	mkeyVersion          = claim.Uint(0)
	mkeyGuestSVN         = claim.Uint(1)
	mkeyPolicy           = claim.Uint(2)
	mkeyFamilyID         = claim.Uint(3)
	mkeyImageID          = claim.Uint(4)
	mkeyVMPL             = claim.Uint(5)
	mkeyCurrentTCB       = claim.Uint(6)
	mkeyPlatformInfo     = claim.Uint(7)
	mkeyReportData       = claim.Uint(640)
	mkeyMeasurement      = claim.Uint(641)
	mkeyHostData         = claim.Uint(642)
	mkeyIDKeyDigest      = claim.Uint(643)
	mkeyAuthorKeyDigest  = claim.Uint(644)
	mkeyReportID         = claim.Uint(645)
	mkeyReportIDMA       = claim.Uint(646)
	mkeyReportedTCB      = claim.Uint(647)
	mkeyCPUIDFamily      = claim.Uint(648)
	mkeyCPUIDModel       = claim.Uint(649)
	mkeyCPUIDStepping    = claim.Uint(650)
	mkeyChipID           = claim.Uint(3328)
	mkeyCommittedTCB     = claim.Uint(3329)
	mkeyCurrentVersion   = claim.Uint(3330)
	mkeyCommittedVersion = claim.Uint(3936)
	mkeyLaunchTCB        = claim.Uint(3968)
	mkeyLaunchMit        = claim.Uint(4032)
	mkeyCurrentMit       = claim.Uint(4096)
	mkeyProduct          = claim.Text(claim.TagNone, "snp.product")
)

// ects are the claims in CoRIM's terms: one tuple, so that a statement can name a measurement together with the
// product or the mitigations that it holds for.
func (f *facts) ects() []claim.ECT {
	return []claim.ECT{{Environment: f.environment(), Elements: f.plusElements(f.elements()), Authority: f.chain.authority,
		Profile: ProfileAMD, CMType: claim.CMEvidence}}
}

func (f *facts) environment() claim.Environment {
	v := f.chain.vek
	switch {
	case v.kind == SignedByVLEK:
		return claim.Environment{Class: claim.Class{ID: classByCSP}, Instance: claim.Bytes(claim.TagBytes, []byte(v.ext.cspID))}
	case f.report.chipIDMasked():
		return claim.Environment{Class: claim.Class{ID: classByChip}, Instance: claim.Bytes(claim.TagBytes, v.ext.hwID)}
	}
	return claim.Environment{Class: claim.Class{ID: classByChip}, Instance: claim.Bytes(claim.TagBytes, f.report.ChipID[:])}
}

// elementList collects elements in the order of the report.
type elementList []claim.Element

func (l *elementList) add(mkey claim.ID, name, field string, v claim.Values) {
	*l = append(*l, claim.Element{Key: mkey, Values: v, Name: name, Field: field})
}

func rawValue(b []byte) claim.Values { return claim.Values{Raw: &claim.Raw{Value: b}} }

func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func intValue[T ~uint8 | ~uint32](v T) claim.Values {
	return claim.Values{IntRange: &claim.IntRange{Value: &claim.Int{Mag: uint64(v)}}}
}

func svnValue(v uint64) claim.Values { return claim.Values{SVN: &claim.SVN{Value: v}} }

func tcbValue(t TCB) claim.Values { return svnValue(binary.LittleEndian.Uint64(t[:])) }

func sha384Value(b []byte) claim.Values {
	return claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: b}}}
}

func versionValue(v FirmwareVersion) claim.Values {
	return claim.Values{Version: &claim.Version{Text: v.String(), Scheme: "semver"}}
}

func (f *facts) elements() elementList {
	r := &f.report
	l := make(elementList, 0, 31)
	var flags claim.Flags
	l = append(l, claim.Element{Values: claim.Values{Flags: flags.With(claim.FlagDebug, r.Policy.Has(PolicyDebug))}, Name: "policy.debug", Field: "POLICY bit 19 at 0x008"})
	l.add(mkeyVersion, "version", "VERSION at 0x000", claim.Values{Version: &claim.Version{Text: strconv.FormatUint(uint64(r.Version), 10), Scheme: "decimal"}})
	l.add(mkeyGuestSVN, "guest_svn", "GUEST_SVN at 0x004", svnValue(uint64(r.GuestSVN)))
	l.add(mkeyPolicy, "policy", "POLICY at 0x008", rawValue(le64(uint64(r.Policy))))
	l.add(mkeyFamilyID, "family_id", "FAMILY_ID at 0x010", rawValue(r.FamilyID[:]))
	l.add(mkeyImageID, "image_id", "IMAGE_ID at 0x020", rawValue(r.ImageID[:]))
	l.add(mkeyVMPL, "vmpl", "VMPL at 0x030", intValue(r.VMPL))
	l.add(mkeyCurrentTCB, "current_tcb", "CURRENT_TCB at 0x038", tcbValue(r.CurrentTCB))
	l.add(mkeyPlatformInfo, "platform_info", "PLATFORM_INFO at 0x040", rawValue(le64(uint64(r.PlatformInfo))))
	l.add(mkeyReportData, "report_data", "REPORT_DATA at 0x050", rawValue(r.ReportData[:]))
	l.add(mkeyMeasurement, "measurement", "MEASUREMENT at 0x090", sha384Value(r.Measurement[:]))
	l.add(mkeyHostData, "host_data", "HOST_DATA at 0x0C0", rawValue(r.HostData[:]))
	l.add(mkeyIDKeyDigest, "id_key_digest", "ID_KEY_DIGEST at 0x0E0", sha384Value(r.IDKeyDigest[:]))
	if r.KeyInfo.AuthorKeyEn() {
		l.add(mkeyAuthorKeyDigest, "author_key_digest", "AUTHOR_KEY_DIGEST at 0x110", sha384Value(r.AuthorKeyDigest[:]))
	}
	l.add(mkeyReportID, "report_id", "REPORT_ID at 0x140", rawValue(r.ReportID[:]))
	if r.hasMigrationAgent() {
		l.add(mkeyReportIDMA, "report_id_ma", "REPORT_ID_MA at 0x160", rawValue(r.ReportIDMA[:]))
	}
	l.add(mkeyReportedTCB, "reported_tcb", "REPORTED_TCB at 0x180", tcbValue(r.ReportedTCB))
	if r.Version >= 3 {
		l.add(mkeyCPUIDFamily, "cpuid.family", "CPUID_FAM_ID at 0x188", intValue(r.CPUID.Family))
		l.add(mkeyCPUIDModel, "cpuid.model", "CPUID_MOD_ID at 0x189", intValue(r.CPUID.Model))
		l.add(mkeyCPUIDStepping, "cpuid.stepping", "CPUID_STEP at 0x18A", intValue(r.CPUID.Stepping))
	}
	if !r.chipIDMasked() {
		l.add(mkeyChipID, "chip_id", "CHIP_ID at 0x1A0", rawValue(r.ChipID[:]))
		if n := f.line().hwidSize; n < len(r.ChipID) {
			l.add(mkeyChipID, "chip_id", "CHIP_ID at 0x1A0, its first bytes", rawValue(r.ChipID[:n]))
		}
	}
	l.add(mkeyCommittedTCB, "committed_tcb", "COMMITTED_TCB at 0x1E0", tcbValue(r.CommittedTCB))
	l.add(mkeyCurrentVersion, "current_version", "CURRENT_BUILD, MINOR, MAJOR at 0x1E8", versionValue(r.Current))
	l.add(mkeyCommittedVersion, "committed_version", "COMMITTED_BUILD, MINOR, MAJOR at 0x1EC", versionValue(r.Committed))
	l.add(mkeyLaunchTCB, "launch_tcb", "LAUNCH_TCB at 0x1F0", tcbValue(r.LaunchTCB))
	return l
}

// plusElements adds what the draft has not (section 2.4).
func (f *facts) plusElements(l elementList) []claim.Element {
	r := &f.report
	if r.Version >= 5 {
		l.add(mkeyLaunchMit, "launch_mit_vector", "LAUNCH_MIT_VECTOR at 0x1F8", rawValue(le64(r.LaunchMitVector)))
		l.add(mkeyCurrentMit, "current_mit_vector", "CURRENT_MIT_VECTOR at 0x200", rawValue(le64(r.CurrentMitVector)))
	}
	field := "CPUID_FAM_ID, CPUID_MOD_ID at 0x188"
	if r.Version < 3 {
		field = "issuer of the VEK certificate"
	}
	name := f.line().Name
	return append(l, claim.Element{Key: mkeyProduct, Values: claim.Values{Name: &name}, Name: "product", Field: field})
}

// hasMigrationAgent reports whether REPORT_ID_MA names one: real reports without an agent carry all ones.
func (r *Report) hasMigrationAgent() bool {
	var ones [32]byte
	for i := range ones {
		ones[i] = 0xFF
	}
	return r.ReportIDMA != ones && r.ReportIDMA != [32]byte{}
}
