package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/tty"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/result/report"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/store"
)

// policyTestFlags: verifyFlags are what is in force on both sides, the others what would be new.
type policyTestFlags struct {
	verifyFlags
	evidence                   []string
	newPolicies, newStmts      []string
	newUnsigned                []string
	newParams                  string
	admin                      adminFlags
	fromServer                 bool
	nowPolicies, nowStatements []string
	nowParams                  string
}

func newPolicyTestCmd(a *app) *cobra.Command {
	var f policyTestFlags
	c := &cobra.Command{
		Use:   "test --evidence FILE...",
		Short: "Show what a new policy or statement would change for stored evidence",
		Long: `Appraises each piece of evidence twice, with what is in force and with the new policies and statements on top of it, and
prints how verdict, reasons and accepted claims differ. Nothing is stored. What is in force is the built-in policy with the
--current- files, or what --from-server reads from a server. Evidence is a file or report directory as for assay verify;
"FILE,nonce=HEX" says what it was bound to, and a report directory with a file "nonce" says it itself.

The exit code is 6 when the verdict on any evidence would become worse, and 0 otherwise.`,
		Example: `  assay policy test --policy stricter.rego --evidence guests/a --evidence report.bin,nonce=4f3c…
  assay policy test --statement firmware-1.5.corim --anchor publisher.pem --evidence guests/a --from-server`,
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			f.evidence = append(f.evidence, args...)
			return a.policyTest(cmd, f)
		}),
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.evidence, "evidence", nil, "evidence from `FILE` or report directory, each by itself (repeatable)")
	fl.StringArrayVar(&f.newPolicies, "policy", nil, "a new policy from `FILE` (repeatable)")
	fl.StringVar(&f.newParams, "params", "", "new settings of the built-in policy from a JSON `FILE`")
	fl.StringArrayVar(&f.newStmts, "statement", nil, "a new signed statement from `FILE` (repeatable)")
	fl.StringArrayVar(&f.newUnsigned, "unsigned-statement", nil, "a new CoRIM from `FILE` that nobody signed, on your own word (repeatable)")
	fl.StringArrayVar(&f.nowPolicies, "current-policy", nil, "a policy in force, from `FILE` (repeatable)")
	fl.StringVar(&f.nowParams, "current-params", "", "settings in force, from a JSON `FILE`")
	fl.StringArrayVar(&f.nowStatements, "current-statement", nil, "a signed statement in force, from `FILE` (repeatable)")
	fl.BoolVar(&f.fromServer, "from-server", false, "take what administrators stored at --server as what is in force, too")
	fl.StringVar(&f.as, "as", "", "force the `FORMAT` of the evidence")
	fl.StringArrayVar(&f.certs, "cert", nil, "certificates of the attesting key from `FILE` (repeatable)")
	fl.StringArrayVar(&f.collateral, "collateral", nil, "vendor data from a `PATH` (repeatable)")
	fl.BoolVar(&f.offline, "offline", false, "never open a connection")
	fl.StringVar(&f.at, "at", "", "appraise as of this `TIME` (RFC 3339) instead of now")
	fl.StringArrayVar(&f.expect, "expect", nil, "a reference value of your own, as `NAME=HEX` (repeatable)")
	fl.StringArrayVar(&f.anchors, "anchor", nil, "whom to believe: `FILE` (repeatable)")
	fl.BoolVar(&f.insecure, "insecure-simulator", false, "accept roots of the simulator; results are marked")
	fl.StringVarP(&f.out, "output", "o", "", "write to `FILE` instead of standard output")
	f.admin.add(a, c)
	return c
}

// side is the outcome with one set of policies and statements.
type side struct {
	Verdict string           `json:"verdict"` // as in a report, or "refused"
	Error   string           `json:"error,omitempty"`
	reasons []policy.Reason  // of the report
	trail   []appraise.Entry // of the report
}

// change is what the new policies and statements do to one piece of evidence.
type change struct {
	Evidence       string          `json:"evidence"`
	Before         side            `json:"before"`
	After          side            `json:"after"`
	Changed        bool            `json:"changed"`
	Worse          bool            `json:"worse,omitempty"`
	ReasonsAdded   []policy.Reason `json:"reasons_added,omitempty"`
	ReasonsGone    []policy.Reason `json:"reasons_gone,omitempty"`
	ClaimsAccepted []string        `json:"claims_accepted,omitempty"` // that were not before: "label claim = value"
	ClaimsLost     []string        `json:"claims_lost,omitempty"`
}

