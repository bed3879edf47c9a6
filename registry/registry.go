// Package registry remembers machines across boots and says when one may have a copy (keylime-broker.md section 9).
//
// It holds rules and no state: [Judge] is given what is known about a machine and what was seen of it just now, and
// answers what is known next and which alarms that raises. A store runs it inside one transaction. What is seen comes from
// authenticated evidence alone ([Identity.Read]); a machine whose evidence carries no identity is in no registry.
package registry

import (
	"slices"
	"time"
)

// Limits of one machine's entry. Alarms that are not cleared are never dropped for newer ones.
const (
	MaxBoots  = 32
	MaxAlarms = 32
	// DefaultLive is how long a boot counts as live after it was last seen.
	DefaultLive = 5 * time.Minute
)

// Signal is the kind of an alarm.
type Signal string

// The signals (keylime-broker.md section 9).
const (
	// TwoPlaces: one machine on two chips within the liveness time.
	TwoPlaces Signal = "clone_two_places"
	// TwoSessions: two boots of one machine are alive together, or one came back that a later one had replaced.
	TwoSessions Signal = "clone_two_sessions"
	// SharedEK: one endorsement key under two machines.
	SharedEK Signal = "clone_shared_ek"
	// SecondEK: a second endorsement key for one machine.
	SecondEK Signal = "clone_second_ek"
	// CounterBack: a TPM's reset or restart counter went back, or did not advance over a boot.
	CounterBack Signal = "clone_counter_back"
)

// Signals lists all signals.
func Signals() []Signal { return []Signal{TwoPlaces, TwoSessions, SharedEK, SecondEK, CounterBack} }

// Counters are a TPM's, from a quote (TPMS_CLOCK_INFO).
type Counters struct {
	Reset   uint64 `json:"reset"`   // TPM resets
	Restart uint64 `json:"restart"` // resumes since
}

// Seen is one appraisal of a machine. Absent facts are "" or nil.
type Seen struct {
	Machine  string    // [MachineID] of Identity
	Identity string    // the claims that name the machine, "name=value"
	EK       string    // hex digest of the endorsement key
	Chip     string    // hex
	Boot     string    // the report id, one per launch; hex
	Counters *Counters // of the quote
	Tier     string    // the verdict
	Time     time.Time
}

