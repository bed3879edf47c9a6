// Package ovmf reads UEFI firmware images for confidential machines as far as launch measurement needs: the footer table
// with its GUIDed entries, the SEV metadata and the TDX metadata (edk2 OvmfPkg/ResetVector; specs measure.md section 3).
// OVMF, COCONUT-SVSM, Oak's stage0 and the firmware of Google and AWS all carry this table.
package ovmf

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// GUID is a GUID as it lies in memory: the first three groups little-endian ("EFI byte order").
type GUID [16]byte

// String gives the usual text form, e.g. 96b582de-1fb2-45f7-baea-a366c55a082d.
func (g GUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(g[:]), binary.LittleEndian.Uint16(g[4:]),
		binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:])
}

// ParseGUID reads the text form.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return g, fmt.Errorf("%q is not a GUID", s)
	}
	b, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	if err != nil {
		return g, fmt.Errorf("%q is not a GUID", s)
	}
	binary.LittleEndian.PutUint32(g[:], binary.BigEndian.Uint32(b))
	binary.LittleEndian.PutUint16(g[4:], binary.BigEndian.Uint16(b[4:]))
	binary.LittleEndian.PutUint16(g[6:], binary.BigEndian.Uint16(b[6:]))
	copy(g[8:], b[8:])
	return g, nil
}

// mustGUID is for the constants of this file only.
func mustGUID(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic("unreachable: constant GUIDs are well formed: " + err.Error())
	}
	return g
}

// GUIDs of the footer table (edk2 OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm and its includes).
var (
	guidFooter       = mustGUID("96b582de-1fb2-45f7-baea-a366c55a082d")
	guidSEVESReset   = mustGUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e")
	guidSEVMetadata  = mustGUID("dc886566-984a-4798-a75e-5585a7bf67cc")
	guidHashesTable  = mustGUID("7255371f-3a3b-4b04-927b-1da6efa8d454")
	guidSecretArea   = mustGUID("4c2eb361-7d9b-4cc3-8081-127c90d3d294")
	guidSVSMInfo     = mustGUID("a789a612-0597-4c4b-a49f-cbb1fe9d1ddd")
	guidTDXMetadata  = mustGUID("e47a6535-984a-4798-865e-4685a7bf8ec2")
	guidTDVFMetadata = mustGUID("e9eaf9f3-168e-44d5-a8eb-7f4d8738f6ae")
)
