package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
)

// toolVersion is the release of sev-snp-measure whose command line and digests the drop-in has.
const toolVersion = "0.0.13"

// linkArgs turns the arguments of a link to this program into those of the verb behind it, so that scripts that call
// sev-snp-measure or snp-create-id-block need no change.
func linkArgs(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	switch strings.TrimSuffix(filepath.Base(argv[0]), ".exe") {
	case "sev-snp-measure":
		return append([]string{"measure", "sev-snp-measure"}, argv[1:]...)
	case "snp-create-id-block":
		return append([]string{"measure", "id-block"}, argv[1:]...)
	}
	return argv[1:]
}

// newSEVSNPMeasureCmd is sev-snp-measure: --mode is required, and what is no wrong call ends with "Error: …" and exit code 1.
func newSEVSNPMeasureCmd(a *app) *cobra.Command {
	var f launchFlags
	var version bool
	c := &cobra.Command{Use: "sev-snp-measure", Hidden: true, Args: cobra.NoArgs, Short: "The command line of sev-snp-measure " + toolVersion}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if version {
			_, err := fmt.Fprintln(a.stdout, "sev-snp-measure "+toolVersion)
			return err
		}
		f.given = cmd.Flags().Changed
		if f.mode == "" {
			return fault.New(fault.Usage, "the following arguments are required: --mode")
		}
		err := a.measureLaunch(&f)
		if err == nil || fault.Is(err, fault.Usage) {
			return err
		}
		var v verdictError
		if errors.As(err, &v) {
			return err
		}
		fmt.Fprintf(a.stderr, "Error: %v\n", err)
		return verdictError{1}
	}
	f.flags(c.Flags())
	c.Flags().BoolVar(&version, "version", false, "print the version")
	return c
}
