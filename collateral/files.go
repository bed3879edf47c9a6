package collateral

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/oaktext"
	"github.com/assay-tee/assay/internal/protox"
)

// Limits on what the operator hands over, so that a wrong path does not read a whole disk.
const (
	maxGiven      = 256
	maxGivenBytes = 32 << 20
)

// Files is collateral that the operator named: single files, and directories. It is read once, at [LoadFiles]; of
// directories only the loose files are, their answers by request are looked up when asked for.
type Files struct {
	given [][]byte
	dirs  []*Dir
}

// LoadFiles reads the paths of --cert and --collateral. A file must be a certificate or list in DER or PEM, a
// certificate table of SNP, an SE header or image, Oak's Endorsements, or JSON. Of a directory the files of such kinds that lie directly in it are given, others
// are ignored; besides it may hold answers by request, as `collateral export` writes them ([Dir]) or in the layout of
// Trustee's offline store (vcek/HWID/…).
func LoadFiles(paths []string) (*Files, error) {
	f := &Files{}
	total := 0
	for _, p := range paths {
		if err := f.load(p, &total); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Close releases the directories.
func (f *Files) Close() error {
	var errs []error
	for _, d := range f.dirs {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

func (f *Files) load(name string, total *int) error {
	info, err := os.Stat(name)
	if err != nil {
		return fault.New(fault.Usage, "collateral: %w", err)
	}
	if !info.IsDir() {
		b, err := readFile(name)
		if err != nil {
			return err
		}
		if !recognised(b) {
			return fault.New(fault.Malformed, "%s is neither a certificate or list in DER or PEM, nor an SNP certificate table, nor JSON, nor an IBM SE image, nor Oak's Endorsements", name)
		}
		return f.add(b, total)
	}
	d, err := OpenDir(name)
	if err != nil {
		return err
	}
	f.dirs = append(f.dirs, d)
	entries, err := os.ReadDir(name)
	if err != nil {
		return fault.New(fault.Usage, "collateral: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		b, err := readFile(filepath.Join(name, e.Name()))
		if err != nil {
			return err
		}
		if recognised(b) {
			if err := f.add(b, total); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Files) add(b []byte, total *int) error {
	*total += len(b)
	if len(f.given) == maxGiven || *total > maxGivenBytes {
		return fault.New(fault.Usage, "more than %d files or %d MiB of collateral; put answers by request into a directory in the layout of `collateral export`", maxGiven, maxGivenBytes>>20)
	}
	f.given = append(f.given, b)
	return nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fault.New(fault.Usage, "collateral: %w", err)
	}
	defer f.Close()
	return readBounded(f, name)
}

// recognised tells by the first bytes whether b is of a kind that a driver could use.
func recognised(b []byte) bool {
	text := bytes.TrimSpace(b)
	switch {
	case len(b) > 2 && b[0] == 0x30 && b[1] >= 0x80: // a DER SEQUENCE of 128 bytes or more
		return true
	case bytes.Contains(b[:min(len(b), 4096)], []byte("-----BEGIN ")), bytes.HasPrefix(text, []byte("-----BEGIN%20")):
		return true
	case len(text) > 256 && (bytes.HasPrefix(text, []byte("3081")) || bytes.HasPrefix(text, []byte("3082"))): // DER as hex text, from a PCCS
		return true
	case len(text) > 0 && (text[0] == '{' || text[0] == '['):
		return true
	}
	return isCertTable(b) || isSEImage(b) || isOakEndorsements(b)
}

// isOakEndorsements looks for Oak's message Endorsements (oak.md section 11): nested messages of these numbers alone.
func isOakEndorsements(b []byte) bool {
	if oaktext.Is(b, oaktext.Endorsements) {
		return true
	}
	if len(b) < 4 || b[0]&7 != 2 {
		return false
	}
	m := protox.Parse("Endorsements", b)
	m.OneOf(1, 2, 3)
	for _, num := range []uint32{1, 2, 3, 8, 9} {
		m.Sub(num, "member")
	}
	m.Subs(10, "events")
	return m.Err() == nil && m.Unknown() == 0
}

// isSEImage looks for the header of an IBM Secure Execution image, alone or within a kernel image (ibm-se.md section 7).
func isSEImage(b []byte) bool {
	const magic, meta, metaOffset, pageSize, pages = "IBMSecEx", "SeImgLnx", 0xc000, 0x1000, 0x15
	if len(b) > metaOffset && bytes.HasPrefix(b[metaOffset:], []byte(meta)) {
		return true
	}
	for off := 0; off < pages*pageSize && off < len(b); off += pageSize {
		if bytes.HasPrefix(b[off:], []byte(magic)) {
			return true
		}
	}
	return false
}

// isCertTable looks for a GUID of the SNP certificate table at the start (evidence-snp.md section 14).
func isCertTable(b []byte) bool {
	if len(b) < 24 {
		return false
	}
	switch hex.EncodeToString(b[:16]) {
	case "63da758de6644564adc5f4b93be8accd", "a8074bc2a25a483eaae639c045a0b8a1", "4ab7b379bbac4fe4a02f05aef327c782",
		"c0b406a4a803495297433fb6014cd0ae", "92f81bc358114d3d97ffd19f88dc67ea":
		return true
	}
	return false
}

// Given implements evidence.Collateral.
func (f *Files) Given() [][]byte { return f.given }

// Get implements evidence.Collateral: it looks into the directories, in the order in which they were named.
func (f *Files) Get(_ context.Context, req evidence.Request) (evidence.Response, error) {
	for _, d := range f.dirs {
		r, _, err := d.Get(req)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
		if body := d.trustee(req); body != nil {
			return evidence.Response{Body: body}, nil
		}
	}
	return evidence.Response{}, fault.New(fault.Unavailable, "%s %s is not among the files given", req.Service, req.Path)
}

// trustee looks for a VCEK in the layout of Trustee's offline store (kbs-evidence.md section 2.2): by chip and TCB, else
// the only one of the chip if it is for this TCB.
func (d *Dir) trustee(req evidence.Request) []byte {
	doc, err := kds.ParsePath(req.Path)
	if req.Service != kds.Service || err != nil || doc.Kind != kds.VCEK {
		return nil
	}
	s := doc.SPL
	byTCB := fmt.Sprintf("bl%02d_tee%02d_snp%02d_ucode%02d", s.BootLoader, s.TEE, s.SNP, s.Microcode)
	if s.FMC != nil {
		byTCB += fmt.Sprintf("_fmc%02d", *s.FMC)
	}
	for _, name := range []string{byTCB + "_vcek.der", "vcek.der"} {
		body, _, err := d.read("vcek/" + hex.EncodeToString(doc.HWID) + "/" + name)
		if err == nil && kds.CheckAnswer(doc, body) == nil {
			return body
		}
	}
	return nil
}
