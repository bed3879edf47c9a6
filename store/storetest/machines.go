package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

func seen(vm, chip, boot, ek string, after time.Duration) registry.Seen {
	return registry.Seen{Machine: registry.MachineID(vm), Identity: vm, Chip: chip, Boot: boot, EK: ek, Time: now.Add(after)}
}

func see(t *testing.T, s store.Store, x registry.Seen) registry.Outcome {
	t.Helper()
	return must[registry.Outcome](t)(s.SeeMachine(t.Context(), x, registry.DefaultLive, release.Record{Request: "q"}))
}

func machine(t *testing.T, s store.Store, vm string) registry.Machine {
	t.Helper()
	m, ok, err := s.Machine(t.Context(), registry.MachineID(vm))
	if err != nil || !ok {
		t.Fatalf("%s: %v %v", vm, ok, err)
	}
	return m
}

func alarms(t *testing.T, s store.Store) []string {
	t.Helper()
	var out []string
	for _, r := range must[[]release.Record](t)(s.Records(t.Context(), 0, 1000)) {
		if r.Kind == "alarm" {
			out = append(out, r.Event+" "+r.Subject)
		}
	}
	return out
}

func testMachines(t *testing.T, open Open) {
	s, again := open(t)
	ctx := t.Context()
	if _, ok, err := s.Machine(ctx, registry.MachineID("a")); ok || err != nil {
		t.Error("a machine that nobody has seen", err)
	}
	// An ordinary life: a report, another, a reboot later, and a move.
	see(t, s, seen("a", "c1", "r1", "e1", 0))
	see(t, s, seen("a", "c1", "r1", "", time.Minute))
	see(t, s, seen("a", "c1", "r2", "e1", time.Hour))
	see(t, s, seen("a", "c2", "r2", "e1", 2*time.Hour))
	if m := machine(t, s, "a"); m.Suspect() || len(m.Boots) != 3 || m.EK != "e1" || !m.Last.Equal(now.Add(2*time.Hour)) {
		t.Errorf("%+v", m)
	}
	if got := alarms(t, s); len(got) != 0 {
		t.Errorf("%q", got)
	}
	// Another machine with its endorsement key; the other process sees it as well.
	if again != nil {
		s = again(t)
	}
	if out := see(t, s, seen("b", "c3", "r9", "e1", 3*time.Hour)); len(out.Raised) != 1 || out.Raised[0].Signal != registry.SharedEK {
		t.Errorf("%+v", out)
	}
	if a, b := machine(t, s, "a"), machine(t, s, "b"); !a.Suspect() || !b.Suspect() || a.EK != "e1" || b.EK != "" {
		t.Errorf("%+v %+v", a, b)
	}
	// Two places and two sessions, logged once each however often they are seen.
	see(t, s, seen("a", "c5", "r5", "e1", 2*time.Hour+1))
	see(t, s, seen("a", "c6", "r6", "e1", 2*time.Hour+2))
	a, b := registry.MachineID("a"), registry.MachineID("b")
	want := fmt.Sprint([]string{"clone_shared_ek " + b, "clone_two_places " + a, "clone_two_sessions " + a})
	if got := fmt.Sprint(alarms(t, s)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if ok := must[bool](t)(s.ClearMachine(ctx, a, now.Add(3*time.Hour), release.Record{Kind: "admin", Time: now})); !ok {
		t.Error("there is no such machine")
	}
	if ok := must[bool](t)(s.ClearMachine(ctx, "x", now, release.Record{Kind: "admin", Time: now})); ok {
		t.Error("cleared what is not there")
	}
	if m := machine(t, s, "a"); m.Suspect() || m.EK != "" {
		t.Errorf("%+v", m)
	}
	list := must[[]registry.Machine](t)(s.MachineList(ctx, store.MachineQuery{Suspect: true}))
	if len(list) != 1 || list[0].Identity != "b" {
		t.Errorf("%+v", list)
	}
	// The key is free again, and whoever shows it next has it.
	see(t, s, seen("a", "c6", "r6", "e1", 4*time.Hour))
	list = must[[]registry.Machine](t)(s.MachineList(ctx, store.MachineQuery{EK: "e1"}))
	if len(list) != 1 || list[0].Identity != "a" || list[0].Suspect() {
		t.Errorf("%+v", list)
	}
	first := must[[]registry.Machine](t)(s.MachineList(ctx, store.MachineQuery{Limit: 1}))
	second := must[[]registry.Machine](t)(s.MachineList(ctx, store.MachineQuery{Limit: 1, After: first[0].ID}))
	if len(first) != 1 || len(second) != 1 || first[0].ID == second[0].ID {
		t.Errorf("%+v %+v", first, second)
	}
}

// Of many machines that show one key at a time, one has it and all others raise an alarm.
func testMachinesParallel(t *testing.T, open Open) {
	s, again := open(t)
	stores := []store.Store{s, s}
	if again != nil {
		stores[1] = again(t)
	}
	const n = 20
	parallel(n, func(i int) {
		if _, err := stores[i%2].SeeMachine(t.Context(), seen(fmt.Sprint("vm", i), "c", fmt.Sprint(i), "e", 0), registry.DefaultLive, release.Record{}); err != nil {
			t.Error(err)
		}
	})
	if got := alarms(t, s); len(got) != n-1 {
		t.Errorf("%d alarms", len(got))
	}
	if all := must[[]registry.Machine](t)(s.MachineList(t.Context(), store.MachineQuery{Suspect: true})); len(all) != n {
		t.Errorf("%d suspects of %d", len(all), n)
	}
}
