// Package profiles is the table of all CoRIM profiles that this module knows.
package profiles

import (
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
)

// All returns the registry of every profile.
func All() corim.Registry { return corim.NewRegistry(amdsnp.Profile()) }
