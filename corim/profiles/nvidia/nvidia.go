// Package nvidia reads the CoRIM files of NVIDIA's network devices, which follow an early draft and name no profile
// (specs corim-profiles.md section 9). They are read only with the relaxations listed here, for an anchor that is pinned
// to NVIDIA's signer.
package nvidia

import (
	"encoding/hex"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// Name is the name of this compatibility form.
const Name = "nvidia"

// Relax are the relaxations that the files need.
func Relax() []corim.Relaxation {
	return []corim.Relaxation{corim.RelaxLegacyPrefix, corim.RelaxBarePayload, corim.RelaxBstrAroundTag}
}

// Adapt puts the PCI ids of the signed tag-id into every environment of m as its model, because the class as signed,
// {vendor: "NVIDIA"}, matches every device of that vendor. It refuses, with class scope, a manifest that does not say
// which device it speaks of.
func Adapt(m *corim.Manifest) error {
	if m.Profile != "" {
		return fault.New(fault.Unsupported, "the NVIDIA compatibility form has no profile, this names %q", m.Profile)
	}
	for i := range m.CoMIDs {
		c := &m.CoMIDs[i]
		model, err := PCIModel(c.TagID)
		if err != nil {
			return err
		}
		for j := range c.Triples.Reference {
			env := &c.Triples.Reference[j].Environment
			if env.Class.Vendor.V != "NVIDIA" || env.Class.Model.Set && env.Class.Model.V != model {
				return fault.New(fault.Scope, "tag %v speaks of %v", c.TagID, *env)
			}
			env.Class.Model = claim.Some(model)
		}
	}
	m.Warnings = append(m.Warnings, "the device model was taken from the PCI ids of the signed tag-id")
	return nil
}

// PCIModel takes the 18 hex digits (vendor, device, subsystem vendor, subsystem device, revision) off a tag-id of the
// form "15b3102115b3003300-28.39.4082".
func PCIModel(tagID claim.ID) (string, error) {
	ids, _, ok := strings.Cut(tagID.TextContent(), "-")
	if _, err := hex.DecodeString(ids); !ok || err != nil || len(ids) != 18 {
		return "", fault.New(fault.Scope, "the tag-id %v does not begin with the PCI ids of a device, so this statement would speak of all of them", tagID)
	}
	return strings.ToLower(ids), nil
}
