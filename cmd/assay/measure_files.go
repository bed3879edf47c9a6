package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"io"
	"io/fs"
	"os"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/statement"
)

const (
	maxFirmware = ovmf.MaxImage // bytes that are read whole
	maxStreamed = 1 << 30       // bytes of a kernel or initrd, which are hashed as they are read
)

// openArtefact opens a file that is to be measured. Directories, pipes and sockets are refused before they are opened: a
// pipe would block, and could not be read a second time for the digests of the inputs. /dev/null is an empty file.
func (a *app) openArtefact(name string, limit int64) (*os.File, int64, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, 0, fault.New(fault.Usage, "%w", err)
	}
	switch mode := st.Mode(); {
	case mode.IsDir():
		return nil, 0, fault.New(fault.Usage, "%s is a directory, a file is wanted", name)
	case mode.IsRegular(), mode&fs.ModeCharDevice != 0 && name == os.DevNull:
	default:
		return nil, 0, fault.New(fault.Usage, "%s is neither a regular file nor %s; copy it to a file first", name, os.DevNull)
	}
	if st.Size() > limit {
		return nil, 0, fault.New(fault.Malformed, "%s has %d bytes; at most %d MiB are read", name, st.Size(), limit>>20)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fault.New(fault.Usage, "%w", err)
	}
	return f, st.Size(), nil
}

// readArtefact reads a file whole, up to limit bytes.
func (a *app) readArtefact(name string, limit int64) ([]byte, error) {
	f, size, err := a.openArtefact(name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, size)
	n, err := io.ReadFull(f, b)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, fault.New(fault.Internal, "reading %s: %w", name, err)
	}
	return b[:n], nil
}

// diskStart reads the first blocks of a disk image or block device: the partition table lies there.
func diskStart(name string) ([]byte, error) {
	const most = 1 << 20
	st, err := os.Stat(name)
	if err != nil {
		return nil, fault.New(fault.Usage, "%w", err)
	}
	if m := st.Mode(); !m.IsRegular() && (m&fs.ModeDevice == 0 || m&fs.ModeCharDevice != 0) {
		return nil, fault.New(fault.Usage, "%s is neither a regular file nor a block device", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fault.New(fault.Usage, "%w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, fault.New(fault.Internal, "reading %s: %w", name, err)
	}
	return b, nil
}

// firmware reads and parses a firmware image.
func (a *app) firmware(name string) (*ovmf.Image, error) {
	b, err := a.readArtefact(name, maxFirmware)
	if err != nil {
		return nil, err
	}
	img, err := ovmf.Parse(b)
	return img, fault.Wrap(err, "%s", name)
}

// addInput records an artefact with its digests.
func (a *app) addInput(p *statement.Prediction, role, name string) error {
	if name == "" {
		return nil
	}
	f, _, err := a.openArtefact(name, maxStreamed)
	if err != nil {
		return err
	}
	defer f.Close()
	s256, s384 := sha256.New(), sha512.New384()
	n, err := io.Copy(io.MultiWriter(s256, s384), io.LimitReader(f, maxStreamed))
	if err != nil {
		return fault.New(fault.Internal, "reading %s: %w", name, err)
	}
	p.Inputs = append(p.Inputs, statement.Input{Role: role, Name: name, Bytes: n,
		Digests: statement.Digests{SHA256: hex.EncodeToString(s256.Sum(nil)), SHA384: hex.EncodeToString(s384.Sum(nil))}})
	return nil
}
