// Package pgtest starts a PostgreSQL server of the machine's own for tests, on a socket in a temporary directory, and
// stops it with the test. Where there is none, the test is skipped and says so.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a running PostgreSQL.
type Server struct {
	dir string
	n   atomic.Int64
}

// Start starts a server.
func Start(tb testing.TB) *Server {
	tb.Helper()
	bin := find()
	if bin == "" {
		tb.Skip("no PostgreSQL server is installed (initdb and postgres; Debian: postgresql): its store is not tested")
	}
	// Socket paths are short: the directory is not below the test's own.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	cred := unprivileged(tb, dir)
	run := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "LC_ALL=C", "HOME="+dir)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGQUIT}
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "assay", "-A", "trust", "-N").CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, out)
	}
	// Flushing is left out: tests kill processes, not machines.
	srv := run("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=200", "-F")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		tb.Fatal(err)
	}
	srv.Stdout, srv.Stderr = log, log
	if err := srv.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = srv.Process.Signal(syscall.SIGQUIT)
		_ = srv.Wait()
		log.Close()
	})
	s := &Server{dir: dir}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := pgx.Connect(context.Background(), s.url("postgres"))
		if err == nil {
			c.Close(context.Background())
			return s
		}
		if time.Now().After(deadline) {
			out, _ := os.ReadFile(log.Name())
			tb.Fatalf("PostgreSQL does not answer: %v\n%s", err, out)
		}
	}
}

// Database makes an empty database and returns its URL.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	c, err := pgx.Connect(context.Background(), s.url("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close(context.Background())
	name := fmt.Sprintf("t%d", s.n.Add(1))
	if _, err := c.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	return s.url(name)
}

func (s *Server) url(db string) string { return "postgres:///" + db + "?host=" + s.dir + "&user=assay" }

// find returns the directory of the newest server that is installed.
func find() string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(dirs, func(a, b string) int {
		n := func(s string) int { v, _ := strconv.Atoi(filepath.Base(filepath.Dir(s))); return v }
		return n(b) - n(a)
	})
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, "initdb")); err == nil {
			return d
		}
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p)
	}
	return ""
}

// unprivileged returns another user when the test runs as root, which PostgreSQL refuses, and gives him dir.
func unprivileged(tb testing.TB, dir string) *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			tb.Skip("PostgreSQL does not run as root, and there is no other user here: its store is not tested")
		}
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		tb.Skip("the test directory cannot be given to another user: ", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
