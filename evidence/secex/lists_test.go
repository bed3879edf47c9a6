package secex_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator/ultravisor"
)

// points serves lists at the distribution points, as the network would.
type points struct {
	given
	lists map[string][]byte
	asked map[string]int
}

func (p *points) Get(_ context.Context, req evidence.Request) (evidence.Response, error) {
	p.asked[req.Service+" "+req.Path]++
	if b := p.lists[req.Path]; b != nil && req.Service == "crldp" {
		return evidence.Response{Body: b}, nil
	}
	return evidence.Response{}, fault.New(fault.Unavailable, "no answer")
}

// online is the collateral of w without its lists, which stand at their distribution points instead.
func (w *world) online() *points {
	lists, err := w.pki.Lists(w.revoked...)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &points{given: given{w.pki.Signing.Raw, w.pki.Intermediate.Raw, w.hkd.Raw, w.image.Header}, lists: map[string][]byte{}, asked: map[string]int{}}
	for i, l := range lists {
		p.lists[path(i)] = l.Raw
	}
	return p
}

func path(i int) string { return "/" + strings.Replace(ultravisor.Points[i], "://", "/", 1) }

func TestListsAreFetchedFromDistributionPoints(t *testing.T) {
	w := newWorld(t, true)
	for name, tc := range map[string]struct {
		change func(*points)
		want   fault.Class // 0: accepted
		say    string
	}{
		"all there":              {func(*points) {}, 0, ""},
		"signing key's missing":  {func(p *points) { delete(p.lists, path(2)) }, fault.Unavailable, "no answer"},
		"root's missing":         {func(p *points) { delete(p.lists, path(0)) }, fault.Unavailable, "no answer"},
		"another's in its place": {func(p *points) { p.lists[path(2)] = p.lists[path(1)] }, fault.Unavailable, "revocation list"},
		"not a list":             {func(p *points) { p.lists[path(1)] = []byte("<html>") }, fault.Unavailable, "revocation list"},
		"bit flipped in a list": {func(p *points) {
			b := bytes.Clone(p.lists[path(2)])
			b[len(b)-1] ^= 1
			p.lists[path(2)] = b
		}, fault.Unavailable, "signature"},
		"document revoked": {func(p *points) {
			w.revoked = []*x509.Certificate{w.hkd}
			maps.Copy(p.lists, w.online().lists)
			w.revoked = nil
		}, fault.Revoked, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.online()
			tc.change(p)
			keys, err := secex.HostKeys(context.Background(), p, w.anchors(), w.now)
			if tc.want == 0 {
				if err != nil || len(keys) != 1 || len(p.asked) != 3 {
					t.Errorf("%d keys, %d questions, %v", len(keys), len(p.asked), err)
				}
				return
			}
			if !fault.Is(err, tc.want) || !strings.Contains(err.Error(), tc.say) {
				t.Errorf("class %v, want %v: %v", fault.ClassOf(err), tc.want, err)
			}
		})
	}
}

// A list that was handed over is not asked for, and one that was fetched is asked for again within an hour, since a
// newer one may revoke.
func TestFetchedListsAreAskedForAgain(t *testing.T) {
	w := newWorld(t, true)
	p := w.online()
	p.given = append(p.given, p.lists[path(0)])
	challenge := func(at time.Time) error {
		_, err := w.driver.Challenge(context.Background(), evidence.ChallengeRequest{Time: at, Session: w.session, Anchors: w.anchors(), Collateral: p, Lifetime: time.Minute})
		return err
	}
	for range 2 {
		if err := challenge(w.now); err != nil {
			t.Fatal(err)
		}
	}
	if p.asked["crldp "+path(0)] != 0 || p.asked["crldp "+path(1)] != 1 || p.asked["crldp "+path(2)] != 1 {
		t.Errorf("asked: %v", p.asked)
	}
	w.revoked = []*x509.Certificate{w.hkd}
	p.lists = w.online().lists
	if err := challenge(w.now.Add(59 * time.Minute)); err != nil {
		t.Errorf("within the hour: %v", err)
	}
	if err := challenge(w.now.Add(61 * time.Minute)); !fault.Is(err, fault.Revoked) {
		t.Errorf("after an hour: %v", err)
	}
}

// A stranger's document may name any number of points; what is asked is bounded.
func TestQuestionsAreBounded(t *testing.T) {
	w := newWorld(t, true)
	p := w.online()
	delete(p.lists, path(2))
	var addresses []string
	for i := range 100 {
		addresses = append(addresses, "https://www.ibm.com/"+strings.Repeat("x", i+1))
	}
	cert, err := w.pki.Document(w.machine.HostKey(), time.Time{}, time.Time{}, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	p.given[2] = cert.Raw
	if _, err := secex.HostKeys(context.Background(), p, w.anchors(), w.now); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	if len(p.asked) != 16 {
		t.Errorf("%d questions", len(p.asked))
	}
}
