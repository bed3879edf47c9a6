package simulator

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/assay-tee/assay/attester"
)

// TSM is the kernel's configfs-tsm tree of a guest, in memory: files on a disk could not answer to writes. It implements
// attester.FS below attester.DefaultRoot and behaves as Linux does: attributes count writes, a wrong inblob is noticed
// at the read of outblob only, levels below the floor are refused. Its error cases can be ordered.
type TSM struct {
	guest *Guest

	mu       sync.Mutex
	entries  map[string]*tsmEntry
	disturb  int
	fail     []error
	requests int
}

type tsmEntry struct {
	generation uint64
	level      uint32
	inblob     []byte
	answered   uint64 // generation of outblob and auxblob
	outblob    []byte
	auxblob    []byte
}

// TSM returns a fresh tree of g.
func (g *Guest) TSM() *TSM { return &TSM{guest: g, entries: map[string]*tsmEntry{}} }

// Disturb lets another process write its own inblob to the entry in the middle of each of the next n requests.
func (t *TSM) Disturb(n int) { t.mu.Lock(); t.disturb = n; t.mu.Unlock() }

// Fail lets the next requests end with these errors, as syscall.Errno, one each.
func (t *TSM) Fail(errs ...error) { t.mu.Lock(); t.fail = errs; t.mu.Unlock() }

// Requests counts how often firmware was asked for a report.
func (t *TSM) Requests() int { t.mu.Lock(); defer t.mu.Unlock(); return t.requests }

// Entries counts the entries that were not removed.
func (t *TSM) Entries() int { t.mu.Lock(); defer t.mu.Unlock(); return len(t.entries) }

// Mkdir implements attester.FS.
func (t *TSM) Mkdir(dir string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if path.Dir(dir) != attester.DefaultRoot {
		return pathErr("mkdir", dir, fs.ErrNotExist)
	}
	if t.entries[dir] != nil {
		return pathErr("mkdir", dir, fs.ErrExist)
	}
	t.entries[dir] = &tsmEntry{level: t.guest.cfg.VMPL}
	return nil
}

// Remove implements attester.FS.
func (t *TSM) Remove(dir string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries[dir] == nil {
		return pathErr("rmdir", dir, fs.ErrNotExist)
	}
	delete(t.entries, dir)
	return nil
}

// ReadFile implements attester.FS.
func (t *TSM) ReadFile(name string, limit int) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[path.Dir(name)]
	if e == nil {
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	var b []byte
	switch path.Base(name) {
	case "provider":
		b = []byte("sev_guest\n")
	case "generation":
		b = fmt.Appendf(nil, "%d\n", e.generation)
	case "privlevel_floor":
		b = fmt.Appendf(nil, "%d\n", t.guest.cfg.VMPL)
	case "outblob", "auxblob":
		if err := t.answer(e); err != nil {
			return nil, pathErr("read", name, err)
		}
		if b = e.outblob; path.Base(name) == "auxblob" {
			b = e.auxblob
		}
	case "inblob", "privlevel":
		return nil, pathErr("open", name, fs.ErrPermission)
	default:
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	return append([]byte(nil), b[:min(len(b), limit+1)]...), nil
}

// WriteFile implements attester.FS.
func (t *TSM) WriteFile(name string, data []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[path.Dir(name)]
	if e == nil {
		return pathErr("open", name, fs.ErrNotExist)
	}
	switch path.Base(name) {
	case "inblob":
		if len(data) > 64 {
			return pathErr("write", name, syscall.EFBIG)
		}
		e.inblob = append([]byte(nil), data...)
	case "privlevel":
		level, err := strconv.ParseUint(strings.TrimSpace(string(data)), 0, 32)
		if err != nil || level > 3 || uint32(level) < t.guest.cfg.VMPL {
			return pathErr("write", name, syscall.EINVAL)
		}
		e.level = uint32(level)
	case "outblob", "auxblob", "provider", "generation", "privlevel_floor":
		return pathErr("open", name, fs.ErrPermission)
	default:
		return pathErr("open", name, fs.ErrNotExist)
	}
	e.generation++
	return nil
}

// answer makes the blobs of e unless they are of its present generation.
func (t *TSM) answer(e *tsmEntry) error {
	if e.generation == e.answered && e.outblob != nil {
		return nil
	}
	if len(e.inblob) != 64 { // sev_report_new of the Linux driver
		return syscall.EINVAL
	}
	t.requests++
	if len(t.fail) > 0 {
		err := t.fail[0]
		t.fail = t.fail[1:]
		return err
	}
	if t.disturb > 0 {
		t.disturb--
		e.generation++
		e.inblob = make([]byte, 64)
	}
	var err error
	if e.outblob, err = t.guest.report([64]byte(e.inblob), e.level); err != nil {
		return err
	}
	if e.auxblob, err = t.guest.CertTable(); err != nil {
		return err
	}
	e.answered = e.generation
	return nil
}

func pathErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }
