package registry_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/assay-tee/assay/registry"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const live = 5 * time.Minute

func at(d time.Duration, chip, boot string, counts ...uint64) registry.Seen {
	s := registry.Seen{Machine: "m", Identity: "vm=m", Chip: chip, Boot: boot, Time: start.Add(d)}
	if len(counts) == 2 {
		s.Counters = &registry.Counters{Reset: counts[0], Restart: counts[1]}
	}
	return s
}

func withEK(s registry.Seen, ek string) registry.Seen { s.EK = ek; return s }

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		name  string
		seen  []registry.Seen
		owner string // of the last one's EK
		want  []registry.Signal
	}{
		{"the same boot again and again", []registry.Seen{at(0, "c1", "r1"), at(1, "c1", "r1"), at(time.Hour, "c1", "r1")}, "", nil},
		{"a reboot", []registry.Seen{at(0, "c1", "r1"), at(live, "c1", "r2")}, "", nil},
		{"a reboot that the TPM counted", []registry.Seen{at(0, "c1", "r1", 4, 0), at(time.Second, "c1", "r2", 5, 0)}, "", nil},
		{"a resume", []registry.Seen{at(0, "c1", "r1", 4, 0), at(1, "c1", "r1", 4, 1)}, "", nil},
		{"a move", []registry.Seen{at(0, "c1", "r1"), at(live, "c2", "r1")}, "", nil},
		{"a move with a boot", []registry.Seen{at(0, "c1", "r1", 4, 0), at(live, "c2", "r2", 5, 0)}, "", nil},
		{"an unknown chip", []registry.Seen{at(0, "c1", "r1"), at(1, "", "r1")}, "", nil},

		{"two chips", []registry.Seen{at(0, "c1", "r1"), at(live-1, "c2", "r1")}, "", []registry.Signal{registry.TwoPlaces}},
		{"two chips, two boots", []registry.Seen{at(0, "c1", "r1"), at(1, "c2", "r2")}, "", []registry.Signal{registry.TwoPlaces, registry.TwoSessions}},
		{"two boots at once", []registry.Seen{at(0, "c1", "r1"), at(live-1, "c1", "r2")}, "", []registry.Signal{registry.TwoSessions}},
		{"a replaced boot comes back", []registry.Seen{at(0, "c1", "r1"), at(live, "c1", "r2"), at(3*live, "c1", "r1")}, "", []registry.Signal{registry.TwoSessions}},
		{"resets go back", []registry.Seen{at(0, "c1", "r1", 4, 0), at(2*live, "c1", "r2", 3, 0)}, "", []registry.Signal{registry.CounterBack}},
		{"resets stay over a boot", []registry.Seen{at(0, "c1", "r1", 4, 0), at(2*live, "c1", "r2", 4, 0)}, "", []registry.Signal{registry.CounterBack}},
		{"resets go back without report ids", []registry.Seen{at(0, "", "", 4, 0), at(2*live, "", "", 3, 9)}, "", []registry.Signal{registry.CounterBack}},
		{"resets go back behind an older boot", []registry.Seen{at(0, "", "", 9, 0), at(1, "", "", 3, 0), at(2, "", "", 4, 0)}, "", []registry.Signal{registry.CounterBack}},
		{"restarts go back", []registry.Seen{at(0, "c1", "r1", 4, 2), at(1, "c1", "r1", 4, 1)}, "", []registry.Signal{registry.CounterBack}},
		{"the EK of another", []registry.Seen{withEK(at(0, "c1", "r1"), "e1")}, "vm=other", []registry.Signal{registry.SharedEK}},
		{"another EK", []registry.Seen{withEK(at(0, "c1", "r1"), "e1"), withEK(at(1, "c1", "r1"), "e2")}, "", []registry.Signal{registry.SecondEK}},
		{"its EK, then none", []registry.Seen{withEK(at(0, "c1", "r1"), "e1"), at(1, "c1", "r1")}, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var m registry.Machine
			var got []registry.Signal
			for i, s := range tc.seen {
				var owner *registry.Machine
				if i == len(tc.seen)-1 && tc.owner != "" {
					owner = &registry.Machine{ID: "o", Identity: tc.owner, EK: s.EK}
				}
				out := registry.Judge(m, owner, s, live)
				if m = out.Machine; owner != nil && (out.Owner == nil || !out.Owner.Suspect()) {
					t.Error("the machine that the key belongs to is not suspect")
				}
				for _, a := range out.Raised {
					got = append(got, a.Signal)
				}
			}
			if !slices.Equal(got, tc.want) || m.Suspect() != (len(tc.want) > 0) {
				t.Errorf("%v, want %v; %+v", got, tc.want, m)
			}
		})
	}
}

