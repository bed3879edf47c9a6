package endorse

import (
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

func status() Status {
	return Status{ID: "status", Environment: class, Elements: []claim.Element{measured(1)}, AsOf: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), UpToDate: true}
}

func TestStatusRefuses(t *testing.T) {
	for name, change := range map[string]func(*Status){
		"no id":                        func(s *Status) { s.ID = "" },
		"no environment":               func(s *Status) { s.Environment = claim.Environment{} },
		"about everything":             func(s *Status) { s.Elements = nil },
		"no time":                      func(s *Status) { s.AsOf = time.Time{} },
		"no end":                       func(s *Status) { s.NotAfter = time.Time{} },
		"too long a life":              func(s *Status) { s.NotAfter = s.AsOf.Add(MaxStatusLife + time.Second) },
		"says nothing":                 func(s *Status) { s.UpToDate = false },
		"up to date and vulnerable":    func(s *Status) { s.SubjectTo = []string{"CVE-2026-1"} },
		"vulnerability without name":   func(s *Status) { s.UpToDate, s.SubjectTo = false, []string{""} },
		"fleet level as a plain value": func(s *Status) { s.Fleet = &claim.Element{Values: claim.Values{SVN: &claim.SVN{Value: 1}}} },
	} {
		s := status()
		change(&s)
		_, err := s.Manifest()
		refused(t, name, err, fault.Usage)
	}
}

// A later status supersedes an earlier one; the earlier one cannot be played again.
func TestStatusSupersedes(t *testing.T) {
	k := newKey(t)
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	doc := func(change func(*Status)) []byte {
		s := status()
		change(&s)
		m, err := s.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		return sign(t, m, k, corim.SignOptions{})
	}
	good := doc(func(*Status) {})
	admit(t, b, good)
	admit(t, b, doc(func(s *Status) { s.AsOf, s.UpToDate, s.SubjectTo = now, false, []string{"CVE-2026-1"} }))
	_, err := b.Admit(good)
	refused(t, "the good news of an hour ago", err, fault.Stale)
	b.SetTime(now.Add(2 * time.Hour))
	_, err = b.Admit(doc(func(s *Status) { s.AsOf = now.Add(time.Minute) }))
	refused(t, "a status that has run out", err, fault.Expired)
}
