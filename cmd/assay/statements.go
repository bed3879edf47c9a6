package main

import (
	"strings"
	"time"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/endorse/gce"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/builtin"
	"github.com/assay-tee/assay/evidence/oak"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance"
)

// localOperator is how the trail names what was given on the command line.
const localOperator = "local operator"

// admit makes the endorsement set of one run: signed statements under the anchors, unsigned ones on the operator's own
// word, and the operator's expectations; builds are linked to the statements whose artefacts they made. A statement that
// is refused ends the run with its reason; it is not passed over, since the operator counts on it.
func (a *app) admit(at time.Time, signers []*endorse.Anchor, signed, unsigned []string, builds []*provenance.Verdict, expect ...spoken) (*endorse.Set, error) {
	b, err := endorse.NewBuilder(endorse.Config{Time: at, Anchors: signers, Profiles: profiles.All(), Forms: statementForms()})
	if err != nil {
		return nil, err
	}
	for _, v := range builds {
		if err := b.AddProvenance(v); err != nil {
			return nil, err
		}
	}
	for _, name := range signed {
		data, err := a.read(name)
		if err != nil {
			return nil, err
		}
		if corim.Sniff(data) == corim.KindUnsigned {
			return nil, fault.New(fault.Signature, "statement %s is not signed; sign it (assay corim sign), or take its word yourself with --unsigned-statement", name)
		}
		if _, err := b.Admit(data); err != nil {
			return nil, fault.Wrap(err, "statement %s", name)
		}
	}
	for _, name := range unsigned {
		data, err := a.read(name)
		if err != nil {
			return nil, err
		}
		if _, err := b.AdmitUnsigned(data, localOperator); err != nil {
			return nil, fault.Wrap(err, "unsigned statement %s", name)
		}
	}
	for _, x := range expect {
		if len(x.expect) == 0 {
			continue
		}
		if err := b.Local(x.by, "", x.expect); err != nil {
			return nil, err
		}
	}
	return b.Set(), nil
}

// statementForms are the signed statements that are understood beside CoRIM.
func statementForms() []endorse.Form { return []endorse.Form{gce.Form()} }

// launchNames is what "measurement" means for a TEE whose own name for it is another.
var launchNames = map[string]string{"tdx": "mr_td", "sgx": "mr_enclave", "se": "image_hdr_tags"}

// otherNames are spellings that people use for claims.
var otherNames = map[string]string{
	"mrtd": "mr_td", "mrenclave": "mr_enclave", "mrsigner": "mr_signer", "mrseam": "mr_seam", "mrconfigid": "mr_config_id",
	"mrowner": "mr_owner", "mrownerconfig": "mr_owner_config", "rtmr0": "rtmr_0", "rtmr1": "rtmr_1", "rtmr2": "rtmr_2", "rtmr3": "rtmr_3",
	"hostdata": "host_data", "chipid": "chip_id",
}

// oakNames are the names that `assay measure stage0` gives to what stage0 measures.
var oakNames = map[string]string{"setup_data": "kernel_setup_data", "cmdline": "kernel_cmdline_digest"}

// inNamesOf gives the expectations the names that evidence of a TEE has; tee is "" when there are several.
func inNamesOf(tee string, expect []endorse.Expectation) []endorse.Expectation {
	own := make([]endorse.Expectation, len(expect))
	for i, x := range expect {
		x.Name = strings.ToLower(x.Name)
		if n, ok := otherNames[x.Name]; ok {
			x.Name = n
		}
		if n, ok := launchNames[tee]; ok && x.Name == "measurement" {
			x.Name = n
		}
		if n, ok := oakNames[x.Name]; ok && tee == oak.Name {
			x.Name = n
		}
		own[i] = x
	}
	return own
}

// ofAttesters says which expectations count together. Claims of layered evidence are those of several attesters, and
// what is expected together must be in one; so there each expectation stands for itself. None may fail either way.
func ofAttesters(tee string, expect []endorse.Expectation) []spoken {
	if tee != oak.Name {
		return []spoken{{localOperator, expect}}
	}
	out := make([]spoken, len(expect))
	for i := range expect {
		out[i] = spoken{localOperator, expect[i : i+1]}
	}
	return out
}

// teeOf is the one TEE that all evidence is of, by its form, or "".
func teeOf(evs []evidence.Evidence) (string, error) {
	table, err := builtin.New()
	if err != nil {
		return "", err
	}
	tee := ""
	for i, ev := range evs {
		row, err := table.For(ev)
		if err != nil {
			return "", nil // told when it is authenticated
		}
		if i > 0 && row.Name != tee {
			return "", nil
		}
		tee = row.Name
	}
	return tee, nil
}
