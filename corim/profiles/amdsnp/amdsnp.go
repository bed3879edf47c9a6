// Package amdsnp is the CoRIM profile of AMD SEV-SNP reports (draft-deeglaze-amd-sev-snp-corim-profile) with the
// additions that this module needs (specs corim-profiles.md sections 2 and 3).
package amdsnp

import (
	"bytes"
	"encoding/binary"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// Identifiers of the profile.
const (
	ID      = "tag:amd.com,2025:snp-corim-profile"
	ID2024  = "tag:amd.com,2024:snp-corim-profile"    // registered by veraison/services; an alias
	PlusID  = "tag:assay.example,2026:snp-plus#1.0.0" // with the additions of section 2.4
	OIDVCEK = "1.3.6.1.4.1.3704.3.1"                  // class-id of an Attester that signs with a VCEK
	OIDVLEK = "1.3.6.1.4.1.3704.3.2"                  // class-id of an Attester that signs with a VLEK
)

// mkeys of the report's fields (section 2.2) and of the additions (section 2.4).
const (
	KeyVersion          = 0
	KeyGuestSVN         = 1
	KeyPolicy           = 2
	KeyFamilyID         = 3
	KeyImageID          = 4
	KeyVMPL             = 5
	KeyCurrentTCB       = 6
	KeyPlatformInfo     = 7
	KeyReportData       = 640
	KeyMeasurement      = 641
	KeyHostData         = 642
	KeyIDKeyDigest      = 643
	KeyAuthorKeyDigest  = 644
	KeyReportID         = 645
	KeyReportIDMA       = 646
	KeyReportedTCB      = 647
	KeyCPUIDFamily      = 648
	KeyCPUIDModel       = 649
	KeyCPUIDStepping    = 650
	KeyChipID           = 3328
	KeyCommittedTCB     = 3329
	KeyCurrentVersion   = 3330
	KeyCommittedVersion = 3936
	KeyLaunchTCB        = 3968
	KeyLaunchMitVector  = 4032
	KeyCurrentMitVector = 4096
	KeyProduct          = "snp.product" // 11 name: Milan, Genoa, Turin, Venice
	KeyTCBStatus        = "tcb-status"  // 11 name: UpToDate, OutOfDate, Revoked
)

// Code points of measurement-values-map that the profile uses.
const (
	cpVersion  = 0
	cpSVN      = 1
	cpDigests  = 2
	cpRaw      = 4
	cpName     = 11
	cpIntRange = 15
)

type field struct {
	name string
	cp   int64 // code point; 0 also for the version
	size int   // bytes of raw values and digests
	tcb  bool
}

var fields = map[uint64]field{
	KeyVersion:          {"version", cpVersion, 0, false},
	KeyGuestSVN:         {"guest_svn", cpSVN, 0, false},
	KeyPolicy:           {"policy", cpRaw, 8, false},
	KeyFamilyID:         {"family_id", cpRaw, 16, false},
	KeyImageID:          {"image_id", cpRaw, 16, false},
	KeyVMPL:             {"vmpl", cpIntRange, 0, false},
	KeyCurrentTCB:       {"current_tcb", cpSVN, 0, true},
	KeyPlatformInfo:     {"platform_info", cpRaw, 8, false},
	KeyReportData:       {"report_data", cpRaw, 64, false},
	KeyMeasurement:      {"measurement", cpDigests, 48, false},
	KeyHostData:         {"host_data", cpRaw, 32, false},
	KeyIDKeyDigest:      {"id_key_digest", cpDigests, 48, false},
	KeyAuthorKeyDigest:  {"author_key_digest", cpDigests, 48, false},
	KeyReportID:         {"report_id", cpRaw, 32, false},
	KeyReportIDMA:       {"report_id_ma", cpRaw, 32, false},
	KeyReportedTCB:      {"reported_tcb", cpSVN, 0, true},
	KeyCPUIDFamily:      {"cpuid_family", cpIntRange, 0, false},
	KeyCPUIDModel:       {"cpuid_model", cpIntRange, 0, false},
	KeyCPUIDStepping:    {"cpuid_stepping", cpIntRange, 0, false},
	KeyChipID:           {"chip_id", cpRaw, 0, false}, // 64 bytes, or 8 on Turin
	KeyCommittedTCB:     {"committed_tcb", cpSVN, 0, true},
	KeyCurrentVersion:   {"current_version", cpVersion, 0, false},
	KeyCommittedVersion: {"committed_version", cpVersion, 0, false},
	KeyLaunchTCB:        {"launch_tcb", cpSVN, 0, true},
	KeyLaunchMitVector:  {"launch_mit_vector", cpRaw, 8, false},
	KeyCurrentMitVector: {"current_mit_vector", cpRaw, 8, false},
}

// Profile returns the profile.
func Profile() *corim.Profile {
	return &corim.Profile{
		IDs:         []string{ID, ID2024, PlusID},
		Name:        "AMD SEV-SNP",
		Compare:     compare,
		ElementName: func(_ claim.Environment, mkey claim.ID) string { return ElementName(mkey) },
		OddDigest:   oddDigest,
		Describe:    Describe,
		KeyTags:     []uint64{32780}, // AMD key digest, section 2.3
		Check:       check,
	}
}

// ElementName is the name by which people know the element mkey, or "".
func ElementName(mkey claim.ID) string {
	if u, ok := mkey.UintContent(); ok {
		return fields[u].name
	}
	return mkey.TextContent()
}

// Class is the class-id environment of an Attester that signs with a VCEK, or a VLEK.
func Class(vlek bool) claim.Environment {
	dotted := OIDVCEK
	if vlek {
		dotted = OIDVLEK
	}
	id, _ := corim.OID(dotted)
	return claim.Environment{Class: claim.Class{ID: id}}
}

// oddDigest allows the draft's form of HOST_DATA: 32 bytes that are labelled SHA-384 and are no digest at all.
func oddDigest(mkey claim.ID, d claim.Digest) bool {
	return mkey == claim.Uint(KeyHostData) && d.Alg == claim.SHA384 && len(d.Value) == 32
}

func compare(mkey claim.ID, codePoint int64) func(cond, acc claim.Values) bool {
	u, ok := mkey.UintContent()
	if !ok {
		return nil
	}
	f := fields[u]
	switch {
	case f.tcb && codePoint == cpSVN:
		return compareTCB
	case u == KeyHostData && codePoint == cpDigests:
		return compareHostData
	case u == KeyVersion && codePoint == cpVersion:
		return func(cond, acc claim.Values) bool {
			return cond.Version != nil && acc.Version != nil && cond.Version.Text == acc.Version.Text
		}
	}
	return nil
}

// compareTCB compares a TCB component by component, never as one number: each of the eight bytes of the accepted value
// must reach that of a minimum (section 3). A larger microcode level cannot make up for an older SNP firmware.
func compareTCB(cond, acc claim.Values) bool {
	c, a := cond.SVN, acc.SVN
	switch {
	case c == nil || a == nil:
		return false
	case a.Min:
		return c.Min && c.Value == a.Value
	case !c.Min:
		return c.Value == a.Value
	}
	return TCBAtLeast(a.Value, c.Value)
}

// TCBAtLeast reports whether every byte of have reaches the byte of floor in the same place.
func TCBAtLeast(have, floor uint64) bool {
	var h, f [8]byte
	binary.LittleEndian.PutUint64(h[:], have)
	binary.LittleEndian.PutUint64(f[:], floor)
	for i := range h {
		if h[i] < f[i] {
			return false
		}
	}
	return true
}

// compareHostData meets a condition in the draft's form with the 32 raw bytes that Evidence has.
func compareHostData(cond, acc claim.Values) bool {
	if len(cond.Digests) != 1 || acc.Raw == nil || acc.Raw.Mask != nil {
		return false
	}
	return bytes.Equal(cond.Digests[0].Value, acc.Raw.Value)
}

// check finds what section 2 forbids in a manifest, and what section 3 advises against.
func check(m *corim.Manifest) (out []corim.Finding) {
	for i := range m.CoMIDs {
		t := &m.CoMIDs[i].Triples
		for _, v := range t.Reference {
			out = checkTriple(out, "reference-value triple", v, true)
		}
		for _, v := range t.Endorsed {
			out = checkTriple(out, "endorsed-value triple", v, false)
		}
		for _, s := range t.Series {
			for _, item := range s.Items {
				cond := append(append([]claim.Element(nil), s.Common...), item.Condition...)
				out = checkTriple(out, "conditional-endorsement-series", corim.ValueTriple{Environment: s.Environment, Elements: cond}, true)
				out = checkTriple(out, "conditional-endorsement-series", corim.ValueTriple{Environment: s.Environment, Elements: item.Addition}, false)
			}
		}
		for _, c := range t.Conditional {
			for _, v := range c.Conditions {
				out = checkTriple(out, "conditional-endorsement triple", v, true)
			}
		}
		for _, k := range append(append([]corim.KeyTriple(nil), t.Identity...), t.AttestKey...) {
			out = checkEnvironment(out, "key triple", k.Environment)
		}
	}
	return out
}

func checkEnvironment(out []corim.Finding, where string, env claim.Environment) []corim.Finding {
	vcek, vlek := Class(false).Class.ID, Class(true).Class.ID
	c := env.Class
	switch {
	case c.ID != vcek && c.ID != vlek:
		return append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "the AMD profile has the class-ids %s (VCEK) and %s (VLEK), found %v", OIDVCEK, OIDVLEK, c.ID)})
	case c.Vendor.Set || c.Model.Set || c.Layer.Set || c.Index.Set:
		return append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "the AMD profile allows a class-id only, found %v", env)})
	}
	return out
}

