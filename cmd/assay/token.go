package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/internal/tty"
	"github.com/assay-tee/assay/result"
)

func newTokenCmd(a *app) *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "Verify and look into Attestation Results"}
	c.AddCommand(newTokenVerifyCmd(a), newTokenInspectCmd(a))
	return c
}

type tokenFlags struct {
	kind     string
	issuer   string
	roots    []string
	keys     []string
	at       string
	nonce    string
	audience string
	profiles []string
	insecure bool
	format   string
}

func newTokenVerifyCmd(a *app) *cobra.Command {
	var f tokenFlags
	c := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check a signed Attestation Result (EAR) as a relying party would",
		Long: `Checks signature, profile, times, nonce, audience and the consistency of status and trust vector. Exit 0 says that the
result is genuine and affirming, 6 that it is genuine and not affirming.`,
		Example: "  assay token verify result.jwt --key verifier.pub --nonce 4f3c…",
		Args:    cobra.MaximumNArgs(1),
		RunE:    runE(func(_ *cobra.Command, args []string) error { return a.tokenVerify(f, args) }),
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.keys, "key", nil, "`FILE` with the public key of a Verifier you rely on: PEM, JWK or JWK set (repeatable, required)")
	fl.StringVar(&f.at, "at", "", "check as of this `TIME` (RFC 3339) instead of now")
	fl.StringVar(&f.nonce, "nonce", "", "the `HEX` nonce that you asked with")
	fl.StringVar(&f.audience, "audience", "", "the `NAME` that the result must be addressed to")
	fl.StringVar(&f.kind, "kind", "", "a token of another service: `maa`, confidential-space or trust-authority; --nonce is then text as the token shows it")
	fl.StringVar(&f.issuer, "issuer", "", "the `URL` that must have issued it (with --kind)")
	fl.StringArrayVar(&f.roots, "root", nil, "`FILE` with a root to which the token's own certificates may chain (with --kind, repeatable)")
	fl.StringArrayVar(&f.profiles, "profile", nil, "accepted `DIALECT`: 03 (default), veraison, trustee (repeatable)")
	fl.BoolVar(&f.insecure, "allow-insecure", false, "accept results that their issuer marked as insecure")
	fl.StringVar(&f.format, "format", "text", "`text` or json")
	return c
}

func (a *app) tokenVerify(f tokenFlags, args []string) error {
	at, err := a.clock(f.at)
	if err != nil {
		return err
	}
	if f.kind != "" {
		return a.foreignVerify(f, at, args)
	}
	cfg := result.VerifyConfig{Time: at, Audience: f.audience, AllowInsecure: f.insecure}
	if len(f.keys) == 0 {
		return fault.New(fault.Usage, "name the Verifier you rely on: --key FILE with its public key")
	}
	for _, name := range f.keys {
		b, err := a.read(name)
		if err != nil {
			return err
		}
		ks, err := keys.ParsePublic(b)
		if err != nil {
			return fault.Wrap(err, "--key %s", name)
		}
		cfg.Keys = append(cfg.Keys, ks...)
	}
	for _, p := range f.profiles {
		prof, err := result.ParseProfile(p)
		if err != nil {
			return err
		}
		cfg.Profiles = append(cfg.Profiles, prof)
	}
	if f.nonce != "" {
		if cfg.Nonce, err = unhex("--nonce", f.nonce); err != nil {
			return err
		}
	}
	token, err := a.readToken(args)
	if err != nil {
		return err
	}
	acc, err := result.Verify(token, cfg)
	if fault.Is(err, fault.Denied) && !f.insecure {
		return fault.New(fault.Denied, "%w; --allow-insecure accepts it, for trying things out", err)
	}
	if err != nil {
		return err
	}
	if err := a.showAccepted(acc, f.format); err != nil {
		return err
	}
	if acc.Status() != claim.TierAffirming {
		return verdictError{exitNotAffirming}
	}
	return nil
}

// readToken reads a token from FILE or standard input; the white space around a JWT does not count. Every byte of a CWT
// does, which begins with a byte that no text has first.
func (a *app) readToken(args []string) ([]byte, error) {
	name := stdinArg
	if len(args) > 0 {
		name = args[0]
	}
	b, err := a.read(name)
	if len(b) > 0 && b[0] >= 0xc0 {
		return b, err
	}
	return []byte(strings.TrimSpace(string(b))), err
}

// acceptedView is `assay token verify --format json`.
type acceptedView struct {
	Schema   string       `json:"schema"`
	Status   string       `json:"status"`
	Profile  string       `json:"profile"`
	Issued   time.Time    `json:"issued_at"`
	Expires  time.Time    `json:"expires_at,omitzero"`
	Issuer   string       `json:"issuer,omitempty"`
	Key      string       `json:"key"`
	Nonce    claim.Node   `json:"nonce"`
	Insecure []string     `json:"insecure,omitempty"`
	Submods  []submodView `json:"submods"`
}

type submodView struct {
	Label    string         `json:"label"`
	Status   string         `json:"status"`
	Vector   map[string]int `json:"trust_vector"`
	Policies []string       `json:"policies,omitempty"`
	Trail    claim.Object   `json:"trail,omitempty"`
}

func (a *app) showAccepted(acc *result.Accepted, format string) error {
	v := acceptedView{Schema: "assay.token/v1", Status: acc.Status().String(), Profile: string(acc.Profile()), Issued: acc.IssuedAt().UTC(), Expires: acc.Expires().UTC(),
		Issuer: acc.Issuer(), Key: acc.Key().KID, Insecure: acc.Insecure(), Nonce: claim.Null()}
	if n := acc.Nonce(); n != nil {
		v.Nonce = claim.H(n)
	}
	for _, s := range acc.Submods() {
		m := submodView{Label: s.Label(), Status: s.Status().String(), Vector: map[string]int{}, Policies: s.PolicyIDs(), Trail: s.Trail()}
		for i, x := range s.Vector() {
			if x.Set {
				m.Vector[claim.VectorMember(i).String()] = int(x.V)
			}
		}
		v.Submods = append(v.Submods, m)
	}
	switch format {
	case "json":
		return writeJSON(a.stdout, v)
	case "text":
		return v.text(a.stdout, tty.For(a.stdout, a.getenv))
	}
	return fault.New(fault.Usage, "--format %q: text or json", format)
}

func (v acceptedView) text(w io.Writer, s tty.Style) error {
	fmt.Fprintf(w, "%s  genuine, signed by key %s\n", s.Bold(strings.ToUpper(v.Status)), v.Key)
	fmt.Fprintf(w, "  profile  %s\n  issued   %s", v.Profile, v.Issued.Format(time.RFC3339))
	if !v.Expires.IsZero() {
		fmt.Fprintf(w, ", holds until %s", v.Expires.Format(time.RFC3339))
	}
	fmt.Fprintln(w)
	for _, u := range v.Insecure {
		fmt.Fprintln(w, s.Yellow("! insecure: "+u))
	}
	for _, m := range v.Submods {
		fmt.Fprintf(w, "  %s  %s", s.Bold(m.Label), m.Status)
		for _, name := range sortedKeys(m.Vector) {
			fmt.Fprintf(w, "  %s %d", name, m.Vector[name])
		}
		fmt.Fprintln(w)
		for _, p := range m.Policies {
			fmt.Fprintf(w, "      %s\n", s.Dim(p))
		}
	}
	return nil
}

func sortedKeys(m map[string]int) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
