// Package drivertest is the suite that every evidence driver must pass, whatever its TEE.
package drivertest

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Suite is one driver with evidence that it must accept.
type Suite struct {
	// New makes a driver with empty caches.
	New func(tb testing.TB) evidence.Driver
	// Evidence is authentic under Env, and no proper prefix of its Data is.
	Evidence evidence.Evidence
	// Env has a binding that Evidence meets.
	Env evidence.Env
	// Step is the distance between the lengths at which Data is cut; 0 is every length.
	Step int
}

// refusals are the classes that Authenticate may fail with (evidence.Driver).
var refusals = []fault.Class{fault.Malformed, fault.Unsupported, fault.Signature, fault.Revoked, fault.Stale, fault.Binding, fault.Unavailable}

// Run runs the whole suite.
func Run(t *testing.T, s Suite) {
	t.Run("accepts", s.accepts)
	t.Run("refuses an incomplete Env", s.incompleteEnv)
	t.Run("binding", s.binding)
	t.Run("truncated at every length", s.truncated)
	t.Run("garbage", s.garbage)
	t.Run("cold and warm agree", s.coldAndWarm)
	t.Run("concurrent use", s.concurrent)
}

func (s Suite) authenticate(tb testing.TB, d evidence.Driver, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	tb.Helper()
	v, err := d.Authenticate(context.Background(), ev, env)
	switch {
	case err == nil && !v.Valid():
		tb.Fatal("neither an error nor authenticated evidence")
	case err != nil && v != nil:
		tb.Fatal("an error and a result")
	}
	return v, err
}

func (s Suite) must(tb testing.TB, d evidence.Driver) *evidence.Verified {
	tb.Helper()
	v, err := s.authenticate(tb, d, s.Evidence, s.Env)
	if err != nil {
		tb.Fatalf("the evidence of the suite is refused: %v", err)
	}
	return v
}

// wantRefusal accepts every class that says something about the evidence.
func wantRefusal(tb testing.TB, what string, err error) {
	tb.Helper()
	if err == nil {
		tb.Errorf("%s: accepted", what)
	} else if !slices.Contains(refusals, fault.ClassOf(err)) {
		tb.Errorf("%s: class %v: %v", what, fault.ClassOf(err), err)
	}
}

func (s Suite) accepts(t *testing.T) {
	v := s.must(t, s.New(t))
	if v.TEE() == "" || !v.Time().Equal(s.Env.Time) {
		t.Errorf("TEE %q, time %v", v.TEE(), v.Time())
	}
	if r := v.Root(); r.Name == "" || r.SHA256 == [32]byte{} {
		t.Errorf("root %+v", r)
	}
	if w := v.Window(); s.Env.Time.Before(w.NotBefore) || s.Env.Time.After(w.NotAfter) || w.NotAfter.IsZero() {
		t.Errorf("window %v does not contain the clock %v", w, s.Env.Time)
	}
	if b := v.Binding(); !b.Bound || b.Field == "" || len(b.Value) == 0 {
		t.Errorf("binding %+v", b)
	}
	if slices.Contains(v.Unsafe(), "unbound") {
		t.Error("bound evidence is marked unbound")
	}
	if len(v.ECTs()) == 0 {
		t.Error("no tuples")
	}
	for _, e := range v.ECTs() {
		if e.CMType != claim.CMEvidence || e.Environment.IsZero() || len(e.Authority) == 0 || len(e.Elements) == 0 {
			t.Errorf("tuple of %v: cmtype %v, %d authorities, %d elements", e.Environment, e.CMType, len(e.Authority), len(e.Elements))
		}
		for _, el := range e.Elements {
			// Conditions are never allowed in Evidence (corim.md A15).
			if el.Name == "" || el.Field == "" || len(el.AuthorizedBy) > 0 || el.Values.SVN != nil && el.Values.SVN.Min || el.Values.Raw != nil && el.Values.Raw.Mask != nil {
				t.Errorf("element %v (%q) has no name or field, or is a condition", el.Key, el.Name)
			}
		}
	}
	uniqueNames(t, "", v.Claims())
	if _, err := json.Marshal(v.Claims()); err != nil {
		t.Error(err)
	}
}

func uniqueNames(t *testing.T, path string, o claim.Object) {
	seen := map[string]bool{}
	for _, m := range o {
		if m.Name == "" || seen[m.Name] {
			t.Errorf("claim %s%q is named twice or not at all", path, m.Name)
		}
		seen[m.Name] = true
		uniqueNames(t, path+m.Name+".", m.Value.Object())
	}
	if path == "" && len(o) == 0 {
		t.Error("no claims")
	}
}