// Boot is one launch of a machine, as far as it was seen: appraisals with the same report id, chip and reset count.
type Boot struct {
	Chip     string    `json:"chip,omitempty"`
	ReportID string    `json:"report_id,omitempty"`
	Counters *Counters `json:"counters,omitempty"` // the newest
	Tier     string    `json:"tier,omitempty"`     // the newest
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// Alarm says that a machine may have a copy.
type Alarm struct {
	Signal Signal    `json:"signal"`
	Detail string    `json:"detail"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Count  int       `json:"count"`
}

// Machine is an entry of the registry.
type Machine struct {
	ID       string    `json:"id"`
	Identity string    `json:"identity"`
	EK       string    `json:"ek,omitempty"` // unique among machines
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Boots    []Boot    `json:"boots"`  // oldest first, at most MaxBoots
	Alarms   []Alarm   `json:"alarms"` // not cleared, at most one per signal and detail
	// Cleared is when an operator last said that the machine is no copy; what was seen until then raises no alarm.
	Cleared time.Time `json:"cleared,omitzero"`
}

// Suspect reports whether an alarm stands.
func (m Machine) Suspect() bool { return len(m.Alarms) > 0 }

// Clear takes all alarms back. The next endorsement key that authentic evidence shows is believed again.
func (m Machine) Clear(now time.Time) Machine {
	m.Alarms, m.Cleared, m.EK = nil, now, ""
	return m
}

// Outcome is what the registry holds after an appraisal.
type Outcome struct {
	Machine Machine
	Owner   *Machine // another machine that the endorsement key belongs to, changed too; nil when there is none
	Raised  []Alarm  // of Machine, without those that stood before
}

// Judge is what becomes of was (the zero value: never seen) when s is seen. owner is another machine that s.EK belongs to,
// nil when there is none.
func Judge(was Machine, owner *Machine, s Seen, live time.Duration) Outcome {
	m := was
	m.Boots, m.Alarms = slices.Clone(was.Boots), slices.Clone(was.Alarms)
	if m.ID == "" {
		m.ID, m.Identity, m.First = s.Machine, s.Identity, s.Time
	}
	var out Outcome
	raise := func(sig Signal, detail string) {
		a := Alarm{Signal: sig, Detail: detail, First: s.Time, Last: s.Time, Count: 1}
		stood := m.stands(a)
		if m = m.with(a); !stood {
			out.Raised = append(out.Raised, a)
		}
	}
	switch {
	case s.EK == "" || s.EK == m.EK:
	case owner != nil:
		// Which of the two is the copy cannot be told from here, so both are held.
		raise(SharedEK, "the endorsement key belongs to "+owner.Identity)
		o := owner.with(Alarm{Signal: SharedEK, Detail: "its endorsement key was shown by " + s.Identity, First: s.Time, Last: s.Time, Count: 1})
		out.Owner = &o
	case m.EK == "":
		m.EK = s.EK
	default:
		raise(SecondEK, "another endorsement key than the one it is known by")
	}
	prior := slices.DeleteFunc(slices.Clone(m.Boots), func(b Boot) bool { return !b.Last.After(m.Cleared) })
	if twoPlaces(prior, s, live) {
		raise(TwoPlaces, "seen on two chips within "+live.String())
	}
	if why := twoSessions(prior, s, live); why != "" {
		raise(TwoSessions, why)
	}
	if why := counterBack(prior, s); why != "" {
		raise(CounterBack, why)
	}
	m.Boots = record(m.Boots, s)
	if s.Time.After(m.Last) {
		m.Last = s.Time
	}
	out.Machine = m
	return out
}

func (m Machine) stands(a Alarm) bool {
	return slices.ContainsFunc(m.Alarms, func(x Alarm) bool { return x.Signal == a.Signal && x.Detail == a.Detail })
}

// with adds an alarm to m, or counts it where it stands already.
func (m Machine) with(a Alarm) Machine {
	m.Alarms = slices.Clone(m.Alarms)
	for i := range m.Alarms {
		if x := &m.Alarms[i]; x.Signal == a.Signal && x.Detail == a.Detail {
			x.Count, x.Last = x.Count+1, a.Last
			return m
		}
	}
	if len(m.Alarms) < MaxAlarms {
		m.Alarms = append(m.Alarms, a)
	}
	return m
}

// twoPlaces: the machine moved faster than the copy it left behind would be gone. An ordinary move takes longer.
func twoPlaces(prior []Boot, s Seen, live time.Duration) bool {
	return s.Chip != "" && slices.ContainsFunc(prior, func(b Boot) bool {
		return b.Chip != "" && b.Chip != s.Chip && s.Time.Sub(b.Last) < live
	})
}

// twoSessions: report ids differ from launch to launch, so a second one is a second instance while the first counts as
// live; and one that a later one replaced cannot come back. A TPM whose reset counter advanced proves a reboot.
func twoSessions(prior []Boot, s Seen, live time.Duration) string {
	if s.Boot == "" {
		return ""
	}
	mine := slices.IndexFunc(prior, func(b Boot) bool { return b.ReportID == s.Boot })
	for i, b := range prior {
		if b.ReportID == "" || b.ReportID == s.Boot {
			continue
		}
		rebooted := s.Counters != nil && b.Counters != nil && s.Counters.Reset > b.Counters.Reset
		switch {
		case mine >= 0 && i > mine:
			return "a boot came back after a later one was seen"
		case mine < 0 && !rebooted && s.Time.Sub(b.Last) < live:
			return "two boots within " + live.String()
		}
	}
	return ""
}

// counterBack: TPMS_CLOCK_INFO only ever advances, and each launch advances the reset counter.
func counterBack(prior []Boot, s Seen) string {
	if s.Counters == nil {
		return ""
	}
	for _, b := range prior {
		c := b.Counters
		switch {
		case c == nil:
		case s.Counters.Reset < c.Reset:
			return "the reset counter went back"
		case s.Counters.Reset > c.Reset:
		case b.ReportID != "" && s.Boot != "" && b.ReportID != s.Boot:
			return "the reset counter is the same in two boots"
		case s.Counters.Restart < c.Restart:
			return "the restart counter went back"
		}
	}
	return ""
}

// record adds s to the boot that it belongs to, or begins one.
func record(boots []Boot, s Seen) []Boot {
	for i := range boots {
		b := &boots[i]
		sameCount := s.Counters == nil || b.Counters == nil || s.Counters.Reset == b.Counters.Reset
		if b.ReportID != s.Boot || b.Chip != s.Chip || !sameCount {
			continue
		}
		if s.Counters != nil && (b.Counters == nil || s.Counters.Restart > b.Counters.Restart) {
			c := *s.Counters
			b.Counters = &c
		}
		if b.Tier = s.Tier; s.Time.After(b.Last) {
			b.Last = s.Time
		}
		return boots
	}
	b := Boot{Chip: s.Chip, ReportID: s.Boot, Tier: s.Tier, First: s.Time, Last: s.Time}
	if s.Counters != nil {
		c := *s.Counters
		b.Counters = &c
	}
	if boots = append(boots, b); len(boots) > MaxBoots {
		boots = boots[len(boots)-MaxBoots:]
	}
	return boots
}
