package sqlite_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store/sqlite"
)

// TestKillChild is the process that TestKill kills: holders race for tickets, and each that is served says so only after
// Deliver has answered, as a server sends a reply.
func TestKillChild(t *testing.T) {
	path := os.Getenv("ASSAY_KILL_CHILD")
	if path == "" {
		t.Skip("runs inside TestKill only")
	}
	s, err := sqlite.Open(context.Background(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	say := func(f string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stdout, f+"\n", args...)
	}
	for {
		tk, err := release.NewTicket(release.Ticket{Resource: "a/b/c", NotAfter: time.Now().Add(time.Hour)}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.IssueTicket(context.Background(), tk); err != nil {
			t.Fatal(err)
		}
		say("issued %s", tk.ID)
		var wg sync.WaitGroup
		for h := range 4 {
			wg.Go(func() {
				slot, err := s.Reserve(context.Background(), []string{tk.ID}, killHolder(h), time.Now())
				if err != nil {
					return
				}
				reply := fmt.Sprintf("%d-%d", h, rand.Uint64())
				out, err := s.Deliver(context.Background(), slot, []byte(reply), time.Now(), release.Record{Time: time.Now(), Kind: "release", Ticket: tk.ID, Slot: slot.N})
				if err == nil {
					say("sent %s %d %s", tk.ID, h, out.Reply)
				}
			})
		}
		wg.Wait()
	}
}

func killHolder(h int) release.Holder {
	sum := sha256.Sum256([]byte(strconv.Itoa(h)))
	return release.Holder{Session: sum, Key: sum}
}

// TestKill kills the process at random moments, over and over on one file: no ticket is lost, none is released to two
// holders, a reply that was sent is the reply that is stored, and the file agrees with itself. ASSAY_KILL_ROUNDS sets
// how often.
func TestKill(t *testing.T) {
	rounds := 12
	if n, err := strconv.Atoi(os.Getenv("ASSAY_KILL_ROUNDS")); err == nil {
		rounds = n
	}
	path := filepath.Join(t.TempDir(), "assay.db")
	issued := map[string]bool{}
	holderOf, replyOf := map[string]string{}, map[string]string{}
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		cmd.Env = append(os.Environ(), "ASSAY_KILL_CHILD="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		fresh := map[string]bool{}
		// The moment is random from the first line on: before it nothing is at stake.
		var once sync.Once
		for sc := bufio.NewScanner(out); sc.Scan(); {
			once.Do(func() {
				time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			})
			f := strings.Fields(sc.Text())
			switch {
			case len(f) == 2 && f[0] == "issued":
				issued[f[1]], fresh[f[1]] = true, true
			case len(f) == 4 && f[0] == "sent":
				if other, ok := holderOf[f[1]]; ok && other != f[2] {
					t.Fatalf("round %d: ticket %s went to %s and to %s", round, f[1], other, f[2])
				}
				holderOf[f[1]], replyOf[f[1]] = f[2], f[3]
			}
		}
		_ = cmd.Wait() // killed

		s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if bad, err := s.Check(t.Context()); err != nil || bad != nil {
			t.Fatalf("round %d: %q %v", round, bad, err)
		}
		// Those of this round, and some of all before: the order of a map is random.
		for id := range issued {
			if len(fresh) >= 100 {
				break
			}
			fresh[id] = true
		}
		for id := range fresh {
			slot, err := s.Reserve(t.Context(), []string{id}, killHolder(99), time.Now())
			switch holder, sent := holderOf[id]; {
			case sent && !fault.Is(err, fault.Spent):
				t.Fatalf("round %d: ticket %s was released and can be reserved again: %+v %v", round, id, slot, err)
			case sent:
				h, _ := strconv.Atoi(holder)
				again, err := s.Reserve(t.Context(), []string{id}, killHolder(h), time.Now())
				if err != nil || string(again.Reply) != replyOf[id] {
					t.Fatalf("round %d: the reply that was sent is not the one that is stored: %q %v", round, again.Reply, err)
				}
			case release.ReasonOf(err) == string(release.TicketMissing):
				t.Fatalf("round %d: ticket %s is lost", round, id)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(issued) < rounds || len(holderOf) == 0 {
		t.Errorf("%d tickets, %d releases: the processes did next to nothing", len(issued), len(holderOf))
	}
	t.Logf("%d tickets, %d releases over %d kills", len(issued), len(holderOf), rounds)
}
