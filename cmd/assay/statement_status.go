package main

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/corim/profiles/assaytdx"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
)

type statusFlags struct {
	tee, id, upToDate, at, fleet string
	about, cves                  []string
	life                         time.Duration
	key, name, out               string
}

func newStatementStatusCmd(a *app) *cobra.Command {
	var f statusFlags
	c := &cobra.Command{
		Use:   "status",
		Short: "Sign what is known today about something that was launched: up to date, vulnerable, or below the fleet",
		Long: `Makes and signs a short-lived statement (a CoRIM of conditional endorsements) about whatever has the values of --for. It
vouches for no measurement by itself. A later status with the same id supersedes an earlier one, and an earlier one is
refused from then on. Verifiers read it like any statement; a policy can demand one that is not too old (status.max_age).`,
		Example: `  assay statement status --id fw-1.4 --for measurement=7f51… --uptodate-as-of now --valid-for 168h --key publisher.key --name "Example Firmware" -o status.corim
  assay statement status --id fw-1.3 --for measurement=0a3c… --cve CVE-2026-1234 --key publisher.key --name "Example Firmware" -o status.corim
  assay statement status --id fleet --fleet-floor reported_tcb=0xdb19000000000004 --key operator.key --name "Example Cloud" -o fleet.corim`,
		Args: cobra.NoArgs,
		RunE: runE(func(*cobra.Command, []string) error { return a.statementStatus(f) }),
	}
	fl := c.Flags()
	fl.StringVar(&f.tee, "tee", "snp", "`TEE` that it is about: snp or tdx")
	fl.StringVar(&f.id, "id", "", "`ID` of the statement, one for each thing that it speaks about")
	fl.StringArrayVar(&f.about, "for", nil, "what it is about, as `NAME=HEX` with the names of assay corim create (repeatable; a name may repeat)")
	fl.StringVar(&f.upToDate, "uptodate-as-of", "", "nothing newer was known at this `TIME` (RFC 3339, or now)")
	fl.StringArrayVar(&f.cves, "cve", nil, "it is subject to this vulnerability, by `NAME` (repeatable)")
	fl.StringVar(&f.fleet, "fleet-floor", "", "the least level of the fleet as `NAME=NUMBER`: reported_tcb, current_tcb, committed_tcb or launch_tcb (compared component by component), or guest_svn")
	fl.StringVar(&f.at, "as-of", "now", "`TIME` of this knowledge where --uptodate-as-of does not say it")
	fl.DurationVar(&f.life, "valid-for", 7*24*time.Hour, "`DURATION` that it holds, at most 2160h")
	fl.StringVar(&f.key, "key", "", "`FILE` with the private key (assay key generate)")
	fl.StringVar(&f.name, "name", "", "`NAME` of the signer, as readers will see it")
	fl.StringVarP(&f.out, "output", "o", "", "write to `FILE`")
	return c
}

func (a *app) statementStatus(f statusFlags) error {
	if f.key == "" || f.name == "" {
		return fault.New(fault.Usage, "say who signs: --key FILE --name NAME")
	}
	m, err := a.statusManifest(f)
	if err != nil {
		return err
	}
	b, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
	if err != nil {
		return err
	}
	key, err := keys.Load(f.key)
	if err != nil {
		return err
	}
	signed, err := corim.Sign(b, key.Signer, corim.SignOptions{SignerName: f.name, Validity: m.Validity})
	if err != nil {
		return err
	}
	return a.output(f.out, 0o644, func(w io.Writer) error { _, err := w.Write(signed); return err })
}

// statusManifest says the same about each environment of the TEE and about each combination of --for.
func (a *app) statusManifest(f statusFlags) (*corim.Manifest, error) {
	st := endorse.Status{ID: f.id, SubjectTo: f.cves, UpToDate: f.upToDate != ""}
	var envs []claim.Environment
	var element func(string, []byte) (claim.Element, error)
	switch f.tee {
	case "snp":
		st.Profile, envs, element = amdsnp.ID, []claim.Environment{amdsnp.Class(false), amdsnp.Class(true)}, amdsnpElement
	case "tdx":
		st.Profile, envs, element = assaytdx.ID, []claim.Environment{assaytdx.TD()}, tdxElement
	default:
		return nil, fault.New(fault.Unsupported, "a status of %q cannot be made from single values (snp, tdx)", f.tee)
	}
	when := f.at
	if st.UpToDate {
		when = f.upToDate
	}
	if when == "now" {
		when = ""
	}
	var err error
	if st.AsOf, err = a.clock(when); err != nil {
		return nil, err
	}
	if st.AsOf.After(a.now()) {
		return nil, fault.New(fault.Usage, "%s has not come yet; a status tells what is known, not what will be", st.AsOf.Format(time.RFC3339))
	}
	st.NotAfter = st.AsOf.Add(f.life)
	if st.Fleet, err = fleetFloor(f.tee, f.fleet); err != nil {
		return nil, err
	}
	_, expect, err := bindingAndExpectations(verifyFlags{expect: f.about})
	if err != nil {
		return nil, err
	}
	states, err := combinations(inNamesOf(f.tee, expect), element)
	if err != nil {
		return nil, err
	}
	var whole *corim.Manifest
	for _, st.Elements = range states {
		for _, st.Environment = range envs {
			m, err := st.Manifest()
			if err != nil {
				return nil, err
			}
			if whole == nil {
				whole = m
				continue
			}
			t, add := &whole.CoMIDs[0].Triples, m.CoMIDs[0].Triples
			t.Conditional, t.Series = append(t.Conditional, add.Conditional...), append(t.Series, add.Series...)
		}
	}
	return whole, nil
}

// fleetFloor reads NAME=NUMBER into a condition, nil for "".
func fleetFloor(tee, s string) (*claim.Element, error) {
	if s == "" {
		return nil, nil
	}
	name, num, _ := strings.Cut(s, "=")
	key, known := map[string]uint64{"guest_svn": amdsnp.KeyGuestSVN, "current_tcb": amdsnp.KeyCurrentTCB, "reported_tcb": amdsnp.KeyReportedTCB,
		"committed_tcb": amdsnp.KeyCommittedTCB, "launch_tcb": amdsnp.KeyLaunchTCB}[strings.ReplaceAll(name, "-", "_")]
	if tee != "snp" || !known {
		return nil, fault.New(fault.Usage, "--fleet-floor %q: a level can be given for snp as reported_tcb, current_tcb, committed_tcb, launch_tcb or guest_svn", s)
	}
	n, err := strconv.ParseUint(num, 0, 64)
	if err != nil {
		return nil, fault.New(fault.Usage, "--fleet-floor %q: %q is no number; write 0x and 16 hex digits for a TCB version", s, num)
	}
	return &claim.Element{Key: claim.Uint(key), Values: claim.Values{SVN: &claim.SVN{Value: n, Min: true}}}, nil
}