func checkTriple(out []corim.Finding, where string, v corim.ValueTriple, condition bool) []corim.Finding {
	out = checkEnvironment(out, where, v.Environment)
	floor, product := false, false
	for _, e := range v.Elements {
		u, numeric := e.Key.UintContent()
		f, known := fields[u]
		switch {
		case numeric && !known:
			out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "the AMD profile has no mkey %d", u)})
		case numeric && u == KeyReportData && condition:
			out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "REPORT_DATA (mkey 640) binds a session and cannot be a reference value")})
		case numeric && !hasForm(e, u, f):
			out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "%s (mkey %d) is not in the form that the AMD profile gives it", f.name, u)})
		}
		if numeric && f.tcb && condition && e.Values.SVN != nil && e.Values.SVN.Min && e.Values.SVN.Value != 0 {
			floor = true
		}
		if numeric && (u == KeyCPUIDFamily || u == KeyCPUIDModel) || e.Key == claim.Text(claim.TagNone, KeyProduct) {
			product = true
		}
	}
	if floor && !product {
		out = append(out, corim.Finding{Where: where, Warning: "a minimum TCB stands alone; pin it to a product (mkeys 648 and 649, or snp.product), because the same bytes mean other components elsewhere"})
	}
	return out
}

// hasForm checks the code point and the lengths of an element.
func hasForm(e claim.Element, u uint64, f field) bool {
	v := e.Values
	switch f.cp {
	case cpVersion:
		return v.Version != nil
	case cpSVN:
		return v.SVN != nil
	case cpIntRange:
		return v.IntRange != nil
	case cpDigests:
		return len(v.Digests) == 1 && v.Digests[0].Alg == claim.SHA384
	}
	if u == KeyHostData && v.Raw == nil {
		return len(v.Digests) == 1 && len(v.Digests[0].Value) == 32
	}
	return v.Raw != nil && (f.size == 0 || len(v.Raw.Value) == f.size)
}
