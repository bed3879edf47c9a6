// Package storetest is the one suite that every back end passes.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/translog"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

// Open gives an empty store. With again it opens the same data a second time, as another process would.
type Open func(t *testing.T) (s store.Store, again func(t *testing.T) store.Store)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, tc := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"sessions", testSessions},
		{"one of many uses a nonce", testNonceOnce},
		{"expired sessions go by index", testSweepSessions},
		{"secrets keep versions", testSecrets},
		{"documents keep history", testDocuments},
		{"records", testRecords},
		{"tickets are found by their facts", testFindTickets},
		{"one of 100 parallel releases", testParallel},
		{"n uses", testUses},
		{"a held slot comes back", testHeld},
		{"one reply per slot", testDeliverOnce},
		{"refusals", testRefusals},
		{"sweep burns and forgets", testSweepLedger},
		{"a second process sees it all", testReopen},
		{"cancelled callers", testCancelled},
		{"the log grows once per record", testJournal},
		{"machines and alarms", testMachines},
		{"one key, many machines", testMachinesParallel},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, open) })
	}
}

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func id(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func session(name string, life time.Duration) store.Session {
	return store.Session{ID: id(name), Version: "0.4.0", TEE: "snp", Nonce: "N-" + name, Created: now, Expires: now.Add(life)}
}

func testSessions(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	check(t, s.CreateSession(ctx, session("a", time.Minute)))
	if err := s.CreateSession(ctx, session("a", time.Minute)); err == nil {
		t.Error("an id was used twice")
	}
	x, ok, err := s.Session(ctx, id("a"), now)
	if err != nil || !ok || x.State != store.Challenged || x.Nonce != "N-a" || !x.Expires.Equal(now.Add(time.Minute)) {
		t.Fatalf("%+v %v %v", x, ok, err)
	}
	if _, ok, err := s.Session(ctx, id("a"), now.Add(time.Minute)); ok || err != nil {
		t.Error("an expired session was given out", err)
	}
	if _, ok, err := s.Session(ctx, id("b"), now); ok || err != nil {
		t.Error("an unknown session was given out", err)
	}
	check(t, s.FinishSession(ctx, id("a"), store.Attested, []byte("early")))
	if x, _, _ := s.Session(ctx, id("a"), now); x.State != store.Challenged {
		t.Error("a session was finished that nobody had begun to attest")
	}
	if ok := must[bool](t)(s.UseNonce(ctx, id("a"), now.Add(time.Hour))); ok {
		t.Error("an expired nonce was used")
	}
	if ok := must[bool](t)(s.UseNonce(ctx, id("a"), now)); !ok {
		t.Error("the nonce could not be used")
	}
	check(t, s.FinishSession(ctx, id("a"), store.Attested, []byte("evidence")))
	x, ok, err = s.Session(ctx, id("a"), now)
	if err != nil || !ok || x.State != store.Attested || string(x.Evidence) != "evidence" {
		t.Fatalf("%+v %v %v", x, ok, err)
	}
	if ok := must[bool](t)(s.UseNonce(ctx, id("a"), now)); ok {
		t.Error("a nonce was used twice")
	}
}

func testNonceOnce(t *testing.T, open Open) {
	s, _ := open(t)
	check(t, s.CreateSession(t.Context(), session("a", time.Minute)))
	var won atomic.Int32
	parallel(100, func(int) {
		ok, err := s.UseNonce(t.Context(), id("a"), now)
		if err != nil {
			t.Error(err)
		}
		if ok {
			won.Add(1)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d callers used one nonce", won.Load())
	}
}

func parallel(n int, f func(int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func testSweepSessions(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	for i := range 20 {
		check(t, s.CreateSession(ctx, session(fmt.Sprint(i), time.Minute+time.Duration(i))))
	}
	if n := must[int](t)(s.SweepSessions(ctx, now, 100)); n != 0 {
		t.Errorf("%d live sessions were swept", n)
	}
	if n := must[int](t)(s.SweepSessions(ctx, now.Add(time.Hour), 15)); n != 15 {
		t.Errorf("swept %d, the limit is 15", n)
	}
	if n := must[int](t)(s.SweepSessions(ctx, now.Add(time.Hour), 15)); n != 5 {
		t.Errorf("swept %d of the remaining 5", n)
	}
}

func put(t *testing.T, s store.Store, path string, value string) release.SecretInfo {
	t.Helper()
	info, err := s.PutSecret(t.Context(), release.SecretInfo{Path: path, Size: len(value), Created: now, By: "me", OneShot: true},
		func(v int) ([]byte, error) { return fmt.Appendf(nil, "%d:%s", v, value), nil }, release.Record{Time: now, Kind: "admin", Resource: path})
	check(t, err)
	return info
}

func testSecrets(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	if info := put(t, s, "a/b/c", "one"); info.Version != 1 {
		t.Errorf("%+v", info)
	}
	put(t, s, "a/b/c", "two")
	put(t, s, "a/b/d", "three")
	info, ok, err := s.LatestSecret(ctx, "a/b/c")
	if err != nil || !ok || info.Version != 2 || !info.OneShot || info.Size != 3 || info.By != "me" || !info.Created.Equal(now) {
		t.Fatalf("%+v %v %v", info, ok, err)
	}
	sealed, ok, err := s.SealedSecret(ctx, "a/b/c", 1)
	if err != nil || !ok || string(sealed) != "1:one" {
		t.Errorf("%q %v %v", sealed, ok, err)
	}
	list := must[[]release.SecretInfo](t)(s.SecretList(ctx, "", 10))
	if len(list) != 2 || list[0].Version != 2 || list[1].Path != "a/b/d" {
		t.Errorf("%+v", list)
	}
	if list := must[[]release.SecretInfo](t)(s.SecretList(ctx, "a/b/c", 10)); len(list) != 1 {
		t.Errorf("%+v", list)
	}
	if found := must[bool](t)(s.DeleteSecret(ctx, "a/b/c", release.Record{Time: now})); !found {
		t.Error("not found")
	}
	if found := must[bool](t)(s.DeleteSecret(ctx, "a/b/c", release.Record{Time: now})); found {
		t.Error("deleted twice")
	}
	if _, ok, err := s.LatestSecret(ctx, "a/b/c"); ok || err != nil {
		t.Error("a deleted secret is still there", err)
	}
	if _, ok, err := s.SealedSecret(ctx, "a/b/c", 2); ok || err != nil {
		t.Error("the bytes of a deleted secret are still there", err)
	}
	if info := put(t, s, "a/b/c", "four"); info.Version != 3 {
		t.Errorf("a version number was used again: %+v", info)
	}
}

func testDocuments(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	gen := must[int64](t)(s.Generation(ctx))
	rec := release.Record{Time: now, Actor: "me"}
	must[store.Document](t)(s.PutPolicy(ctx, "p", []byte("1"), rec))
	d := must[store.Document](t)(s.PutPolicy(ctx, "p", []byte("2"), rec))
	must[store.Document](t)(s.PutStatement(ctx, "p", []byte("statement"), rec))
	if d.Version != 2 {
		t.Errorf("%+v", d)
	}
	if g := must[int64](t)(s.Generation(ctx)); g <= gen {
		t.Error("a change went unseen")
	}
	d, ok, err := s.Policy(ctx, "p")
	if err != nil || !ok || string(d.Data) != "2" || d.By != "me" {
		t.Errorf("%+v %v %v", d, ok, err)
	}
	if l := must[[]store.Document](t)(s.PolicyList(ctx)); len(l) != 1 || l[0].Version != 2 {
		t.Errorf("%+v", l)
	}
	if found := must[bool](t)(s.DeletePolicy(ctx, "p", rec)); !found {
		t.Error("not found")
	}
	if _, ok, err := s.Policy(ctx, "p"); ok || err != nil {
		t.Error("a deleted policy is still there", err)
	}
	if l := must[[]store.Document](t)(s.PolicyList(ctx)); len(l) != 0 {
		t.Errorf("%+v", l)
	}
	if l := must[[]store.Document](t)(s.PolicyHistory(ctx, "p")); len(l) != 3 || !l[0].Deleted {
		t.Errorf("%+v", l)
	}
	if d, ok, err := s.Statement(ctx, "p"); !ok || err != nil || string(d.Data) != "statement" {
		t.Errorf("%+v %v", d, err)
	}
	if l := must[[]store.Document](t)(s.StatementList(ctx)); len(l) != 1 {
		t.Errorf("%+v", l)
	}
}

func testRecords(t *testing.T, open Open) {
	s, _ := open(t)
	for i := range 5 {
		check(t, s.AppendRecord(t.Context(), release.Record{Time: now, Kind: "deny", Reason: fmt.Sprint(i)}))
	}
	l := must[[]release.Record](t)(s.Records(t.Context(), 0, 3))
	if len(l) != 3 || l[0].Reason != "0" || l[0].Seq == 0 || !l[0].Time.Equal(now) {
		t.Fatalf("%+v", l)
	}
	if l := must[[]release.Record](t)(s.Records(t.Context(), l[2].Seq, 10)); len(l) != 2 || l[0].Reason != "3" {
		t.Errorf("%+v", l)
	}
}

func issue(t *testing.T, s store.Store, tk release.Ticket) release.Ticket {
	t.Helper()
	if tk.Resource == "" {
		tk.Resource = "a/b/c"
	}
	if tk.NotAfter.IsZero() {
		tk.NotAfter = now.Add(time.Hour)
	}
	tk, err := release.NewTicket(tk, now)
	check(t, err)
	check(t, s.IssueTicket(t.Context(), tk))
	return tk
}

func testFindTickets(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	host := func(v string) []release.Condition { return []release.Condition{{Claim: "host-data", Equals: v}} }
	a := issue(t, s, release.Ticket{Where: host("AAAABBBBCCCCDDDD"), Subject: "vm-a"})
	issue(t, s, release.Ticket{Where: host("other")})
	anyone := issue(t, s, release.Ticket{})
	issue(t, s, release.Ticket{Resource: "x/y/z"})
	found := must[[]release.Ticket](t)(s.Tickets(ctx, release.TicketQuery{Resource: "a/b/c", Facts: []string{"host_data=aaaabbbbccccdddd"}, Limit: 10}))
	ids := map[string]bool{}
	for _, f := range found {
		ids[f.ID] = true
	}
	if len(found) != 2 || !ids[a.ID] || !ids[anyone.ID] {
		t.Fatalf("%+v", found)
	}
	for _, f := range found {
		if f.ID == a.ID && (f.Subject != "vm-a" || f.Where[0].Claim != "host_data" || len(f.Slots) != 1 || f.Slots[0].State != release.Authorised) {
			t.Errorf("%+v", f)
		}
	}
	if all := must[[]release.Ticket](t)(s.Tickets(ctx, release.TicketQuery{})); len(all) != 4 {
		t.Errorf("%d tickets", len(all))
	}
}

func holder(i int) release.Holder {
	return release.Holder{Session: id(fmt.Sprint("session", i)), Key: id(fmt.Sprint("key", i))}
}

// testParallel: of a hundred releases on one ticket exactly one gets the secret.
func testParallel(t *testing.T, open Open) {
	s, again := open(t)
	stores := []store.Store{s, s}
	if again != nil {
		stores[1] = again(t)
	}
	tk := issue(t, s, release.Ticket{})
	var released, spent atomic.Int32
	parallel(100, func(i int) {
		s := stores[i%2]
		slot, err := s.Reserve(t.Context(), []string{tk.ID}, holder(i), now)
		if err == nil {
			if _, err = s.Deliver(t.Context(), slot, fmt.Append(nil, i), now, release.Record{Time: now, Kind: "release"}); err == nil {
				released.Add(1)
				return
			}
		}
		if fault.Is(err, fault.Spent) && release.ReasonOf(err) == "ticket_used" {
			spent.Add(1)
			return
		}
		t.Error(err)
	})
	if released.Load() != 1 || spent.Load() != 99 {
		t.Errorf("%d released, %d refused", released.Load(), spent.Load())
	}
	n := 0
	for _, r := range must[[]release.Record](t)(s.Records(t.Context(), 0, 1000)) {
		if r.Kind == "release" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d lines in the log say released", n)
	}
}

func testUses(t *testing.T, open Open) {
	s, _ := open(t)
	tk := issue(t, s, release.Ticket{Uses: 3})
	for i := range 5 {
		slot, err := s.Reserve(t.Context(), []string{tk.ID}, holder(i), now)
		if i < 3 && (err != nil || slot.N != i) || i >= 3 && !fault.Is(err, fault.Spent) {
			t.Errorf("use %d: %+v %v", i, slot, err)
		}
	}
}

func testHeld(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	a, b := issue(t, s, release.Ticket{}), issue(t, s, release.Ticket{})
	both := []string{a.ID, b.ID}
	first := must[release.Slot](t)(s.Reserve(ctx, both, holder(1), now))
	again := must[release.Slot](t)(s.Reserve(ctx, []string{b.ID, a.ID}, holder(1), now))
	if again.Ticket != first.Ticket || again.State != release.Reserved {
		t.Errorf("one session took two tickets: %+v, %+v", first, again)
	}
	must[release.Slot](t)(s.Deliver(ctx, first, []byte("reply"), now, release.Record{Time: now}))
	again = must[release.Slot](t)(s.Reserve(ctx, []string{b.ID, a.ID}, holder(1), now))
	if again.Ticket != first.Ticket || again.State != release.Released || string(again.Reply) != "reply" || !again.Released.Equal(now) {
		t.Errorf("%+v", again)
	}
	otherKey := release.Holder{Session: holder(1).Session, Key: id("another")}
	if slot := must[release.Slot](t)(s.Reserve(ctx, both, otherKey, now)); slot.Ticket != b.ID {
		t.Error("another key got the slot of the first")
	}
}

func testDeliverOnce(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	tk := issue(t, s, release.Ticket{})
	slot := must[release.Slot](t)(s.Reserve(ctx, []string{tk.ID}, holder(1), now))
	var mu sync.Mutex
	replies := map[string]int{}
	parallel(20, func(i int) {
		out, err := s.Deliver(ctx, slot, fmt.Appendf(nil, "reply %d", i), now, release.Record{Time: now})
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		replies[string(out.Reply)]++
		mu.Unlock()
	})
	if len(replies) != 1 {
		t.Errorf("one slot, %d replies", len(replies))
	}
	stranger := slot
	stranger.Holder = holder(2)
	if out, err := s.Deliver(ctx, stranger, []byte("x"), now, release.Record{Time: now}); err == nil {
		t.Errorf("a stranger was given %q", out.Reply)
	}
}

func testRefusals(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	reason := func(ids []string, at time.Time) string {
		_, err := s.Reserve(ctx, ids, holder(9), at)
		return release.ReasonOf(err)
	}
	if r := reason([]string{"nonesuch"}, now); r != "ticket_missing" {
		t.Error(r)
	}
	late := issue(t, s, release.Ticket{NotAfter: now.Add(time.Minute)})
	if r := reason([]string{late.ID}, now.Add(2*time.Minute)); r != "ticket_expired" {
		t.Error(r)
	}
	gone := issue(t, s, release.Ticket{Uses: 2})
	slot := must[release.Slot](t)(s.Reserve(ctx, []string{gone.ID}, holder(1), now))
	if found := must[bool](t)(s.RevokeTicket(ctx, gone.ID, now)); !found {
		t.Error("not found")
	}
	if found := must[bool](t)(s.RevokeTicket(ctx, "nonesuch", now)); found {
		t.Error("revoked what is not there")
	}
	if r := reason([]string{gone.ID}, now); r != "ticket_revoked" {
		t.Error(r)
	}
	if _, err := s.Deliver(ctx, slot, []byte("x"), now, release.Record{Time: now}); release.ReasonOf(err) != "ticket_revoked" {
		t.Errorf("a revoked reservation was delivered: %v", err)
	}
	used := issue(t, s, release.Ticket{})
	must[release.Slot](t)(s.Reserve(ctx, []string{used.ID}, holder(1), now))
	if r := reason([]string{late.ID, used.ID, gone.ID}, now.Add(2*time.Minute)); r != "ticket_used" {
		t.Error("the reason that says most is ticket_used, got", r)
	}
}

func testSweepLedger(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	a, b := issue(t, s, release.Ticket{}), issue(t, s, release.Ticket{})
	must[release.Slot](t)(s.Reserve(ctx, []string{a.ID}, holder(1), now))
	slot := must[release.Slot](t)(s.Reserve(ctx, []string{b.ID}, holder(2), now))
	must[release.Slot](t)(s.Deliver(ctx, slot, []byte("reply"), now, release.Record{Time: now}))
	check(t, s.Sweep(ctx, now, now, 10))
	state := func(id string) release.State {
		for _, x := range must[[]release.Ticket](t)(s.Tickets(ctx, release.TicketQuery{})) {
			if x.ID == id {
				return x.Slots[0].State
			}
		}
		return ""
	}
	if state(a.ID) != release.Reserved {
		t.Error("burned a live reservation")
	}
	check(t, s.Sweep(ctx, now.Add(time.Second), now.Add(time.Second), 10))
	if state(a.ID) != release.Burned || state(b.ID) != release.Released {
		t.Errorf("%s %s", state(a.ID), state(b.ID))
	}
	if _, err := s.Reserve(ctx, []string{a.ID}, holder(1), now); !fault.Is(err, fault.Spent) {
		t.Errorf("a burned ticket was used: %v", err)
	}
	held := must[release.Slot](t)(s.Reserve(ctx, []string{b.ID}, holder(2), now))
	if held.State != release.Released || len(held.Reply) != 0 {
		t.Errorf("the reply outlived its window: %+v", held)
	}
}

func testReopen(t *testing.T, open Open) {
	s, again := open(t)
	if again == nil {
		t.Skip("this back end has one process only")
	}
	ctx := t.Context()
	tk := issue(t, s, release.Ticket{})
	put(t, s, "a/b/c", "one")
	check(t, s.CreateSession(ctx, session("a", time.Minute)))
	slot := must[release.Slot](t)(s.Reserve(ctx, []string{tk.ID}, holder(1), now))
	o := again(t)
	if _, ok, err := o.Session(ctx, id("a"), now); !ok || err != nil {
		t.Error("session lost", err)
	}
	if sealed, ok, err := o.SealedSecret(ctx, "a/b/c", 1); !ok || err != nil || !bytes.Equal(sealed, []byte("1:one")) {
		t.Error("secret lost", err)
	}
	if _, err := o.Reserve(ctx, []string{tk.ID}, holder(2), now); !fault.Is(err, fault.Spent) {
		t.Errorf("another process released again: %v", err)
	}
	// The session that holds the reservation goes on in the other process.
	held := must[release.Slot](t)(o.Reserve(ctx, []string{tk.ID}, holder(1), now))
	if held.State != release.Reserved {
		t.Errorf("%+v", held)
	}
	must[release.Slot](t)(o.Deliver(ctx, held, []byte("reply"), now, release.Record{Time: now}))
	late := must[release.Slot](t)(s.Deliver(ctx, slot, []byte("other"), now, release.Record{Time: now}))
	if string(late.Reply) != "reply" {
		t.Errorf("two replies for one slot: %q", late.Reply)
	}
}

func testCancelled(t *testing.T, open Open) {
	s, _ := open(t)
	tk := issue(t, s, release.Ticket{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Reserve(ctx, []string{tk.ID}, holder(1), now); err != nil && !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	check(t, s.Ping(t.Context()))
}

func testJournal(t *testing.T, open Open) {
	s, again := open(t)
	stores := []store.Store{s, s}
	if again != nil {
		stores[1] = again(t)
	}
	ctx := t.Context()
	if cp := must[[]byte](t)(s.LogCheckpoint(ctx)); cp != nil {
		t.Errorf("a checkpoint of nothing: %q", cp)
	}
	for i := range 40 {
		check(t, s.AppendRecord(ctx, release.Record{Time: now, Reason: fmt.Sprint(i)}))
	}
	grow := func(b store.LogBatch) (store.LogGrowth, error) {
		hs, tree, err := translog.Grow(b.Size, b.Leaves, func(ix []int64) ([]translog.Hash, error) {
			raw, err := b.Read(ix)
			out := make([]translog.Hash, len(raw))
			for i := range raw {
				out[i] = raw[i]
			}
			return out, err
		})
		out := store.LogGrowth{First: translog.Stored(b.Size), Checkpoint: fmt.Appendf(nil, "%d %s", tree.Size, tree.Root)}
		for _, h := range hs {
			out.Hashes = append(out.Hashes, h)
		}
		return out, err
	}
	parallel(4, func(i int) {
		for {
			n, err := stores[i%2].GrowLog(ctx, 7, grow)
			if err != nil {
				t.Error(err)
			}
			if n == 0 || err != nil {
				return
			}
		}
	})
	if _, err := s.GrowLog(ctx, 7, func(store.LogBatch) (store.LogGrowth, error) {
		t.Error("nothing is left")
		return store.LogGrowth{}, nil
	}); err != nil {
		t.Error(err)
	}
	leaves := must[[]string](t)(s.LogLeaves(ctx, 0, 100))
	raw := make([][]byte, len(leaves))
	for i := range leaves {
		raw[i] = []byte(leaves[i])
	}
	tree, err := translog.Of(raw)
	check(t, err)
	if cp := must[[]byte](t)(s.LogCheckpoint(ctx)); len(leaves) != 40 || string(cp) != fmt.Sprintf("40 %s", tree.Root) {
		t.Errorf("%d leaves, checkpoint %q", len(leaves), cp)
	}
	if tail := must[[]string](t)(s.LogLeaves(ctx, 38, 100)); len(tail) != 2 || tail[1] != leaves[39] {
		t.Errorf("%q", tail)
	}
}
