package vtpm

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence/internal/eventlog"
	"github.com/assay-tee/assay/internal/fault"
)

// Boot is what an event log explains of quoted PCRs.
type Boot struct {
	x    *eventlog.PCRsExplained
	bank Hash
}

// ExplainBoot replays a TCG event log of the firmware against the PCRs of a quote. A log that does not give the quoted
// values is class binding. Events of PCRs that were not quoted, or that anybody can reset, are no claims.
func ExplainBoot(log []byte, b *Bank) (*Boot, error) {
	l, err := eventlog.ParseTPM(log, eventlog.Options{})
	if err != nil {
		return nil, err
	}
	x, err := l.ExplainPCRs(eventlog.PCRs{Alg: eventlog.Alg(b.Hash), Values: b.Values})
	if err != nil {
		return nil, err
	}
	return &Boot{x: x, bank: b.Hash}, nil
}

// explain replays the event log against the quoted PCRs of the first bank that both have.
func (f *facts) explain(c *container) error {
	if len(c.log) == 0 {
		return nil
	}
	l, err := eventlog.ParseTPM(c.log, eventlog.Options{})
	if err != nil {
		return err
	}
	for _, q := range f.quotes {
		for _, a := range l.Banks {
			if Hash(a) == q.Bank.Hash {
				f.boot, err = ExplainBoot(c.log, &q.Bank)
				return err
			}
		}
	}
	return fault.New(fault.Unsupported, "the event log has no digests of a quoted bank of SHA-256 or better")
}

// Claims are boot (package evidence/internal/eventlog), and what of the PCRs the log leaves open. Without a log there are
// none.
func (b *Boot) Claims() claim.Object {
	if b == nil {
		return nil
	}
	pcrs := func(mask uint32) claim.Node {
		var out []claim.Node
		for _, n := range eventlog.List(mask) {
			out = append(out, claim.U(uint64(n)))
		}
		return claim.L(out...)
	}
	o := claim.Object{
		m("boot", b.x.BootClaims("pcr")),
		m("pcrs_unexplained", pcrs(b.x.Unexplained)),
		m("pcrs_dropped", pcrs(b.x.Dropped)),
	}
	return o
}
