package rego

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/policy"
)

// The document that a policy sees as input (docs/policy.md). It is built as OPA's own values, without a detour through
// JSON, because every verdict pays for it.

// str makes a string term; short-cuts the names that occur in every input.
func str(s string) *ast.Term { return ast.InternedTerm(s) }

func boolean(b bool) *ast.Term { return ast.InternedTerm(b) }

func uintTerm(u uint64) *ast.Term { return ast.NewTerm(ast.Number(strconv.FormatUint(u, 10))) }

func pair(name string, v *ast.Term) [2]*ast.Term { return [2]*ast.Term{str(name), v} }

func strs(list []string) *ast.Term {
	out := make([]*ast.Term, len(list))
	for i, s := range list {
		out[i] = str(s)
	}
	return ast.ArrayTerm(out...)
}

// input builds the document of one question.
func input(at time.Time, attesters []*appraise.Attester, q policy.Question, params *ast.Term) ast.Object {
	list := make([]*ast.Term, len(attesters))
	for i, a := range attesters {
		list[i] = attester(a)
	}
	return ast.NewObject(
		pair("time", str(at.UTC().Format(time.RFC3339))),
		pair("time_unix", uintTerm(uint64(max(at.Unix(), 0)))),
		pair("question", ast.ObjectTerm(pair("release", boolean(q.Release)), pair("resource", str(q.Resource)))),
		pair("params", params),
		pair("attesters", ast.ArrayTerm(list...)),
	)
}

func attester(a *appraise.Attester) *ast.Term {
	v := a.Evidence
	root, bound, win := v.Root(), v.Binding(), v.Window()
	return ast.ObjectTerm(
		pair("label", str(a.Label)),
		pair("tee", str(v.TEE())),
		pair("product", str(v.Product())),
		pair("claims", object(v.Claims())),
		pair("trail", trail(a.Trail)),
		pair("endorsed", endorsed(a.Accepted)),
		pair("unmet", unmet(a.Unmet)),
		pair("failed", str(a.Failed)),
		pair("root", ast.ObjectTerm(
			pair("name", str(root.Name)), pair("sha256", str(hex.EncodeToString(root.SHA256[:]))),
			pair("builtin", boolean(root.BuiltIn)), pair("simulated", boolean(root.Simulated)))),
		pair("binding", ast.ObjectTerm(pair("bound", boolean(bound.Bound)), pair("field", str(bound.Field)),
			pair("key", boolean(len(bound.Key) > 0)))),
		pair("window", ast.ObjectTerm(pair("not_before", when(win.NotBefore)), pair("not_after", when(win.NotAfter)))),
		pair("notes", strs(v.Notes())),
		pair("unsafe", strs(v.Unsafe())),
	)
}

func when(t time.Time) *ast.Term {
	if t.IsZero() {
		return ast.InternedNullTerm
	}
	return uintTerm(uint64(max(t.Unix(), 0)))
}

func object(o claim.Object) *ast.Term {
	pairs := make([][2]*ast.Term, len(o))
	for i, m := range o {
		pairs[i] = [2]*ast.Term{str(m.Name), node(m.Value)}
	}
	return ast.ObjectTerm(pairs...)
}

func node(n claim.Node) *ast.Term {
	switch n.Kind {
	case claim.NodeText, claim.NodeHex:
		return str(n.Text())
	case claim.NodeUint:
		return uintTerm(n.Uint())
	case claim.NodeInt:
		return ast.NewTerm(ast.Number(strconv.FormatInt(n.Int(), 10)))
	case claim.NodeBool:
		return boolean(n.Bool())
	case claim.NodeList:
		out := make([]*ast.Term, len(n.List()))
		for i, e := range n.List() {
			out[i] = node(e)
		}
		return ast.ArrayTerm(out...)
	case claim.NodeObject:
		return object(n.Object())
	}
	return ast.InternedNullTerm
}

// trail renders the entries that say something: those that a statement vouches for, and those that a statement came
// near to. A claim that occurs several times counts as accepted only if every occurrence is.
func trail(entries []appraise.Entry) *ast.Term {
	pairs := make([][2]*ast.Term, 0, 4)
	for i, e := range entries {
		if !e.Accepted && e.Nearest == nil && len(e.Registers) == 0 || earlier(entries[:i], e.Claim) {
			continue
		}
		accepted, vouchers := e.Accepted, make([]*ast.Term, 0, len(e.Vouchers))
		vouchers = appendVouchers(vouchers, e.Vouchers)
		for _, other := range entries[i+1:] {
			if other.Claim == e.Claim {
				accepted = accepted && other.Accepted
				vouchers = appendVouchers(vouchers, other.Vouchers)
			}
		}
		fields := [][2]*ast.Term{pair("value", str(e.Value)), pair("accepted", boolean(accepted)), pair("vouchers", ast.ArrayTerm(vouchers...))}
		if len(e.Registers) > 0 {
			fields = append(fields, pair("registers", strs(e.Registers)))
		}
		if e.Nearest != nil {
			fields = append(fields, pair("nearest", nearest(e.Nearest)))
		}
		pairs = append(pairs, [2]*ast.Term{str(e.Claim), ast.ObjectTerm(fields...)})
	}
	return ast.ObjectTerm(pairs...)
}