func (s Suite) incompleteEnv(t *testing.T) {
	d := s.New(t)
	for name, change := range map[string]func(*evidence.Env){
		"zero":       func(e *evidence.Env) { *e = evidence.Env{} },
		"no clock":   func(e *evidence.Env) { e.Time = time.Time{} },
		"no binding": func(e *evidence.Env) { e.Binding = evidence.Binding{} },
		"no anchors": func(e *evidence.Env) { e.Anchors = nil },
	} {
		env := s.Env
		change(&env)
		if _, err := s.authenticate(t, d, s.Evidence, env); !fault.Is(err, fault.Internal) {
			t.Errorf("%s: %v, want class internal", name, err)
		}
	}
}

func (s Suite) binding(t *testing.T) {
	d := s.New(t)
	other, err := evidence.ExpectFit([]byte("nobody ever asked for these bytes"))
	if err != nil {
		t.Fatal(err)
	}
	env := s.Env
	for range 2 { // cold and warm
		env.Binding = other
		if _, err := s.authenticate(t, d, s.Evidence, env); !fault.Is(err, fault.Binding) {
			t.Errorf("another binding: %v, want class binding", err)
		}
	}
	env.Binding = evidence.UnboundUnsafe()
	v, err := s.authenticate(t, d, s.Evidence, env)
	if err != nil {
		t.Fatal(err)
	}
	if v.Binding().Bound || !slices.Contains(v.Unsafe(), "unbound") {
		t.Errorf("unbound evidence is not marked: %+v %v", v.Binding(), v.Unsafe())
	}
}

func (s Suite) truncated(t *testing.T) {
	d := s.New(t)
	s.must(t, d) // a warm cache must not help what is cut
	step := max(s.Step, 1)
	for n := 0; n < len(s.Evidence.Data); n += step {
		ev := s.Evidence
		ev.Data = s.Evidence.Data[:n:n]
		_, err := s.authenticate(t, d, ev, s.Env)
		wantRefusal(t, fmt.Sprintf("%d of %d bytes", n, len(s.Evidence.Data)), err)
	}
}

func (s Suite) garbage(t *testing.T) {
	const size = 10 << 20
	d := s.New(t)
	for name, data := range map[string][]byte{
		"nothing":            nil,
		"10 MiB of zeros":    make([]byte, size),
		"10 MiB of ones":     slices.Repeat([]byte{0xFF}, size),
		"10 MiB of brackets": slices.Repeat([]byte{'['}, size),
		"10 MiB of objects":  []byte(strings.Repeat(`{"":`, size/4)),
		"10 MiB of letters":  slices.Repeat([]byte{'A'}, size),
	} {
		ev := s.Evidence
		ev.Data = data
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.authenticate(t, d, ev, s.Env)
		runtime.ReadMemStats(&after)
		wantRefusal(t, name, err)
		if used := after.TotalAlloc - before.TotalAlloc; used > 2*size {
			t.Errorf("%s: %d bytes allocated for %d", name, used, len(data))
		}
	}
}

// dump renders everything that v says.
func dump(tb testing.TB, v *evidence.Verified) string {
	tb.Helper()
	claims, err := json.Marshal(v.Claims())
	if err != nil {
		tb.Fatal(err)
	}
	rest, err := json.Marshal([]any{v.TEE(), v.Product(), v.Time(), v.Root(), v.Chain(), v.Window(), v.Binding(), v.Unsafe(), v.Notes(), len(v.Parts())})
	if err != nil {
		tb.Fatal(err)
	}
	out := string(claims) + string(rest)
	for _, e := range v.ECTs() {
		elements, err := json.Marshal(e.Elements)
		if err != nil {
			tb.Fatal(err)
		}
		out += fmt.Sprintf("%v %v %s %q", e.Environment, e.Profile, elements, e.Authority)
		for _, el := range e.Elements {
			out += el.Key.String()
		}
	}
	return out
}

func (s Suite) coldAndWarm(t *testing.T) {
	d := s.New(t)
	cold := dump(t, s.must(t, d))
	for i := range 3 {
		if warm := dump(t, s.must(t, d)); warm != cold {
			t.Fatalf("use %d of the driver gives another result:\n%s\n%s", i+2, cold, warm)
		}
	}
	// A changed byte must miss every cache, and be refused alike by a cold and a warm driver.
	for _, at := range []int{0, len(s.Evidence.Data) / 2, len(s.Evidence.Data) - 1} {
		ev := s.Evidence
		ev.Data = slices.Clone(ev.Data)
		ev.Data[at] ^= 1
		_, warm := s.authenticate(t, d, ev, s.Env)
		_, cold := s.authenticate(t, s.New(t), ev, s.Env)
		if (warm == nil) != (cold == nil) || warm != nil && warm.Error() != cold.Error() {
			t.Errorf("byte %d changed: warm %v, cold %v", at, warm, cold)
		}
	}
}

func (s Suite) concurrent(t *testing.T) {
	d := s.New(t)
	want := dump(t, s.must(t, s.New(t)))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			v, err := d.Authenticate(context.Background(), s.Evidence, s.Env)
			if err != nil {
				t.Error(err)
			} else if dump(t, v) != want {
				t.Error("another result under concurrent use")
			}
		})
	}
	wg.Wait()
}
