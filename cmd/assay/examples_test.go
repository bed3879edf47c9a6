package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// freshRoot is the command line of a user in an empty environment.
func freshRoot() *cobra.Command {
	var sink bytes.Buffer
	a := &app{ctx: context.Background(), stdin: strings.NewReader(""), stdout: &sink, stderr: &sink, getenv: func(string) string { return "" }}
	return newRoot(a)
}

func everyCommand(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, s := range c.Commands() {
		everyCommand(s, visit)
	}
}

// exampleLines are the calls of assay in a text: lines that begin with it, joined where they go on.
func exampleLines(text string) []string {
	var out []string
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "./")
		for strings.Contains(line, "=") && !strings.HasPrefix(line, "assay ") && assignment.MatchString(line) {
			_, line, _ = strings.Cut(line, " ")
		}
		if strings.HasPrefix(line, "assay ") {
			out = append(out, line)
		}
	}
	return out
}

var (
	assignment = regexp.MustCompile(`^[A-Z_]+=\S+ `)
	remark     = regexp.MustCompile(`\s{2,}# .*$`)
	word       = regexp.MustCompile(`(?:"[^"]*"|\$\([^)]*\)|[^\s"])+`)
)

// checkCall says why a call cannot be what its author meant: no such verb, no such flag, or another number of arguments.
func checkCall(t *testing.T, where, line string) {
	t.Helper()
	line = strings.TrimSpace(remark.ReplaceAllString(line, ""))
	line, _, _ = strings.Cut(line, " > ")
	args := word.FindAllString(line, -1)[1:]
	c, rest, err := freshRoot().Find(args)
	if err != nil || !c.Runnable() {
		t.Errorf("%s: %q names no verb: %v", where, line, err)
		return
	}
	if err := c.ParseFlags(rest); err != nil {
		// A value that is elided, as in 4f3c…, is text here and may not parse; a flag that is not there is an error.
		if strings.Contains(err.Error(), "unknown") {
			t.Errorf("%s: %q: %v", where, line, err)
		}
		return
	}
	if c.Args == nil || strings.Contains(line, "…") && c.Flags().NArg() > 0 {
		return
	}
	if err := c.Args(c, c.Flags().Args()); err != nil {
		t.Errorf("%s: %q: %v", where, line, err)
	}
}

func TestExamplesOfHelpAreCalls(t *testing.T) {
	n := 0
	everyCommand(freshRoot(), func(c *cobra.Command) {
		for _, line := range exampleLines(c.Example) {
			n++
			checkCall(t, c.CommandPath(), line)
		}
	})
	if n < 20 {
		t.Errorf("only %d examples were found", n)
	}
}

func TestExamplesOfDocumentsAreCalls(t *testing.T) {
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatal("no documents: ", err)
	}
	n := 0
	for _, name := range append(docs, "../../README.md") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.ReplaceAll(string(b), "\\\n", " ")) {
			if !strings.HasPrefix(line, "    ") { // code is indented
				continue
			}
			for _, call := range exampleLines(line) {
				n++
				checkCall(t, filepath.Base(name), call)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d examples were found", n)
	}
}

// A document that a help text, a configuration or a document names is there.
func TestDocumentsThatAreNamedExist(t *testing.T) {
	named := regexp.MustCompile(`docs/[a-z0-9/-]+\.md`)
	texts := map[string]string{}
	everyCommand(freshRoot(), func(c *cobra.Command) {
		text := c.Long
		c.Flags().VisitAll(func(f *pflag.Flag) { text += "\n" + f.Usage })
		texts[c.CommandPath()] = text
	})
	cfg := defaultServeConfig(func(string) string { return "" })
	printed, err := cfg.print()
	if err != nil {
		t.Fatal(err)
	}
	texts["--print-config"] = string(printed)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	texts["README.md"] = string(readme)
	for where, text := range texts {
		for _, doc := range named.FindAllString(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", doc)); err != nil {
				t.Errorf("%s names %s: %v", where, doc, err)
			}
		}
	}
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		if !strings.Contains(string(readme), "docs/"+filepath.Base(doc)) {
			t.Errorf("README.md does not lead to docs/%s", filepath.Base(doc))
		}
	}
}