// earlier reports whether an entry of that claim has come before; if that one was not worth rendering, neither is the
// claim accepted, so nothing is lost by rendering the first only when it is.
func earlier(before []appraise.Entry, claim string) bool {
	for _, b := range before {
		if b.Claim == claim {
			return true
		}
	}
	return false
}

func appendVouchers(out []*ast.Term, vs []appraise.Voucher) []*ast.Term {
	for _, v := range vs {
		out = append(out, ast.ObjectTerm(append(source(v.Source), pair("relation", str(v.Relation)))...))
	}
	return out
}

func unmet(list []appraise.Nearest) *ast.Term {
	out := make([]*ast.Term, len(list))
	for i := range list {
		out[i] = nearest(&list[i])
	}
	return ast.ArrayTerm(out...)
}

func nearest(n *appraise.Nearest) *ast.Term {
	return ast.ObjectTerm(append(source(n.Source), pair("what", str(n.What)), pair("evidence", str(n.Evidence)), pair("statement", str(n.Statement)), pair("why", str(n.Why)))...)
}

// source renders who spoke.
func source(s *endorse.Source) [][2]*ast.Term {
	if s == nil {
		return nil
	}
	return [][2]*ast.Term{
		pair("kind", str(s.Kind)), pair("id", str(s.ID)), pair("signer", str(s.Signer)), pair("signer_key", str(s.SignerKey)),
		pair("anchor", str(s.Anchor)), pair("scope", str(s.Scope)), pair("provenance", provenance(s.Provenance)),
	}
}

func provenance(links []endorse.ProvenanceLink) *ast.Term {
	out := make([]*ast.Term, len(links))
	for i, l := range links {
		out[i] = ast.ObjectTerm(pair("artefact", str(l.Artefact)), pair("builder", str(l.Builder)), pair("level", uintTerm(uint64(max(l.Level, 0)))),
			pair("source", str(l.Source)), pair("ref", str(l.Ref)), pair("commit", str(l.Commit)), pair("workflow", str(l.Workflow)),
			pair("run", str(l.Run)), pair("signer", str(l.Signer)), pair("log", str(l.Log)), pair("log_index", str(l.LogIndex)),
			pair("time", when(l.Time)), pair("sha256", str(l.SHA256)))
	}
	return ast.ArrayTerm(out...)
}

// endorsed renders what statements added to the evidence's own claims (endorsed values), by name: each name holds the
// list of values that were added under it, with who added them.
func endorsed(acs []appraise.AcceptedECT) *ast.Term {
	var names []string
	by := map[string][]*ast.Term{}
	for _, e := range acs {
		if e.Source == nil || e.CMType != claim.CMEndorsements {
			continue
		}
		for _, el := range e.Elements {
			name := el.Name
			if name == "" && el.Key.Kind == claim.KindText {
				name = el.Key.TextContent()
			}
			val, ok := value(el.Values)
			if name == "" || !ok {
				continue
			}
			if by[name] == nil {
				names = append(names, name)
			}
			by[name] = append(by[name], ast.ObjectTerm(append(source(e.Source), pair("value", val))...))
		}
	}
	pairs := make([][2]*ast.Term, len(names))
	for i, n := range names {
		pairs[i] = [2]*ast.Term{str(n), ast.ArrayTerm(by[n]...)}
	}
	return ast.ObjectTerm(pairs...)
}

// value renders the one scalar of v; an element with none of them is nothing that a policy can read.
func value(v claim.Values) (*ast.Term, bool) {
	switch {
	case v.Name != nil:
		return str(*v.Name), true
	case v.Text != nil && v.Text.Set == nil:
		return str(v.Text.Value), true
	case v.Bool != nil:
		return boolean(*v.Bool), true
	case v.SVN != nil && !v.SVN.Min:
		return uintTerm(v.SVN.Value), true
	case v.IntRange != nil && v.IntRange.Value != nil:
		return ast.NewTerm(ast.Number(v.IntRange.Value.String())), true
	case v.Version != nil:
		return str(v.Version.Text), true
	case v.Serial != nil:
		return str(*v.Serial), true
	}
	return nil, false
}
