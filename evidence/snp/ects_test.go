package snp_test

import (
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/simulator"
)

// The tuples and the profile that statements are read by must mean the same elements.
func TestTuplesFollowTheProfile(t *testing.T) {
	for _, p := range simulator.Products() {
		v := check(t, newDriver(t), newGuest(t, p, func(r *simulator.Report) {
			r.AuthorKeyEn, r.AuthorKeyDigest, r.ReportIDMA = true, [48]byte{1}, [32]byte{1}
		}, simulator.VEKOptions{}).evidence(), env(t), "")
		if len(v.ECTs()) != 1 {
			t.Fatalf("%d tuples", len(v.ECTs()))
		}
		e := v.ECTs()[0]
		if e.Profile != amdsnp.ID || !amdsnp.Class(false).Contains(e.Environment) || amdsnp.Class(true).Contains(e.Environment) {
			t.Errorf("profile %q, environment %v", e.Profile, e.Environment)
		}
		seen := map[claim.ID]claim.Values{}
		for _, el := range e.Elements {
			seen[el.Key] = el.Values
			if name := amdsnp.ElementName(el.Key); !el.Key.IsZero() && name != "" && el.Name != name && el.Key != claim.Text(claim.TagNone, amdsnp.KeyProduct) && !isCPUID(el.Key) {
				t.Errorf("mkey %v is %q here and %q in the profile", el.Key, el.Name, name)
			}
		}
		want := []uint64{amdsnp.KeyVersion, amdsnp.KeyGuestSVN, amdsnp.KeyPolicy, amdsnp.KeyFamilyID, amdsnp.KeyImageID, amdsnp.KeyVMPL, amdsnp.KeyCurrentTCB,
			amdsnp.KeyPlatformInfo, amdsnp.KeyReportData, amdsnp.KeyMeasurement, amdsnp.KeyHostData, amdsnp.KeyIDKeyDigest, amdsnp.KeyAuthorKeyDigest,
			amdsnp.KeyReportID, amdsnp.KeyReportIDMA, amdsnp.KeyReportedTCB, amdsnp.KeyCPUIDFamily, amdsnp.KeyCPUIDModel, amdsnp.KeyCPUIDStepping, amdsnp.KeyChipID,
			amdsnp.KeyCommittedTCB, amdsnp.KeyCurrentVersion, amdsnp.KeyCommittedVersion, amdsnp.KeyLaunchTCB}
		if p != simulator.Milan { // version 5
			want = append(want, amdsnp.KeyLaunchMitVector, amdsnp.KeyCurrentMitVector)
		}
		for _, key := range want {
			if _, ok := seen[claim.Uint(key)]; !ok {
				t.Errorf("%s: no element %d", p, key)
			}
		}
		if n := seen[claim.Text(claim.TagNone, amdsnp.KeyProduct)].Name; n == nil || *n != string(p) {
			t.Errorf("%s: product %v", p, n)
		}
		if debug, known := seen[claim.ID{}].Flags.Get(claim.FlagDebug); debug || !known {
			t.Errorf("%s: is-debug %v, known %v", p, debug, known)
		}
		// Everybody on the path may be named as the authority, by key or by certificate.
		w := amd(t)
		for _, c := range []func() (claim.Authority, error){
			func() (claim.Authority, error) { return claim.CertAuthority(w.ARK(p)) },
			func() (claim.Authority, error) { return claim.CertAuthority(w.ASK(p)) },
		} {
			if a := must[claim.Authority](t)(c()); !e.Authority.Satisfies(a) {
				t.Errorf("%s: the authority lacks a form of the path", p)
			}
		}
	}
}

func isCPUID(k claim.ID) bool {
	u, _ := k.UintContent()
	return u >= amdsnp.KeyCPUIDFamily && u <= amdsnp.KeyCPUIDStepping
}
