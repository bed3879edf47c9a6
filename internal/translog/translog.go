// Package translog is the tamper-evident log of decisions: an append-only Merkle tree (RFC 6962 hashes, by
// golang.org/x/mod/sumdb/tlog) whose head is signed as a checkpoint (sumdb/note, C2SP tlog-checkpoint). Whoever keeps an
// old checkpoint can tell whether a line that it covered was changed, removed or put in another place.
package translog

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-tee/assay/internal/fault"
)

// Hash is a hash of the tree.
type Hash = tlog.Hash

// Tree is the head of the log.
type Tree struct {
	Size int64
	Root Hash
}

// Grow returns the hashes to store, in order, after those of a tree of size leaves, and the new head. read returns stored
// hashes by their index.
func Grow(size int64, leaves [][]byte, read func([]int64) ([]Hash, error)) ([]Hash, Tree, error) {
	var fresh []Hash
	first := tlog.StoredHashCount(size)
	overlay := tlog.HashReaderFunc(func(indexes []int64) ([]Hash, error) {
		out := make([]Hash, len(indexes))
		var ask, at []int64
		for i, x := range indexes {
			if x >= first && x-first < int64(len(fresh)) {
				out[i] = fresh[x-first]
				continue
			}
			ask, at = append(ask, x), append(at, int64(i))
		}
		if len(ask) == 0 {
			return out, nil
		}
		old, err := read(ask)
		if err != nil {
			return nil, err
		}
		for k, h := range old {
			out[at[k]] = h
		}
		return out, nil
	})
	for i, leaf := range leaves {
		hs, err := tlog.StoredHashes(size+int64(i), leaf, overlay)
		if err != nil {
			return nil, Tree{}, fault.As(fault.Internal, err)
		}
		fresh = append(fresh, hs...)
	}
	t := Tree{Size: size + int64(len(leaves))}
	var err error
	t.Root, err = tlog.TreeHash(t.Size, overlay)
	return fresh, t, fault.As(fault.Internal, err)
}

// Stored returns how many hashes are stored for a tree of size leaves, which is the index of the next one.
func Stored(size int64) int64 { return tlog.StoredHashCount(size) }

// Of returns the head of the tree over leaves.
func Of(leaves [][]byte) (Tree, error) {
	_, t, err := Grow(0, leaves, func([]int64) ([]Hash, error) { return nil, errors.New("nothing is stored") })
	return t, err
}

// Sign writes the checkpoint of t. The signer's name is the origin.
func Sign(t Tree, s note.Signer) ([]byte, error) {
	out, err := note.Sign(&note.Note{Text: s.Name() + "\n" + strconv.FormatInt(t.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(t.Root[:]) + "\n"}, s)
	return out, fault.As(fault.Internal, err)
}

// Open checks the signature of a checkpoint under key, a note verifier key, and reads it.
func Open(checkpoint []byte, key string) (Tree, error) {
	v, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return Tree{}, fault.New(fault.Usage, "the log's key is not a verifier key (NAME+HASH+KEY): %w", err)
	}
	n, err := note.Open(checkpoint, note.VerifierList(v))
	if err != nil {
		return Tree{}, fault.New(fault.Signature, "the checkpoint is not signed by %s: %w", v.Name(), err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != v.Name() {
		return Tree{}, fault.New(fault.Malformed, "the checkpoint is not one of the log %s", v.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Tree{}, fault.New(fault.Malformed, "the checkpoint names no size")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(Hash{}) {
		return Tree{}, fault.New(fault.Malformed, "the checkpoint names no root hash")
	}
	return Tree{Size: size, Root: Hash(root)}, nil
}

// Verify checks that leaves are exactly what head covers, and that they continue what each of the older heads covered.
func Verify(leaves [][]byte, head Tree, older ...Tree) error {
	if int64(len(leaves)) != head.Size {
		return fault.New(fault.Signature, "the log has %d lines, its checkpoint covers %d", len(leaves), head.Size)
	}
	for _, t := range append([]Tree{head}, older...) {
		if t.Size > int64(len(leaves)) {
			return fault.New(fault.Signature, "an older checkpoint covers %d lines, the log has %d: it was cut", t.Size, len(leaves))
		}
		got, err := Of(leaves[:t.Size])
		if err != nil {
			return err
		}
		if got.Root != t.Root {
			return fault.New(fault.Signature, "the first %d lines are not those that the checkpoint of that size was signed for: the log was changed", t.Size)
		}
	}
	return nil
}

// LoadOrCreate reads the signing key of the log called name from path, or makes one (mode 0600). It returns the verifier
// key as well.
func LoadOrCreate(path, name string) (note.Signer, string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		skey, _, err := note.GenerateKey(rand.Reader, name)
		if err != nil {
			return nil, "", fault.As(fault.Usage, err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, "", fault.New(fault.Internal, "the log's key: %w", err)
		}
		_, werr := f.WriteString(skey + "\n")
		if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
			return nil, "", fault.New(fault.Internal, "the log's key: %w", err)
		}
		b = []byte(skey)
	} else if err != nil {
		return nil, "", fault.New(fault.Internal, "the log's key: %w", err)
	}
	return parse(strings.TrimSpace(string(b)), path)
}

func parse(skey, path string) (note.Signer, string, error) {
	s, err := note.NewSigner(skey)
	if err != nil {
		return nil, "", fault.New(fault.Malformed, "%s holds no signing key of a log", path)
	}
	// PRIVATE+KEY+<name>+<hash>+<base64 of algorithm byte and seed>
	parts := strings.SplitN(skey, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil {
		return nil, "", fault.New(fault.Malformed, "%s holds no signing key of a log", path)
	}
	vkey, err := note.NewEd25519VerifierKey(s.Name(), publicOf(seed[1:]))
	return s, vkey, fault.As(fault.Malformed, err)
}
