package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/translog"
)

// logName is the origin in checkpoints.
const logName = "assay-log"

// logSigner returns the key of the log of decisions, and leaves its public half beside it for auditors.
func logSigner(state string) (note.Signer, error) {
	s, vkey, err := translog.LoadOrCreate(filepath.Join(state, "log.key"), logName)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(state, "log.pub"), []byte(vkey+"\n"), 0o644); err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	return s, nil
}

func newLogCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Export the log of decisions and prove that nobody changed it",
		Long: `Every appraisal, release, refusal and administrative change is a line of a log whose head is signed once a second. Whoever
keeps an export, or only its checkpoint, can prove later that no line which it covered was changed, removed or moved.`,
	}
	var f adminFlags
	export := newLogExportCmd(a, &f)
	f.add(a, export)
	c.AddCommand(export, newLogVerifyCmd(a))
	return c
}

// logExport is the file of `assay log export`.
type logExport struct {
	Checkpoint string   `json:"checkpoint"`
	Leaves     []string `json:"leaves"`
}

func newLogExportCmd(a *app, f *adminFlags) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:     "export",
		Short:   "Fetch the log with its signed head",
		Example: "  assay log export -o today.json",
		Args:    cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			var e logExport
			if err := cl.do(cmd.Context(), "GET", "/v1/log/checkpoint", nil, &e); err != nil {
				return err
			}
			lines := strings.SplitN(e.Checkpoint, "\n", 3)
			size, err := strconv.ParseInt(lines[min(1, len(lines)-1)], 10, 64)
			if err != nil {
				return fault.New(fault.Unavailable, "the server's checkpoint names no size")
			}
			for int64(len(e.Leaves)) < size {
				var page struct{ Leaves []string }
				if err := cl.do(cmd.Context(), "GET", fmt.Sprintf("/v1/log/leaves?from=%d&limit=1000", len(e.Leaves)), nil, &page); err != nil {
					return err
				}
				if len(page.Leaves) == 0 {
					return fault.New(fault.Unavailable, "the server has %d lines, its checkpoint covers %d", len(e.Leaves), size)
				}
				e.Leaves = append(e.Leaves, page.Leaves...)
			}
			e.Leaves = e.Leaves[:size]
			b, err := json.MarshalIndent(e, "", " ")
			if err != nil {
				return fault.New(fault.Internal, "%w", err)
			}
			return a.output(out, 0o600, func(w io.Writer) error {
				_, err := w.Write(append(b, '\n'))
				return err
			})
		}),
	}
	c.Flags().StringVarP(&out, "output", "o", "-", "write to `FILE`")
	return c
}

func newLogVerifyCmd(a *app) *cobra.Command {
	var key string
	var older []string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an exported log against its signed head, and against heads kept from before (offline)",
		Long: `Computes the tree over all lines of the export, compares it with the signed head (inclusion of every line), and computes
the tree of each older size as well (consistency): a line changed since then cannot have the same hashes.`,
		Example: "  assay log verify today.json --key log.pub --older last-week.json",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			vkey, err := a.read(key)
			if err != nil {
				return err
			}
			e, head, err := a.readExport(args[0], string(vkey))
			if err != nil {
				return err
			}
			var heads []translog.Tree
			for _, name := range older {
				_, t, err := a.readExport(name, string(vkey))
				if err != nil {
					return err
				}
				heads = append(heads, t)
			}
			leaves := make([][]byte, len(e.Leaves))
			for i, l := range e.Leaves {
				leaves[i] = []byte(l)
			}
			if err := translog.Verify(leaves, head, heads...); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%d lines are as they were signed; root %s\n", head.Size, head.Root)
			return err
		}),
	}
	c.Flags().StringVar(&key, "key", "", "the log's public key: `FILE` log.pub from the server's state directory")
	c.Flags().StringArrayVar(&older, "older", nil, "an export or checkpoint kept from before: `FILE` (repeatable)")
	_ = c.MarkFlagRequired("key") // the flag is there
	return c
}

// readExport reads an export, or a checkpoint alone, and checks the signature of its head.
func (a *app) readExport(name, vkey string) (logExport, translog.Tree, error) {
	b, err := a.read(name)
	if err != nil {
		return logExport{}, translog.Tree{}, err
	}
	e := logExport{Checkpoint: string(b)}
	if strings.HasPrefix(strings.TrimSpace(string(b)), "{") {
		e = logExport{}
		if err := json.Unmarshal(b, &e); err != nil {
			return e, translog.Tree{}, fault.New(fault.Malformed, "%s is no export of a log: %w", name, err)
		}
	}
	t, err := translog.Open([]byte(e.Checkpoint), vkey)
	return e, t, fault.Wrap(err, "%s", name)
}
