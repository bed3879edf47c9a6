// Package builtin holds the text of the built-in policy: common.rego and one file per TEE, all of package assay. It
// is text only; package policy/rego compiles it.
package builtin

import (
	"embed"
	"io/fs"
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
	// Optional files hold rules of one TEE that do nothing while the parameters have their defaults.
	Optional bool
}

// shared lists the files that several TEEs have in common. The file of a single TEE is named after it and adds it to
// launch_claim; <tee>_options.rego holds what parameters may ask beyond it. What is neither counts for all.
func shared(stem string) []string {
	switch stem {
	case "intel":
		return []string{"tdx", "sgx"}
	}
	return nil
}

const optional = "_options"

func tees(stem, text string) []string {
	if tee, ok := strings.CutSuffix(stem, optional); ok {
		return []string{tee}
	}
	if strings.Contains(text, "\nlaunch_claim[\""+stem+"\"]") {
		return []string{stem}
	}
	return shared(stem)
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
		out = append(out, File{Name: "builtin/" + e.Name(), Text: string(b), TEEs: tees(stem, string(b)), Optional: strings.HasSuffix(stem, optional)})
	}
	return out
}
