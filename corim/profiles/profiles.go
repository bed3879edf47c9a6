// Package profiles is the table of all CoRIM profiles that this module knows.
package profiles

import (
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/corim/profiles/assaytdx"
	"github.com/assay-tee/assay/corim/profiles/cca"
	"github.com/assay-tee/assay/corim/profiles/intel"
	"github.com/assay-tee/assay/corim/profiles/intelpoe"
	"github.com/assay-tee/assay/corim/profiles/psa"
)

// All returns the registry of every profile.
func All() corim.Registry {
	return corim.NewRegistry(amdsnp.Profile(), intel.Profile(), intelpoe.Profile(), assaytdx.Profile(), cca.Platform(), cca.Realm(), psa.Profile())
}
