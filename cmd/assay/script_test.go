package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"assay": func() {
			os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
		},
		"sev-snp-measure": func() {
			os.Exit(run(context.Background(), linkArgs(os.Args), os.Stdin, os.Stdout, os.Stderr, os.Getenv))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("ASSAY_VECTORS", os.Getenv("ASSAY_VECTORS"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "vectors" {
				return os.Getenv("ASSAY_VECTORS") != "", nil
			}
			return false, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exitcode":   exitCode,
			"env-file":   envFile,
			"json-field": jsonField,
		},
	})
}

// exitCode runs a command and compares its exit code: exitcode N command args… (stdout and stderr are kept for the
// next assertions).
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N command [args]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		ec, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = ec.ExitCode()
	}
	if args[0] != itoa(got) {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

func itoa(n int) string { return string(rune('0' + n)) }

// envFile sets a variable to the content of a file: env-file NAME FILE.
func envFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: env-file NAME FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// jsonField writes one text member of a JSON file to another file: json-field FILE NAME OUT.
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: json-field FILE NAME OUT")
	}
	var doc map[string]json.RawMessage
	var text string
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	ts.Check(json.Unmarshal(doc[args[1]], &text))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(text), 0o600))
}