func (a *app) policyTest(cmd *cobra.Command, f policyTestFlags) error {
	if f.admin.format != "text" && f.admin.format != "json" {
		return fault.New(fault.Usage, "--format %q: text or json", f.admin.format)
	}
	switch {
	case len(f.evidence) == 0:
		return fault.New(fault.Usage, "name the evidence: --evidence FILE")
	case len(f.newPolicies)+len(f.newStmts)+len(f.newUnsigned) == 0 && f.newParams == "":
		return fault.New(fault.Usage, "nothing is new: give --policy, --params or --statement")
	}
	at, err := a.clock(f.at)
	if err != nil {
		return err
	}
	before := f.verifyFlags
	before.policies, before.params, before.statements = f.nowPolicies, f.nowParams, f.nowStatements
	if f.fromServer {
		dir, err := os.MkdirTemp("", "assay-policy-test-")
		if err != nil {
			return fault.New(fault.Internal, "%w", err)
		}
		defer os.RemoveAll(dir)
		if err := storedFiles(cmd, f.admin, dir, &before); err != nil {
			return err
		}
	}
	after := before
	after.policies = append(after.policies[:len(after.policies):len(after.policies)], f.newPolicies...)
	after.statements = append(after.statements[:len(after.statements):len(after.statements)], f.newStmts...)
	after.unsigned = f.newUnsigned
	if f.newParams != "" {
		after.params = f.newParams
	}
	changes := make([]change, len(f.evidence))
	worse := false
	for i, spec := range f.evidence {
		name, nonce, err := evidenceSpec(spec)
		if err != nil {
			return err
		}
		before.nonce, after.nonce = nonce, nonce
		c := change{Evidence: name}
		if c.Before, err = a.oneSide(cmd, before, name, at); err != nil {
			return err
		}
		if c.After, err = a.oneSide(cmd, after, name, at); err != nil {
			return err
		}
		c.compare()
		changes[i], worse = c, worse || c.Worse
	}
	err = a.output(f.out, 0o644, func(w io.Writer) error {
		if f.admin.format == "json" {
			return writeJSON(w, changes)
		}
		return changesText(w, tty.For(w, a.getenv), changes)
	})
	if err == nil && worse {
		return verdictError{exitNotAffirming}
	}
	return err
}

// evidenceSpec reads FILE[,nonce=HEX].
func evidenceSpec(s string) (name, nonce string, err error) {
	name, rest, found := strings.Cut(s, ",nonce=")
	if found {
		_, err = unhex("--evidence "+name, rest)
		return name, rest, err
	}
	if b, err := os.ReadFile(filepath.Join(name, "nonce")); err == nil {
		return name, strings.TrimSpace(string(b)), nil
	}
	return name, "", nil
}

// storedFiles writes what administrators stored at a server into dir and names it in f.
func storedFiles(cmd *cobra.Command, admin adminFlags, dir string, f *verifyFlags) error {
	cl, err := admin.client()
	if err != nil {
		return err
	}
	fetch := func(route, prefix, ext string, into *[]string) error {
		var page struct{ Documents []store.Document }
		if err := cl.do(cmd.Context(), "GET", route, nil, &page); err != nil {
			return err
		}
		for _, d := range page.Documents {
			if d.Deleted || !strings.HasPrefix(d.ID, prefix) {
				continue
			}
			k := documentKind{route: route + "/", prefix: func(n string) string { return n }}
			b, err := cl.fetch(cmd.Context(), k.path(d.ID))
			if err != nil {
				return err
			}
			name := filepath.Join(dir, hex.EncodeToString([]byte(d.ID))+ext)
			if err := os.WriteFile(name, b, 0o600); err != nil {
				return fault.New(fault.Internal, "%w", err)
			}
			*into = append((*into)[:len(*into):len(*into)], name)
		}
		return nil
	}
	if err := fetch("/v1/policies", server.PolicyPrefix, ".rego", &f.policies); err != nil {
		return err
	}
	return fetch("/v1/statements", server.StatementPrefix, ".corim", &f.statements)
}

