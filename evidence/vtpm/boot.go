package vtpm

import (
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence/internal/eventlog"
	"github.com/assay-tee/assay/internal/fault"
)

// Boot is what an event log explains of quoted PCRs.
type Boot struct {
	x         *eventlog.PCRsExplained // nil without a log of the firmware
	userspace []eventlog.UserspaceEvent
	workload  []eventlog.COSEvent
}

// Logs are what may explain the PCRs of a quote. Nothing signs any of them.
type Logs struct {
	Firmware  []byte // TCG log
	Userspace []byte // what systemd extended later, JSON
	CEL       []byte // canonical event log of a workload (Confidential Space), TLV
}

// ExplainBoot replays logs against the PCRs of a quote. A log that does not give the quoted values is class binding. Events
// of PCRs that were not quoted, or that anybody can reset, are no claims.
func ExplainBoot(logs Logs, b *Bank) (*Boot, error) {
	out := &Boot{}
	pcrs := eventlog.PCRs{Alg: eventlog.Alg(b.Hash), Values: b.Values}
	if len(logs.Firmware) > 0 {
		l, err := eventlog.ParseTPM(logs.Firmware, eventlog.Options{})
		if err != nil {
			return nil, err
		}
		if !slices.Contains(l.Banks, pcrs.Alg) {
			return nil, fault.New(fault.Unsupported, "the event log has no digests of the %s bank", b.Hash)
		}
		later, err := eventlog.ParseUserspace(logs.Userspace)
		if err != nil {
			return nil, err
		}
		if out.x, out.userspace, err = l.ExplainWithUserspace(pcrs, later); err != nil {
			return nil, err
		}
	} else if len(logs.Userspace) > 0 {
		return nil, fault.New(fault.Malformed, "the log of userspace goes on where that of the firmware ends, which is missing")
	}
	return out, out.explainCEL(logs.CEL, b)
}

// explainCEL replays the events of a workload. A log about measurement registers of a CPU is not about this quote.
func (b *Boot) explainCEL(log []byte, bank *Bank) error {
	if len(log) == 0 {
		return nil
	}
	records, err := eventlog.ParseCEL(log)
	if err != nil {
		return err
	}
	if len(records) == 0 || records[0].CCMR {
		return nil
	}
	n := records[0].Register
	if n >= NumPCRs || bank.Values[n] == nil {
		return fault.New(fault.Binding, "the canonical event log is about PCR %d, which was not quoted", n)
	}
	b.workload, err = eventlog.ReplayCEL(records, eventlog.Alg(bank.Hash), false, n, bank.Values[n])
	return err
}

// explain replays the logs against the quoted PCRs of the first bank that both have.
func (f *facts) explain(c *container) error {
	if len(c.logs.Firmware)+len(c.logs.CEL)+len(c.logs.Userspace) == 0 {
		return nil
	}
	var err error
	for _, q := range f.quotes {
		if f.boot, err = ExplainBoot(c.logs, &q.Bank); !fault.Is(err, fault.Unsupported) {
			return err
		}
	}
	return err
}

// Claims are boot (package evidence/internal/eventlog), and what of the PCRs the log leaves open; userspace, what systemd
// extended, and workload, the events of Confidential Space. Without logs there are none.
func (b *Boot) Claims() claim.Object {
	if b == nil {
		return nil
	}
	var o claim.Object
	if b.x != nil {
		o = append(o, m("boot", b.x.BootClaims("pcr")), m("pcrs_unexplained", pcrNumbers(b.x.Unexplained)), m("pcrs_dropped", pcrNumbers(b.x.Dropped)))
	}
	if b.userspace != nil {
		var list []claim.Node
		for _, e := range b.userspace {
			text := claim.Null()
			if e.Covered {
				text = claim.S(e.Text)
			}
			list = append(list, claim.O(m("register", claim.S(PCRName(int(e.PCR)))), m("digest", claim.H(e.Digests[0].Value)), m("text", text)))
		}
		o = append(o, m("userspace", claim.L(list...)))
	}
	if b.workload != nil {
		var list []claim.Node
		for _, e := range b.workload {
			list = append(list, claim.O(m("type", claim.U(uint64(e.Type))), m("value", claim.S(e.Value))))
		}
		o = append(o, m("workload", claim.L(list...)))
	}
	return o
}

func pcrNumbers(mask uint32) claim.Node {
	var out []claim.Node
	for _, n := range eventlog.List(mask) {
		out = append(out, claim.U(uint64(n)))
	}
	return claim.L(out...)
}

// locators are the places that a log names for reference measurements of the firmware. Nothing measures them, so that they are
// shown and never claimed.
func locators(log []byte) claim.Node {
	var out []claim.Node
	if l, err := eventlog.ParseTPM(log, eventlog.Options{}); err == nil {
		if xs, err := l.Locators(); err == nil {
			for i := range xs {
				x := &xs[i]
				out = append(out, claim.O(m("firmware_manufacturer", claim.S(x.FirmwareManufacturer)), m("firmware_version", claim.S(x.FirmwareVersion)),
					m("type", claim.U(uint64(x.RIMType))), m("place", claim.S(x.Where()))))
			}
		}
	}
	return claim.L(out...)
}
