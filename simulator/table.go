package simulator

import (
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
)

// TableEntry is a blob in the certificate table that a host hands to its guest.
type TableEntry struct {
	GUID [16]byte // in text order
	Data []byte
}

// GUIDs of the table (evidence-snp.md section 14).
var (
	guidVCEK = guid("63da758de6644564adc5f4b93be8accd")
	guidVLEK = guid("a8074bc2a25a483eaae639c045a0b8a1")
	guidASK  = guid("4ab7b379bbac4fe4a02f05aef327c782")
	guidARK  = guid("c0b406a4a803495297433fb6014cd0ae")
	guidCRL  = guid("92f81bc358114d3d97ffd19f88dc67ea")
)

func guid(text string) [16]byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic("unreachable: constant GUIDs are hex: " + err.Error())
	}
	return [16]byte(b)
}

// CertTable builds a table: entries of GUID, offset and length, an entry of zeros, and the blobs.
func CertTable(entries ...TableEntry) []byte {
	out := make([]byte, 24*(len(entries)+1))
	for i, e := range entries {
		head := out[24*i:]
		copy(head, e.GUID[:])
		binary.LittleEndian.PutUint32(head[16:], uint32(len(out)))
		binary.LittleEndian.PutUint32(head[20:], uint32(len(e.Data)))
		out = append(out, e.Data...)
	}
	return out
}

// VEKEntry is the entry of a VCEK (or VLEK) certificate; ASKEntry, ARKEntry and CRLEntry are those of the others.
func VEKEntry(vlek bool, der []byte) TableEntry {
	if vlek {
		return TableEntry{guidVLEK, der}
	}
	return TableEntry{guidVCEK, der}
}

// ASKEntry is the entry of an ASK or ASVK.
func ASKEntry(c *x509.Certificate) TableEntry { return TableEntry{guidASK, c.Raw} }

// ARKEntry is the entry of an ARK.
func ARKEntry(c *x509.Certificate) TableEntry { return TableEntry{guidARK, c.Raw} }

// CRLEntry is the entry of a revocation list.
func CRLEntry(der []byte) TableEntry { return TableEntry{guidCRL, der} }