// oneSide appraises one piece of evidence. Errors about the evidence are an outcome; those about the call, a policy or a
// statement end the test.
func (a *app) oneSide(cmd *cobra.Command, f verifyFlags, name string, at time.Time) (side, error) {
	rep, err := a.appraiseFiles(cmd, f, []string{name}, at)
	switch {
	case err != nil && rep == nil:
		return side{}, err
	case err != nil:
		return side{Verdict: "refused", Error: err.Error()}, nil
	}
	return sideOf(rep), nil
}

func sideOf(rep *report.Report) side {
	s := side{Verdict: rep.Verdict, trail: rep.Trail}
	for _, r := range rep.Reasons {
		if !containsReason(s.reasons, r) {
			s.reasons = append(s.reasons, r)
		}
	}
	return s
}

// verdictOrder is from the best to the worst.
var verdictOrder = map[string]int{"affirming": 0, "warning": 1, "none": 2, "contraindicated": 3, "refused": 4}

func (c *change) compare() {
	for _, r := range c.After.reasons {
		if !containsReason(c.Before.reasons, r) {
			c.ReasonsAdded = append(c.ReasonsAdded, r)
		}
	}
	for _, r := range c.Before.reasons {
		if !containsReason(c.After.reasons, r) {
			c.ReasonsGone = append(c.ReasonsGone, r)
		}
	}
	had, has := acceptedOf(c.Before.trail), acceptedOf(c.After.trail)
	for _, t := range has.order {
		if !had.set[t] {
			c.ClaimsAccepted = append(c.ClaimsAccepted, t)
		}
	}
	for _, t := range had.order {
		if !has.set[t] {
			c.ClaimsLost = append(c.ClaimsLost, t)
		}
	}
	c.Worse = verdictOrder[c.After.Verdict] > verdictOrder[c.Before.Verdict]
	c.Changed = c.Before.Verdict != c.After.Verdict || len(c.ReasonsAdded)+len(c.ReasonsGone)+len(c.ClaimsAccepted)+len(c.ClaimsLost) > 0
}

func containsReason(list []policy.Reason, r policy.Reason) bool {
	for _, x := range list {
		if x == r {
			return true
		}
	}
	return false
}

type acceptedClaims struct {
	set   map[string]bool
	order []string
}

func acceptedOf(trail []appraise.Entry) acceptedClaims {
	out := acceptedClaims{set: map[string]bool{}}
	for _, t := range trail {
		if line := fmt.Sprintf("%s %s = %s", t.Attester, t.Claim, t.Value); t.Accepted && !out.set[line] {
			out.set[line] = true
			out.order = append(out.order, line)
		}
	}
	return out
}

func changesText(w io.Writer, s tty.Style, changes []change) error {
	var err error
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	n := 0
	for _, c := range changes {
		mark, arrow := s.Dim("="), c.Before.Verdict
		switch {
		case c.Worse:
			mark = s.Red("↓")
		case c.Before.Verdict != c.After.Verdict:
			mark = s.Green("↑")
		case c.Changed:
			mark = s.Yellow("~")
		}
		if c.Before.Verdict != c.After.Verdict {
			arrow += " → " + c.After.Verdict
		}
		if c.Changed {
			n++
		}
		line("%s %s  %s", mark, s.Bold(c.Evidence), arrow)
		for _, e := range []struct{ when, what string }{{"before", c.Before.Error}, {"after", c.After.Error}} {
			if e.what != "" {
				line("    %s: %s", e.when, e.what)
			}
		}
		for _, x := range c.ClaimsAccepted {
			line("    %s accepted: %s", s.Green("+"), x)
		}
		for _, x := range c.ClaimsLost {
			line("    %s no longer accepted: %s", s.Red("-"), x)
		}
		for _, r := range c.ReasonsAdded {
			line("    %s %s: %s", s.Red("+"), r.Code, r.What)
		}
		for _, r := range c.ReasonsGone {
			line("    %s %s: %s", s.Green("-"), r.Code, r.What)
		}
	}
	line("%d of %d would change; nothing was stored", n, len(changes))
	return err
}
