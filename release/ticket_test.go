package release_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestNewTicket(t *testing.T) {
	later := now.Add(time.Hour)
	for _, tc := range []struct {
		name string
		t    release.Ticket
		ok   bool
	}{
		{"least", release.Ticket{Resource: "a/b/c", NotAfter: later}, true},
		{"no resource", release.Ticket{NotAfter: later}, false},
		{"no end", release.Ticket{Resource: "a/b/c"}, false},
		{"over already", release.Ticket{Resource: "a/b/c", NotAfter: now}, false},
		{"too many uses", release.Ticket{Resource: "a/b/c", NotAfter: later, Uses: release.MaxUses + 1}, false},
		{"negative uses", release.Ticket{Resource: "a/b/c", NotAfter: later, Uses: -1}, false},
		{"empty condition", release.Ticket{Resource: "a/b/c", NotAfter: later, Where: []release.Condition{{Claim: "x"}}}, false},
		{"too many conditions", release.Ticket{Resource: "a/b/c", NotAfter: later, Where: make([]release.Condition, 17)}, false},
		{"long subject", release.Ticket{Resource: "a/b/c", NotAfter: later, Subject: strings.Repeat("x", 257)}, false},
	} {
		got, err := release.NewTicket(tc.t, now)
		if (err == nil) != tc.ok || err != nil && !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.ok && (len(got.ID) != 32 || got.Uses != 1 || len(got.Slots) != 1 || got.Secret != "a/b/c" || got.Slots[0].State != release.Authorised) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}

func TestExpiredTicketsSaySo(t *testing.T) {
	tk, err := release.NewTicket(release.Ticket{Resource: "a/b/c", NotAfter: now.Add(time.Hour), Uses: 2}, now)
	if err != nil {
		t.Fatal(err)
	}
	tk.Slots[0].State = release.Released
	late := tk.At(now.Add(2 * time.Hour))
	if late.Slots[0].State != release.Released || late.Slots[1].State != release.Expired || tk.Slots[1].State != release.Authorised {
		t.Errorf("%+v", late.Slots)
	}
}

func TestFacts(t *testing.T) {
	o := claim.Object{
		{Name: "host-data", Value: claim.H([]byte{0xAA, 1, 2, 3, 4, 5, 6, 7})},
		{Name: "vmpl", Value: claim.U(0)},
		{Name: "policy", Value: claim.O(claim.Member{Name: "debug", Value: claim.B(false)})},
		{Name: "list", Value: claim.L(claim.S("x"))},
		{Name: "nothing", Value: claim.Null()},
		{Name: "name", Value: claim.S("ABCDEF0123456789")},
	}
	want := []string{"host_data=aa01020304050607", "vmpl=0", "policy.debug=false", "name=abcdef0123456789"}
	if diff := cmp.Diff(want, release.Facts(o)); diff != "" {
		t.Error(diff)
	}
}

// TestConditionsAreWrittenLikeFacts: however an administrator spells name and value, the ticket is found under what the
// evidence says.
func TestConditionsAreWrittenLikeFacts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 8, 64).Draw(t, "value")
		name := rapid.StringMatching(`[a-z]{1,8}(_[a-z]{1,8}){0,3}`).Draw(t, "name")
		fact := release.Facts(claim.Object{{Name: name, Value: claim.H(raw)}})[0]
		spelt := strings.ReplaceAll(name, "_", "-")
		value := strings.ToUpper(strings.TrimPrefix(fact, name+"="))
		tk, err := release.NewTicket(release.Ticket{Resource: "a/b/c", NotAfter: now.Add(time.Hour), Where: []release.Condition{{Claim: spelt, Equals: value}}}, now)
		if err != nil {
			t.Fatal(err)
		}
		if tk.Key() != fact {
			t.Fatalf("%q and %q", tk.Key(), fact)
		}
	})
}

// TestReasonsKeepTheirClass walks the reasons.
func TestReasonsKeepTheirClass(t *testing.T) {
	for r, class := range map[release.Reason]fault.Class{
		release.NonceUsed: fault.Stale, release.BindingMismatch: fault.Binding, release.TicketUsed: fault.Spent, release.TicketMissing: fault.Denied,
		release.TicketExpired: fault.Expired, release.LedgerDown: fault.Unavailable, release.KeyInvalid: fault.Malformed, release.BindingUnsafe: fault.Policy,
	} {
		err := fault.Wrap(release.Deny(r, "why"), "context")
		if !fault.Is(err, class) || release.ReasonOf(err) != string(r) {
			t.Errorf("%s: %v %s", r, fault.ClassOf(err), release.ReasonOf(err))
		}
	}
	if release.ReasonOf(fault.New(fault.Signature, "x")) != "signature" {
		t.Error("an error without a reason is named by its class")
	}
}
