package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store/sqlite"
)

func newStoreCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Back up, restore and check the SQLite store of a server",
		Long: `Works on the state directory itself, without a server. A backup holds sealed secrets, tickets and the log; the key that opens
the secrets (seal.age) is not in it: keep that apart. PostgreSQL has its own tools for these.`,
	}
	c.AddCommand(newStoreBackupCmd(a), newStoreRestoreCmd(a), newStoreFsckCmd(a))
	return c
}

func (a *app) openState(cmd *cobra.Command, state string) (*sqlite.Store, error) {
	path := filepath.Join(state, "assay.db")
	if _, err := os.Stat(path); err != nil {
		return nil, fault.New(fault.Usage, "there is no store: %w", err)
	}
	return sqlite.Open(cmd.Context(), sqlite.Config{Path: path})
}

func newStoreBackupCmd(a *app) *cobra.Command {
	state := stateDir(a.getenv)
	c := &cobra.Command{
		Use: "backup FILE", Short: "Write a consistent copy, also while the server runs", Args: cobra.ExactArgs(1),
		Example: "  assay store backup /backup/assay-$(date +%F).db",
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			s, err := a.openState(cmd, state)
			if err != nil {
				return err
			}
			return errors.Join(s.Backup(cmd.Context(), args[0]), s.Close())
		}),
	}
	c.Flags().StringVar(&state, "state", state, "state `DIR` of the server")
	return c
}

func newStoreRestoreCmd(a *app) *cobra.Command {
	state := stateDir(a.getenv)
	keep := false
	c := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup in the place of a store that is lost", Args: cobra.ExactArgs(1),
		Long: `The server must be stopped, and the old database moved away. A backup does not know what was released after it was made;
so every ticket that it believes to be open is burned, and has to be issued again.`,
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			path := filepath.Join(state, "assay.db")
			for _, p := range []string{path, path + "-wal", path + "-shm"} {
				if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
					return fault.New(fault.Usage, "%s is there; stop the server and move it away first", p)
				}
			}
			if err := makeState(state); err != nil {
				return err
			}
			if err := copyNew(args[0], path); err != nil {
				return err
			}
			s, err := a.openState(cmd, state)
			if err != nil {
				return err
			}
			defer s.Close()
			bad, err := s.Check(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.findings(bad); err != nil {
				return err
			}
			if keep {
				return nil
			}
			n, err := s.BurnOpen(cmd.Context(), release.Record{Time: a.now(), Kind: "admin", Actor: "local operator", Detail: "store restored from a backup"})
			if err == nil {
				_, err = fmt.Fprintf(a.stderr, "restored; %d open releases were burned, issue their tickets again\n", n)
			}
			return err
		}),
	}
	c.Flags().StringVar(&state, "state", state, "state `DIR` of the server")
	c.Flags().BoolVar(&keep, "keep-open-tickets-unsafe", false, "leave open tickets open: a secret that went out after the backup can go out again")
	return c
}

func copyNew(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fault.New(fault.Usage, "%w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	return nil
}

func newStoreFsckCmd(a *app) *cobra.Command {
	state := stateDir(a.getenv)
	c := &cobra.Command{
		Use: "fsck", Short: "Check that ledger, log and secrets agree with each other", Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			s, err := a.openState(cmd, state)
			if err != nil {
				return err
			}
			bad, err := s.Check(cmd.Context())
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			return a.findings(bad)
		}),
	}
	c.Flags().StringVar(&state, "state", state, "state `DIR` of the server")
	return c
}

// findings prints what does not hold.
func (a *app) findings(bad []string) error {
	if len(bad) == 0 {
		_, err := fmt.Fprintln(a.stdout, "everything agrees")
		return err
	}
	for _, f := range bad {
		fmt.Fprintln(a.stdout, f)
	}
	return fault.New(fault.Malformed, "the store contradicts itself in %d places; do not release from it before you know why", len(bad))
}
