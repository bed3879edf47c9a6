package appraise

import (
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence/evidencetest"
)

func TestStatusStatements(t *testing.T) {
	tcb := claim.Element{Key: claim.Uint(amdsnp.KeyReportedTCB), Values: claim.Values{SVN: &claim.SVN{Value: 0x1b00000000000a04, Min: true}}}
	base := endorse.Status{ID: "status", Profile: amdsnp.PlusID, Environment: amdsnp.Class(false), AsOf: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		Elements: []claim.Element{{Key: claim.Uint(641), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: unhex(t, exampleMeasurement)}}}}}}
	for _, tc := range []struct {
		name   string
		change func(*endorse.Status)
		tcb    uint64
		at     time.Time
		want   string
	}{
		{"up to date", func(s *endorse.Status) { s.UpToDate = true }, 0, now, "status.up-to-date-as-of=1811804400"},
		{"up to date, an hour and a second later", func(s *endorse.Status) { s.UpToDate = true }, 0, now.Add(time.Hour + time.Second), ""},
		{"about another image", func(s *endorse.Status) {
			s.UpToDate = true
			s.Elements = []claim.Element{{Key: claim.Uint(641), Values: claim.Values{Digests: digest384("x")}}}
		}, 0, now, ""},
		{"subject to two", func(s *endorse.Status) { s.SubjectTo = []string{"CVE-2026-2", "CVE-2026-1"} }, 0, now, "status.subject-to=CVE-2026-1 status.subject-to=CVE-2026-2"},
		{"fleet level met", func(s *endorse.Status) { s.Fleet = &tcb }, 0x1b00000000000a04, now, "status.fleet-floor=met"},
		{"fleet level missed in one component", func(s *endorse.Status) { s.Fleet = &tcb }, 0x1c00000000000a03, now, "status.fleet-floor=below"},
	} {
		s := base
		tc.change(&s)
		m, err := s.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		b, err := endorse.NewBuilder(endorse.Config{Time: now, Profiles: profiles.All()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.AdmitUnsigned(raw, "publisher"); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		a := appraise1(t, evidencetest.New(t, evidencetest.Content{TEE: "snp", Time: tc.at, ECTs: []claim.ECT{exampleGuest(t, tc.tcb, "0000020000000000", 0)}}), b.Set())
		if got := endorsedNames(a); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
