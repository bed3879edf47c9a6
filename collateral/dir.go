package collateral

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/collateral/pcs"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Limits on what is read from disk.
const (
	maxBody    = 4 << 20 // bytes of one document
	maxSegment = 220     // bytes of a file name without its endings
	maxDepth   = 12      // elements of a request's path
)

// Endings of the files of a request: its answer, and the chain of issuers that came apart from it.
const (
	bodyExt   = ".body"
	issuerExt = ".issuer"
)

// Canonical returns req in the one spelling that stands for all requests of the same document: parameters in a fixed
// order, numbers without leading zeros.
func Canonical(req evidence.Request) evidence.Request {
	switch req.Service {
	case kds.Service:
		if d, err := kds.ParsePath(req.Path); err == nil {
			req.Path = d.Path()
		}
	case pcs.Service:
		if d, err := pcs.ParsePath(req.Path); err == nil {
			req.Path = d.Path()
		}
	}
	return req
}

// Dir is a directory of answers by request: DIR/SERVICE/PATH.body, with the parameters of the request at the end of
// PATH. It is the form of `collateral export` and of the cache on disk, so that either can be copied to the other.
type Dir struct{ root *os.Root }

// OpenDir opens an existing directory.
func OpenDir(name string) (*Dir, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fault.New(fault.Usage, "collateral directory: %w", err)
	}
	return &Dir{root}, nil
}

// Close releases the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Get reads the answer of req. What is not there is class unavailable. at is when it was stored.
func (d *Dir) Get(req evidence.Request) (r evidence.Response, at time.Time, err error) {
	name, err := fileName(req)
	if err != nil {
		return r, at, err
	}
	if r.Body, at, err = d.read(name + bodyExt); err != nil {
		return evidence.Response{}, at, err
	}
	if r.IssuerChain, _, err = d.read(name + issuerExt); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return evidence.Response{}, at, err
	}
	return r, at, nil
}

// Put stores an answer with the time at which it was had. A reader sees the old answer or the new one, never a part.
func (d *Dir) Put(req evidence.Request, r evidence.Response, at time.Time) error {
	name, err := fileName(req)
	if err != nil {
		return err
	}
	if err := d.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return fault.New(fault.Internal, "collateral directory: %w", err)
	}
	if len(r.IssuerChain) > 0 {
		if err := d.write(name+issuerExt, r.IssuerChain, at); err != nil {
			return err
		}
	} else if err := d.root.Remove(name + issuerExt); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Internal, "collateral directory: %w", err)
	}
	return d.write(name+bodyExt, r.Body, at)
}

// Remove deletes the answer of req; none is no error.
func (d *Dir) Remove(req evidence.Request) error {
	name, err := fileName(req)
	if err != nil {
		return err
	}
	for _, ext := range []string{bodyExt, issuerExt} {
		if err := d.root.Remove(name + ext); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Internal, "collateral directory: %w", err)
		}
	}
	return nil
}

func (d *Dir) read(name string) ([]byte, time.Time, error) {
	info, err := d.root.Stat(name) // before Open, which would wait at a pipe
	if err != nil {
		return nil, time.Time{}, fault.New(fault.Unavailable, "collateral directory: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, time.Time{}, fault.New(fault.Malformed, "%s in the collateral directory is not a regular file", name)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, time.Time{}, fault.New(fault.Unavailable, "collateral directory: %w", err)
	}
	defer f.Close()
	b, err := readBounded(f, name)
	return b, info.ModTime(), err
}

// readBounded reads up to the limit of one document.
func readBounded(f io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, maxBody+1))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%s: %w", name, err)
	}
	if len(b) > maxBody {
		return nil, fault.New(fault.Malformed, "%s has more than %d bytes", name, maxBody)
	}
	return b, nil
}

func (d *Dir) write(name string, b []byte, at time.Time) error {
	var id [8]byte
	rand.Read(id[:])
	tmp := name + "." + hex.EncodeToString(id[:]) // two processes may share the directory
	err := d.root.WriteFile(tmp, b, 0o600)
	if err == nil {
		err = d.root.Chtimes(tmp, at, at)
	}
	if err == nil {
		err = d.root.Rename(tmp, name)
	}
	if err != nil {
		_ = d.root.Remove(tmp) // what is left of it does no harm but takes space
		return fault.New(fault.Internal, "collateral directory: %w", err)
	}
	return nil
}

// fileName is the name of req below the directory. Segments that could mean something to a file system are escaped,
// and os.Root keeps what remains inside.
func fileName(req evidence.Request) (string, error) {
	req = Canonical(req)
	rest, rooted := strings.CutPrefix(req.Path, "/")
	segs := strings.Split(rest, "/")
	if req.Service == "" || req.Path == "" || len(segs) > maxDepth {
		return "", fault.New(fault.Malformed, "a request of collateral without service or path, or of more than %d elements", maxDepth)
	}
	name := escapeSegment(req.Service)
	if !rooted {
		name += "/%-" // no segment is escaped to this, so that "x" and "/x" stay apart
	}
	for _, s := range segs {
		e := escapeSegment(s)
		if len(e) > maxSegment {
			return "", fault.New(fault.Malformed, "an element of the request's path is too long for a file name")
		}
		name += "/" + e
	}
	return name, nil
}

// escapeSegment keeps letters, digits and what is harmless in a query, and writes the rest as %XX. A leading dot is
// not harmless; the empty segment becomes "%".
func escapeSegment(s string) string {
	const hexDigits = "0123456789ABCDEF"
	if s == "" {
		return "%"
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_?=&+~,", c) >= 0 || c == '.' && i > 0
		if plain {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(hexDigits[c>>4]) + string(hexDigits[c&15]))
		}
	}
	return b.String()
}
