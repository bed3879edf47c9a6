// Package snp predicts the launch measurements of AMD SEV, SEV-ES and SEV-SNP guests, and makes ID blocks
// (specs measure.md sections 2 to 11 and 18).
package snp

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/assay-tee/assay/measure"
)

// PageSize is the unit of SNP_LAUNCH_UPDATE in bytes; a 2 MiB page is measured as 512 of them.
const PageSize = 4096

// PageType is the page type of SNP_LAUNCH_UPDATE (SEV-SNP firmware ABI 56860).
type PageType uint8

// The page types.
const (
	PageNormal     PageType = 1
	PageVMSA       PageType = 2
	PageZero       PageType = 3
	PageUnmeasured PageType = 4
	PageSecrets    PageType = 5
	PageCPUID      PageType = 6
)

func (t PageType) String() string {
	names := [...]string{"type 0", "NORMAL", "VMSA", "ZERO", "UNMEASURED", "SECRETS", "CPUID"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Launch is a running launch digest. The zero Launch is the state before the first page.
type Launch struct {
	LD measure.SHA384
	// Trace, when set, receives one step per run of pages.
	Trace *[]measure.Step

	// last is the content of the page hashed last: firmware has long runs of equal pages, and comparing is an order of
	// magnitude cheaper than hashing.
	last    []byte
	lastSum [sha512.Size384]byte
}

// pageInfo is the length of the PAGE_INFO structure in bytes.
const pageInfo = 0x70

func (l *Launch) fold(t PageType, gpa uint64, contents *[sha512.Size384]byte) {
	var b [pageInfo]byte // digest_cur, contents, length, type, IMI flag, VMPL permissions, GPA
	copy(b[:], l.LD[:])
	copy(b[0x30:], contents[:])
	binary.LittleEndian.PutUint16(b[0x60:], pageInfo)
	b[0x62] = byte(t)
	binary.LittleEndian.PutUint64(b[0x68:], gpa)
	l.LD = sha512.Sum384(b[:])
}

// Content folds in pages whose content is measured (NORMAL, VMSA). len(data) is a multiple of [PageSize].
func (l *Launch) Content(t PageType, gpa uint64, data []byte, what string) {
	for off := 0; off < len(data); off += PageSize {
		page := data[off : off+PageSize]
		if l.last == nil || !bytes.Equal(page, l.last) {
			l.lastSum = sha512.Sum384(page)
			l.last = page
		}
		l.fold(t, gpa+uint64(off), &l.lastSum)
	}
	if l.Trace != nil {
		sum := sha512.Sum384(data)
		l.step(t, gpa, uint64(len(data)), what, hex.EncodeToString(sum[:]))
	}
}

// Bare folds in size bytes of pages of which only the type and the address are measured (all types but NORMAL and VMSA).
func (l *Launch) Bare(t PageType, gpa, size uint64, what string) {
	var zero [sha512.Size384]byte
	for off := uint64(0); off < size; off += PageSize {
		l.fold(t, gpa+off, &zero)
	}
	l.step(t, gpa, size, what, "")
}

func (l *Launch) step(t PageType, gpa, size uint64, what, digest string) {
	if l.Trace != nil {
		*l.Trace = append(*l.Trace, measure.Step{What: what, Kind: t.String(), GPA: fmt.Sprintf("0x%x", gpa), Bytes: size, Digest: digest, After: l.LD.String()})
	}
}
