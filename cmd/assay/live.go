package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/provenance"
	"github.com/assay-tee/assay/provenance/check"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/store"
)

// loader returns how the server loads what administrators store: on top of the configuration's own policies and
// statements, so that a stored one can be taken away again without a restart.
func (a *app) loader(c serveConfig, signers []*endorse.Anchor) (func(context.Context, server.Documents) (server.Live, error), error) {
	params, own, err := a.policyFiles(c.Policies, c.Params, c.InsecureSimulator)
	if err != nil {
		return nil, err
	}
	known, err := a.provenance(c.Provenance, c.ProvenanceExpect, a.now().UTC())
	if err != nil {
		return nil, err
	}
	var statements [][]byte
	for _, name := range c.Statements {
		b, err := a.read(name)
		if err != nil {
			return nil, err
		}
		statements = append(statements, b)
	}
	return func(_ context.Context, docs server.Documents) (server.Live, error) {
		var l server.Live
		mods := append([]rego.Module(nil), own...)
		for _, d := range docs.Policies {
			switch {
			case d.ID == server.ResourcePolicyID:
				p, err := rego.CompileResource(string(d.Data))
				if err != nil {
					return l, err
				}
				l.Resource = p
			case strings.HasPrefix(d.ID, server.PolicyPrefix):
				mods = append(mods, rego.Module{Name: d.ID, Text: string(d.Data)})
			default:
				return l, fault.New(fault.Unsupported, "policy %q: attestation policies of Trustee are not evaluated; write one of package assay.extra and store it as %sNAME", d.ID, server.PolicyPrefix)
			}
		}
		var err error
		if l.Policy, err = rego.Load(mods, params); err != nil {
			return l, err
		}
		builds, rest, err := a.storedBuilds(c.ProvenanceExpect, docs.Statements)
		if err != nil {
			return l, err
		}
		set, err := a.storedSet(signers, append(known[:len(known):len(known)], builds...), statements, rest)
		l.Statements = func() *endorse.Set { return set }
		return l, err
	}, nil
}

// storedBuilds takes the attestations of builds out of what is stored and verifies them. One that is too old by now no
// longer vouches for anything.
func (a *app) storedBuilds(expectations string, stored []store.Document) (builds []*provenance.Verdict, rest []store.Document, err error) {
	for _, d := range stored {
		if strings.HasPrefix(d.ID, server.ReferenceValuePrefix) || !isAttestation(d.Data) {
			rest = append(rest, d)
			continue
		}
		if expectations == "" {
			return nil, nil, fault.New(fault.Usage, "%s is an attestation of a build, and this server has no provenance_expect that says whom to believe about builds", d.ID)
		}
		cfg, err := a.expectations(expectFlags{File: expectations})
		if err != nil {
			return nil, nil, err
		}
		v, err := check.File(d.Data, cfg)
		if d.Version > 0 && fault.Is(err, fault.Stale) {
			continue
		}
		if err != nil {
			return nil, nil, fault.Wrap(err, "%s", d.ID)
		}
		builds = append(builds, v)
	}
	return builds, rest, nil
}

// isAttestation reports whether b looks like JSON with an attestation in it; CoRIMs are CBOR.
func isAttestation(b []byte) bool {
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	return bytes.HasPrefix(line, []byte("{")) && (bytes.Contains(b, []byte(`"payloadType"`)) || bytes.Contains(b, []byte(`"dsseEnvelope"`)) || bytes.Contains(b, []byte(`"attestations"`)) || bytes.Contains(b, []byte(`"provenance_summary"`)))
}

func (a *app) storedSet(signers []*endorse.Anchor, builds []*provenance.Verdict, own [][]byte, stored []store.Document) (*endorse.Set, error) {
	b, err := endorse.NewBuilder(endorse.Config{Time: a.now().UTC(), Anchors: signers, Profiles: profiles.All(), Forms: statementForms()})
	if err != nil {
		return nil, err
	}
	for _, v := range builds {
		if err := b.AddProvenance(v); err != nil {
			return nil, err
		}
	}
	for _, data := range own {
		if _, err := b.Admit(data); err != nil {
			return nil, err
		}
	}
	for _, d := range stored {
		if name, ok := strings.CutPrefix(d.ID, server.ReferenceValuePrefix); ok {
			err = addReferenceValue(b, name, d)
		} else {
			_, err = b.Admit(d.Data)
		}
		if d.Version > 0 && fault.Is(err, fault.Expired) {
			continue // it was good when it was stored, and vouches for nothing any more
		}
		if err != nil {
			return nil, fault.Wrap(err, "%s", d.ID)
		}
	}
	return b.Set(), nil
}

// addReferenceValue takes the reference values of RVPS that say what may be launched. Nobody signed them: the trail
// names the administrator who stored them.
func addReferenceValue(b *endorse.Builder, name string, d store.Document) error {
	if name != "snp_launch_measurement" {
		return fault.New(fault.Unsupported, "reference value %q is read by nothing here; give it as a signed statement (assay statement submit)", name)
	}
	var rv struct{ Value []string }
	if err := json.Unmarshal(d.Data, &rv); err != nil {
		return fault.New(fault.Malformed, "the value is not an array of hex strings: %w", err)
	}
	var values [][]byte
	for _, s := range rv.Value {
		v, err := hex.DecodeString(s)
		if err != nil {
			return fault.New(fault.Malformed, "%q is not hex", s)
		}
		values = append(values, v)
	}
	if len(values) == 0 {
		return nil
	}
	return b.Local("administrator "+d.By, "snp", []endorse.Expectation{{Name: "measurement", Values: values}})
}
