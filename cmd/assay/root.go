package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/tty"
)

// app is what every verb gets from outside: the streams, the environment and the clock.
type app struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	now    func() time.Time
}

// exitNotAffirming is the exit code for "authentic, but appraised as not affirming" (DESIGN.md section 4). It is a
// verdict and not an error, hence not in the table of faults.
const exitNotAffirming = 6

// verdictError ends the process with a verdict's exit code without another message.
type verdictError struct{ code int }

func (e verdictError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// shownError is an error whose text has already been printed as part of a report.
type shownError struct{ err error }

func (e shownError) Error() string { return e.err.Error() }
func (e shownError) Unwrap() error { return e.err }

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := &app{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv, now: time.Now}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exit(root.ExecuteContext(ctx))
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "assay",
		Short: "Verify the evidence of confidential machines, say why, and release secrets only then",
		Long: "Assay decides whether a confidential machine can be trusted, says why, and only then hands it its secrets.\n\n" +
			"Exit codes: 0 done or affirming, 1 internal, 2 called wrongly, 3 malformed or unsupported, 4 not authentic,\n" +
			"5 not fresh or not bound, 6 authentic but not affirming, 7 denied, 8 could not decide (retry).",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.New(fault.Usage, "%w; see '%s --help'", err, c.CommandPath())
	})
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(verbs(a)...)
	nameArguments(root)
	return root
}

// nameArguments lets a call with too few or too many arguments be answered with those that are wanted.
func nameArguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fault.New(fault.Usage, "%w; call it as: %s", err, cmd.UseLine())
			}
			return nil
		}
	}
	for _, s := range c.Commands() {
		nameArguments(s)
	}
}

// verbs lists every verb of the command line, in the order of DESIGN.md section 4.
func verbs(a *app) []*cobra.Command {
	return []*cobra.Command{
		newVerifyCmd(a),
		newInspectCmd(a),
		newTokenCmd(a),
		newKeyCmd(a),
		newCorimCmd(a),
		newProvenanceCmd(a),
		newAttestCmd(a),
		newGetCmd(a),
		newMeasureCmd(a),
		newServeCmd(a),
		newSecretCmd(a),
		newTicketCmd(a),
		newMachineCmd(a),
		newPolicyCmd(a),
		newStatementCmd(a),
		newLogCmd(a),
		newStoreCmd(a),
		newDemoCmd(a),
		newCollateralCmd(a),
		newSeCmd(a),
		newSimCmd(a),
		newVersionCmd(a),
	}
}

// exit prints err, if it has not been shown, and returns its exit code.
func (a *app) exit(err error) int {
	var v verdictError
	var shown shownError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &v):
		return v.code
	case errors.As(err, &shown):
		return fault.ClassOf(err).ExitCode()
	}
	var classified *fault.Error
	if !errors.As(err, &classified) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		err = fault.New(fault.Usage, "%w", err) // cobra's own: unknown command, wrong number of arguments
	}
	style := tty.For(a.stderr, a.getenv)
	fmt.Fprintf(a.stderr, "assay: %s: %v\n", style.Red(fault.ClassOf(err).String()), err)
	return fault.ClassOf(err).ExitCode()
}

// runE adapts a verb: an error without a class of its own is internal, never mistaken for a wrong call.
func runE(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		var v verdictError
		if err == nil || errors.As(err, &v) {
			return err
		}
		return fault.As(fault.Internal, err)
	}
}

const (
	maxInput = 64 << 20 // bytes of any one input file
	stdinArg = "-"
)

// read reads a file, or standard input for "-", up to maxInput bytes.
func (a *app) read(name string) ([]byte, error) {
	r := a.stdin
	if name != stdinArg {
		f, err := os.Open(name)
		if err != nil {
			return nil, fault.New(fault.Usage, "%w", err)
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return nil, fault.New(fault.Usage, "%s is a directory, a file is wanted", name)
		}
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fault.New(fault.Internal, "reading %s: %w", name, err)
	}
	if len(b) > maxInput {
		return nil, fault.New(fault.Malformed, "%s is larger than %d MiB", name, maxInput>>20)
	}
	return b, nil
}

// output opens -o FILE, or standard output for "" and "-". The file appears whole or not at all.
func (a *app) output(name string, perm os.FileMode, write func(io.Writer) error) error {
	if name == "" || name == stdinArg {
		return write(a.stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".assay-*")
	if err != nil {
		return fault.New(fault.Usage, "cannot write %s: %w", name, err)
	}
	defer os.Remove(f.Name())
	err = write(f)
	if err == nil {
		err = f.Chmod(perm)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fault.New(fault.Internal, "writing %s: %w", name, err)
	}
	return nil
}

// writeJSON writes v indented, with a final newline.
func writeJSON(w io.Writer, v jsonValue) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// jsonValue is anything that encoding/json renders.
type jsonValue = any
