// Package builtin holds the text of the built-in policy: common.rego and one file per TEE, all of package assay. It
// is text only; package policy/rego compiles it.
package builtin

import (
	"embed"
	"io/fs"
	"regexp"
	"strings"
)

//go:embed *.rego
var files embed.FS

// Name is the name of the built-in policy in its id.
const Name = "builtin"

// File is one Rego file.
type File struct {
	Name, Text string
	// TEEs are the drivers whose attesters the rules speak of; nil for all. A policy about other attesters can do
	// without the file.
	TEEs []string
	// Optional names the parameters, if any, that the file does nothing without: while they have their defaults a policy
	// can do without the file.
	Optional string
}

// shared lists the files that several TEEs have in common. The file of TEEs of its own adds each of them to launch_claim;
// <tee>_options.rego holds what parameters may ask beyond it. What is neither counts for all.
func shared(stem string) []string {
	switch stem {
	case "intel":
		return []string{"tdx", "sgx"}
	}
	return nil
}

const options = "_options"

var launchClaim = regexp.MustCompile(`(?m)^launch_claim\["([a-z0-9-]+)"\]`)

func tees(stem, text string) []string {
	if tee, ok := strings.CutSuffix(stem, options); ok {
		return []string{tee}
	}
	var own []string
	for _, m := range launchClaim.FindAllStringSubmatch(text, -1) {
		own = append(own, m[1])
	}
	if own == nil {
		return shared(stem)
	}
	return own
}

// optional names the parameters that a file does nothing without.
func optional(stem string) string {
	if stem == "provenance" {
		return stem
	}
	tee, ok := strings.CutSuffix(stem, options)
	if !ok {
		return ""
	}
	return tee
}

// Files returns the modules of the built-in policy, without their tests, in the order of their names.
func Files() []File { return list(func(n string) bool { return !strings.HasSuffix(n, "_test.rego") }) }

// Tests returns the unit tests of the built-in policy, in Rego.
func Tests() []File { return list(func(n string) bool { return strings.HasSuffix(n, "_test.rego") }) }

func list(want func(string) bool) []File {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic("unreachable: " + err.Error())
	}
	var out []File
	for _, e := range entries {
		if !want(e.Name()) {
			continue
		}
		b, err := files.ReadFile(e.Name())
		if err != nil {
			panic("unreachable: " + err.Error())
		}
		stem := strings.TrimSuffix(e.Name(), ".rego")
		out = append(out, File{Name: "builtin/" + e.Name(), Text: string(b), TEEs: tees(stem, string(b)), Optional: optional(stem)})
	}
	return out
}
