package result

import (
	"encoding/json"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// trusteeAnnotated is ear.veraison.annotated-evidence as Trustee's readers know it (specs kbs-protocol.md section 12):
// the claims under the name of the TEE, report_data and init_data one level up.
func trusteeAnnotated(v *evidence.Verified) claim.Object {
	var inner, outer claim.Object
	for _, m := range v.Claims() {
		switch m.Name {
		case "report_data", "init_data":
			outer = append(outer, m)
		default:
			inner = append(inner, m)
		}
	}
	return append(claim.Object{{Name: v.TEE(), Value: claim.O(inner...)}}, outer...)
}

// annotate adds what the handshake has verified about the lead Attester.
func (d *document) annotate(o Options) error {
	if d.profile != ProfileTrustee {
		return nil
	}
	for _, x := range []struct {
		name string
		raw  json.RawMessage
	}{{"runtime_data_claims", o.RuntimeData}, {"init_data_claims", o.InitData}} {
		if x.raw == nil {
			continue
		}
		n, err := node(x.raw)
		if err != nil || n.Kind != claim.NodeObject {
			return fault.New(fault.Internal, "%s is not a JSON object", x.name)
		}
		d.submods[0].annotated = append(d.submods[0].annotated, claim.Member{Name: x.name, Value: n})
	}
	return nil
}