func judge(m registry.Machine, s registry.Seen) registry.Machine {
	return registry.Judge(m, nil, s, live).Machine
}

func TestAlarmsStandUntilCleared(t *testing.T) {
	m := judge(judge(registry.Machine{}, at(0, "c1", "r1")), at(1, "c2", "r1"))
	out := registry.Judge(m, nil, at(2, "c1", "r1"), live)
	if m = out.Machine; len(out.Raised) != 0 || len(m.Alarms) != 1 || m.Alarms[0].Count != 2 {
		t.Fatalf("an alarm that stands was raised again: %+v", out)
	}
	if m = judge(m, at(time.Hour, "c2", "r1")); !m.Suspect() {
		t.Fatalf("time alone cleared an alarm: %+v", m)
	}
	m = m.Clear(start.Add(time.Hour))
	if m = judge(m, at(time.Hour+1, "c2", "r1")); m.Suspect() {
		t.Fatalf("cleared, and raised again by what was seen before: %+v", m)
	}
	if m = judge(m, at(time.Hour+2, "c1", "r1")); !m.Suspect() {
		t.Fatal("the copy is still there, and the alarm is not")
	}
	if m.First != start {
		t.Errorf("%v", m.First)
	}
}

func TestLimits(t *testing.T) {
	var m registry.Machine
	for i := range 10 * registry.MaxBoots {
		m = judge(m, at(time.Duration(i), fmt.Sprint("c", i), fmt.Sprint("r", i)))
		owner := registry.Machine{Identity: fmt.Sprint("vm=", i)}
		m = registry.Judge(m, &owner, withEK(at(time.Duration(i), "c", "r"), "e"), live).Machine
	}
	if len(m.Boots) != registry.MaxBoots || len(m.Alarms) != registry.MaxAlarms {
		t.Errorf("%d boots, %d alarms", len(m.Boots), len(m.Alarms))
	}
}

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name  string
		id    registry.Identity
		facts []string
		want  string
	}{
		{"Azure", registry.DefaultIdentity(), []string{"vm_configuration.vm_unique_id=68B0", "ak_name=01", "ak_rooted=true"}, "vm_configuration.vm_unique_id=68B0"},
		{"an enrolled TPM", registry.DefaultIdentity(), []string{"ak_name=000b", "ak_rooted=true"}, "ak_name=000b"},
		{"a TPM that nothing vouches for", registry.DefaultIdentity(), []string{"ak_name=000b", "ak_rooted=false"}, ""},
		{"bare SNP", registry.DefaultIdentity(), []string{"host_data=aa", "chip_id=bb", "report_id=cc"}, ""},
		{"by convention", registry.Identity{"host-data"}, []string{"host_data=aa"}, "host_data=aa"},
		{"all zero", registry.Identity{"host_data"}, []string{"host_data=0000"}, ""},
		{"both", registry.Identity{"a+b", "a"}, []string{"a=1", "b=2"}, "a=1+b=2"},
		{"one of both", registry.Identity{"a+b", "a"}, []string{"a=1"}, "a=1"},
	} {
		s, ok := tc.id.Read(append(tc.facts, "cpu.chip_id=d1", "reset_count=0", "restart_count=7", "ek_name=e1"), "affirming", start)
		if ok != (tc.want != "") || s.Identity != tc.want {
			t.Errorf("%s: %+v %v", tc.name, s, ok)
		}
		if ok && (s.Chip == "" || s.EK != "e1" || s.Counters == nil || *s.Counters != registry.Counters{Restart: 7} || s.Machine != registry.MachineID(tc.want)) {
			t.Errorf("%s: %+v", tc.name, s)
		}
	}
	for _, bad := range []registry.Identity{{""}, {"a+"}, {"a=b"}, make(registry.Identity, 17)} {
		if bad.Check() == nil {
			t.Errorf("%q is no identity", bad)
		}
	}
	if err := registry.DefaultIdentity().Check(); err != nil {
		t.Error(err)
	}
}
