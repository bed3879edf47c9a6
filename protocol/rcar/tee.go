package rcar

import "strings"

// Class is the family that a TEE's submodule belongs to in tokens (section 5).
type Class string

// The classes.
const (
	CPU    Class = "cpu"
	GPU    Class = "gpu"
	Switch Class = "switch"
	DCU    Class = "dcu"
	DPU    Class = "nvidia-dpu"
)

type teeRow struct {
	name      string // as claims and policies spell it
	class     Class
	primary   bool     // may be the primary evidence; a device never is (trustee-superset S12)
	spellings []string // further names on the wire
}

var tees = []teeRow{
	{"az-snp-vtpm", CPU, true, []string{"azsnpvtpm"}},
	{"az-tdx-vtpm", CPU, true, []string{"aztdxvtpm"}},
	{"snp", CPU, true, nil},
	{"tdx", CPU, true, nil},
	{"sgx", CPU, true, nil},
	{"cca", CPU, true, nil},
	{"csv", CPU, true, nil},
	{"se", CPU, true, nil},
	{"tpm", CPU, true, nil},
	{"sample", CPU, true, nil},
	{"nvidia", GPU, false, nil},
	{"hygondcu", DCU, false, nil},
	{"sampledevice", GPU, false, nil},
	{"nvidia-dpu", DPU, false, []string{"nvidiadpu", "dpu"}},
}

// TEE is a TEE string of the protocol, normalised.
type TEE struct {
	Name    string // hyphenated form
	Class   Class
	Primary bool // may stand in primary_evidence
}

// ParseTEE reads a TEE string in any of its spellings.
func ParseTEE(s string) (TEE, bool) {
	s = strings.ToLower(s)
	for _, r := range tees {
		if r.name == s || contains(r.spellings, s) {
			return TEE{Name: r.name, Class: r.class, Primary: r.primary}, true
		}
	}
	return TEE{}, false
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
