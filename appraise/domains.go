package appraise

import (
	"fmt"
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
)

// AcceptedDomain is an M-ECT or T-ECT of the accepted claims.
type AcceptedDomain struct {
	Domain     claim.Environment
	Members    []claim.Environment // or trustees
	Dependency bool                // trust dependency; otherwise membership
	// Uncorroborated lists trustees for which no reference value or endorsement was accepted. Whoever depends on them
	// cannot be better than they are.
	Uncorroborated []claim.Environment
	Source         *endorse.Source
}

// memberships is section 8.3.4.3.4: a domain is accepted when each of its members is an environment of the Evidence or
// another accepted domain. An edge that closes a circle fails the appraisal (specs corim.md A7).
func (g *engine) memberships(evidence []claim.ECT) error {
	known := func(m claim.Environment) bool {
		return slices.ContainsFunc(evidence, func(e claim.ECT) bool { return m.Contains(e.Environment) }) ||
			slices.ContainsFunc(g.out.Domains, func(d AcceptedDomain) bool { return !d.Dependency && d.Domain == m })
	}
	for again := true; again; {
		again = false
		for _, d := range g.domains {
			if d.Dependency || hasDomain(g.out.Domains, d) || slices.ContainsFunc(d.Members, func(m claim.Environment) bool { return !known(m) }) {
				continue
			}
			g.out.Domains = append(g.out.Domains, AcceptedDomain{Domain: d.Domain, Members: d.Members, Source: d.Source})
			again = true
			g.selectDomain(d.Domain)
		}
	}
	return acyclic(g.out.Domains, false)
}

// selectDomain brings up relations about a domain that has become accepted.
func (g *engine) selectDomain(env claim.Environment) {
	g.set.Select(&env, nil, &g.sel)
	g.schedule()
}

// dependencies is section 8.3.4.3.5: the domain is an accepted one, and all trustees are members of that very M-ECT
// (specs corim.md A4, A29).
func (g *engine) dependencies() error {
	for _, d := range g.domains {
		if !d.Dependency || hasDomain(g.out.Domains, d) {
			continue
		}
		members := g.members(d.Domain)
		if len(members) == 0 || slices.ContainsFunc(d.Members, func(t claim.Environment) bool { return !slices.Contains(members, t) }) {
			continue
		}
		g.out.Domains = append(g.out.Domains, AcceptedDomain{Domain: d.Domain, Members: d.Members, Dependency: true, Source: d.Source})
	}
	if err := acyclic(g.out.Domains, true); err != nil {
		return err
	}
	seen := map[claim.Environment]bool{}
	for i := range g.out.Domains {
		d := &g.out.Domains[i]
		for _, t := range d.Members {
			if d.Dependency && !g.corroborated(t, seen) {
				d.Uncorroborated = append(d.Uncorroborated, t)
			}
		}
	}
	return nil
}

// members joins the M-ECTs of one domain (section 8.2: same environment joins).
func (g *engine) members(domain claim.Environment) []claim.Environment {
	var out []claim.Environment
	for _, d := range g.out.Domains {
		if !d.Dependency && d.Domain == domain {
			out = append(out, d.Members...)
		}
	}
	return out
}

// corroborated reports whether something beside the Attester vouches for env: a reference value that matched, or, for a
// domain, for each of its members. The membership graph has no circles; seen keeps the cost linear in it.
func (g *engine) corroborated(env claim.Environment, seen map[claim.Environment]bool) bool {
	if known, done := seen[env]; done {
		return known
	}
	ok := slices.ContainsFunc(g.out.Accepted, func(a AcceptedECT) bool {
		return a.CMType == claim.CMReferenceValues && (env.Contains(a.Environment) || a.Environment.Contains(env))
	})
	if !ok {
		members := g.members(env)
		ok = len(members) > 0 && !slices.ContainsFunc(members, func(m claim.Environment) bool { return !g.corroborated(m, seen) })
	}
	seen[env] = ok
	return ok
}

func hasDomain(l []AcceptedDomain, d *endorse.Domain) bool {
	return slices.ContainsFunc(l, func(a AcceptedDomain) bool {
		return a.Source == d.Source && a.Dependency == d.Dependency && a.Domain == d.Domain && slices.Equal(a.Members, d.Members)
	})
}

// acyclic checks the post-condition of both steps and names the edges and signers of a circle.
func acyclic(l []AcceptedDomain, dependency bool) error {
	edges := map[claim.Environment][]AcceptedDomain{}
	for _, d := range l {
		if d.Dependency == dependency {
			edges[d.Domain] = append(edges[d.Domain], d)
		}
	}
	const visiting, done = 1, 2
	state := map[claim.Environment]int{}
	var visit func(e claim.Environment) error
	visit = func(e claim.Environment) error {
		state[e] = visiting
		for _, d := range edges[e] {
			for _, m := range d.Members {
				if state[m] == visiting {
					return fmt.Errorf("%s → %s, stated by %q, closes a circle", e, m, d.Source.Signer)
				}
				if state[m] == 0 {
					if err := visit(m); err != nil {
						return err
					}
				}
			}
		}
		state[e] = done
		return nil
	}
	for _, d := range l {
		if d.Dependency == dependency && state[d.Domain] == 0 {
			if err := visit(d.Domain); err != nil {
				return err
			}
		}
	}
	return nil
}
