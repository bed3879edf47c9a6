package secex

import (
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// SecretList is what the Ultravisor says about its secret store (the answer to "list secrets").
type SecretList struct {
	Stored, Total uint16 // entries in this list, secrets in the store
	NextIndex     uint16 // where the next list begins, when there is more
	Entries       []SecretEntry
}

// SecretEntry is one secret: never its value.
type SecretEntry struct {
	Index uint16
	Type  SecretType
	Size  uint32 // bytes
	ID    [32]byte
}

const (
	secretListHeader = 0x10
	secretEntrySize  = 0x30
	maxSecretList    = 0x1000
)

// ParseSecretList reads a list of secrets.
func ParseSecretList(b []byte) (*SecretList, error) {
	if len(b) < secretListHeader || len(b) > maxSecretList {
		return nil, fault.New(fault.Malformed, "secret list: %d bytes; %d to %d are possible", len(b), secretListHeader, maxSecretList)
	}
	l := &SecretList{Stored: binary.BigEndian.Uint16(b), Total: binary.BigEndian.Uint16(b[2:]), NextIndex: binary.BigEndian.Uint16(b[4:])}
	if !zero(b[6:secretListHeader]) {
		return nil, fault.New(fault.Malformed, "secret list: a reserved byte is not zero")
	}
	if need := secretListHeader + int(l.Stored)*secretEntrySize; len(b) < need {
		return nil, fault.New(fault.Malformed, "secret list: %d entries do not fit into %d bytes", l.Stored, len(b))
	}
	for i := range int(l.Stored) {
		e := b[secretListHeader+i*secretEntrySize:][:secretEntrySize]
		if !zero(e[8:16]) {
			return nil, fault.New(fault.Malformed, "secret list: a reserved byte of entry %d is not zero", i)
		}
		l.Entries = append(l.Entries, SecretEntry{Index: binary.BigEndian.Uint16(e), Type: SecretType(binary.BigEndian.Uint16(e[2:])),
			Size: binary.BigEndian.Uint32(e[4:]), ID: [32]byte(e[16:])})
	}
	return l, nil
}
