package server

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// address is the unit that limits count by: an IPv4 address, or the /64 of an IPv6 one.
func address(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	a := ap.Addr().Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func clientAddress(r *http.Request) netip.Addr { return address(r.RemoteAddr) }

// budget bounds the bytes of all request bodies under way.
type budget struct {
	mu    sync.Mutex
	max   int64
	used  int64
	share map[netip.Addr]int64
}

func newBudget(max int64) *budget { return &budget{max: max, share: map[netip.Addr]int64{}} }

// take reports whether n more bytes may be held for a.
func (b *budget) take(a netip.Addr, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.max || b.share[a]+n > b.max/4 {
		return false
	}
	b.used += n
	b.share[a] += n
	return true
}

func (b *budget) give(a netip.Addr, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.share[a] -= n; b.share[a] <= 0 {
		delete(b.share, a)
	}
}

// pending counts handshakes that were begun and not finished, per address. Entries leave when they are finished or when
// their time is over; both are found from the head of a queue, so nothing is ever walked.
type pending struct {
	mu    sync.Mutex
	max   int
	count map[netip.Addr]int
	open  map[[32]byte]netip.Addr
	queue []pendingEntry // by expiry, which is the order of creation
}

type pendingEntry struct {
	id      [32]byte
	expires time.Time
}

func newPending(max int) *pending {
	return &pending{max: max, count: map[netip.Addr]int{}, open: map[[32]byte]netip.Addr{}}
}

// begin reports whether a may begin another handshake.
func (p *pending) begin(a netip.Addr, id [32]byte, now, expires time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := 0; n < 8 && len(p.queue) > 0 && !now.Before(p.queue[0].expires); n++ {
		p.drop(p.queue[0].id)
		p.queue = p.queue[1:]
	}
	if p.count[a] >= p.max {
		return false
	}
	p.count[a]++
	p.open[id] = a
	p.queue = append(p.queue, pendingEntry{id, expires})
	return true
}

func (p *pending) finish(id [32]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(id)
}

func (p *pending) drop(id [32]byte) {
	a, ok := p.open[id]
	if !ok {
		return
	}
	delete(p.open, id)
	if p.count[a]--; p.count[a] <= 0 {
		delete(p.count, a)
	}
}

// listener bounds connections, in all and per address. What is over the bound is closed at once: a stranger who opens
// many must not keep others waiting.
type listener struct {
	net.Listener
	limits Limits
	mu     sync.Mutex
	all    int
	per    map[netip.Addr]int
}

func newListener(l net.Listener, limits Limits) *listener {
	return &listener{Listener: l, limits: limits, per: map[netip.Addr]int{}}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		a := address(c.RemoteAddr().String())
		l.mu.Lock()
		ok := l.all < l.limits.Connections && l.per[a] < l.limits.ConnectionsPerAddress
		if ok {
			l.all++
			l.per[a]++
		}
		l.mu.Unlock()
		if ok {
			return &counted{Conn: c, release: sync.OnceFunc(func() { l.release(a) })}, nil
		}
		_ = c.Close()
	}
}

func (l *listener) release(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.per[a]--; l.per[a] <= 0 {
		delete(l.per, a)
	}
}

type counted struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.release()
	return c.Conn.Close()
}
