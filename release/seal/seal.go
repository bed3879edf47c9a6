// Package seal keeps secrets at rest encrypted with age (X25519). The identity lives outside the store, so that a copy
// of the database opens nothing.
package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/assay-tee/assay/internal/fault"
)

// Sealer seals and opens. It holds one or more identities: the first seals, all open (rotation).
type Sealer struct {
	ids []*age.X25519Identity
}

// Load reads an identity file (one AGE-SECRET-KEY-1… a line, # comments). It must not be readable by others.
func Load(path string) (*Sealer, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fault.New(fault.Internal, "age identity: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Usage, "age identity %s is readable by others (mode %04o); chmod 600 it", path, st.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Internal, "age identity: %w", err)
	}
	defer clear(data)
	s := &Sealer{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, fault.New(fault.Malformed, "age identity %s: a line is not an X25519 identity", path)
		}
		s.ids = append(s.ids, id)
	}
	if len(s.ids) == 0 {
		return nil, fault.New(fault.Malformed, "age identity %s holds no identity", path)
	}
	return s, nil
}

// LoadOrCreate is [Load], and makes a new identity file (mode 0600) when there is none.
func LoadOrCreate(path string) (*Sealer, error) {
	s, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fault.As(fault.Internal, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fault.New(fault.Internal, "age identity: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return Load(path)
	}
	if err != nil {
		return nil, fault.New(fault.Internal, "age identity: %w", err)
	}
	_, werr := io.WriteString(f, "# Opens the secrets in the store beside it. Keep it apart from backups of the store.\n"+id.String()+"\n")
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return nil, fault.New(fault.Internal, "age identity: %w", err)
	}
	return &Sealer{ids: []*age.X25519Identity{id}}, nil
}

// Seal encrypts plaintext. label (path and version) is sealed with it, so that whoever can write the store cannot put
// one secret in the place of another.
func (s *Sealer) Seal(label string, plaintext []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.ids[0].Recipient())
	if err != nil {
		return nil, fault.As(fault.Internal, err)
	}
	head := binary.BigEndian.AppendUint16(nil, uint16(len(label)))
	if len(label) > 0xffff {
		return nil, fault.New(fault.Usage, "label too long")
	}
	for _, part := range [][]byte{head, []byte(label), plaintext} {
		if _, err := w.Write(part); err != nil {
			return nil, fault.As(fault.Internal, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fault.As(fault.Internal, err)
	}
	return out.Bytes(), nil
}

// Open is the inverse of Seal. A blob that was sealed under another label is refused.
func (s *Sealer) Open(label string, sealed []byte) ([]byte, error) {
	ids := make([]age.Identity, len(s.ids))
	for i, id := range s.ids {
		ids[i] = id
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the sealed secret does not open with this identity: %w", err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the sealed secret is damaged: %w", err)
	}
	if len(all) < 2 || len(all) < 2+int(binary.BigEndian.Uint16(all)) {
		return nil, fault.New(fault.Unavailable, "the sealed secret is damaged")
	}
	n := 2 + int(binary.BigEndian.Uint16(all))
	if string(all[2:n]) != label {
		return nil, fault.New(fault.Unavailable, "the sealed secret belongs to another path or version")
	}
	return all[n:], nil
}
