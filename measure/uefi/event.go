// Package uefi makes the digests of the events that UEFI firmware and boot loaders measure, and reads logs of such events (TCG
// PC Client Platform Firmware Profile 1.06; UEFI 2.10 section 38; specs measure.md sections 14, 15 and 21).
package uefi

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"

	"github.com/assay-tee/assay/measure/ovmf"
)

// EventType is the type of an event (TCG PC Client Platform Firmware Profile, section 10.4.1).
type EventType uint32

// The event types that matter here.
const (
	EvNoAction          EventType = 3
	EvSeparator         EventType = 4
	EvEventTag          EventType = 6
	EvSCRTMVersion      EventType = 8
	EvPlatformConfig    EventType = 0xa
	EvIPL               EventType = 0xd
	EvVariableDriver    EventType = 0x80000001
	EvVariableBoot      EventType = 0x80000002
	EvBootApplication   EventType = 0x80000003
	EvGPT               EventType = 0x80000006
	EvAction            EventType = 0x80000007
	EvFirmwareBlob      EventType = 0x80000008
	EvHandoffTables     EventType = 0x80000009
	EvFirmwareBlob2     EventType = 0x8000000a
	EvHandoffTables2    EventType = 0x8000000b
	EvVariableAuthority EventType = 0x800000e0
	EvDstack            EventType = 0x08000001 // run-time events of dstack
)

func (t EventType) String() string {
	names := map[EventType]string{EvNoAction: "EV_NO_ACTION", EvSeparator: "EV_SEPARATOR", EvEventTag: "EV_EVENT_TAG", EvSCRTMVersion: "EV_S_CRTM_VERSION",
		EvPlatformConfig: "EV_PLATFORM_CONFIG_FLAGS", EvIPL: "EV_IPL", EvVariableDriver: "EV_EFI_VARIABLE_DRIVER_CONFIG", EvVariableBoot: "EV_EFI_VARIABLE_BOOT",
		EvBootApplication: "EV_EFI_BOOT_SERVICES_APPLICATION", EvGPT: "EV_EFI_GPT_EVENT", EvAction: "EV_EFI_ACTION", EvFirmwareBlob: "EV_EFI_PLATFORM_FIRMWARE_BLOB",
		EvHandoffTables: "EV_EFI_HANDOFF_TABLES", EvFirmwareBlob2: "EV_EFI_PLATFORM_FIRMWARE_BLOB2", EvHandoffTables2: "EV_EFI_HANDOFF_TABLES2",
		EvVariableAuthority: "EV_EFI_VARIABLE_AUTHORITY", EvDstack: "dstack event"}
	if n, ok := names[t]; ok {
		return n
	}
	return fmt.Sprintf("0x%x", uint32(t))
}

// Texts of EV_EFI_ACTION events; they are hashed without a final zero.
const (
	ActionCalling      = "Calling EFI Application from Boot Option"
	ActionExit         = "Exit Boot Services Invocation"
	ActionExitReturned = "Exit Boot Services Returned with Success"
)

// Separator is the data of an EV_SEPARATOR event.
func Separator() []byte { return make([]byte, 4) }

// UTF16 gives s in UTF-16LE without a final zero.
func UTF16(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// Variable is a UEFI variable.
type Variable struct {
	GUID string
	Name string
	Data []byte
}

// GUIDs of variables.
const (
	GUIDGlobal        = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	GUIDImageSecurity = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
	GUIDShim          = "605dab50-e046-4300-abb6-3dd810dd8b23"
)

// Measured is the UEFI_VARIABLE_DATA of v: what driver configuration and authority events are over.
func (v Variable) Measured() ([]byte, error) {
	g, err := ovmf.ParseGUID(v.GUID)
	if err != nil {
		return nil, err
	}
	name := UTF16(v.Name)
	b := binary.LittleEndian.AppendUint64(g[:], uint64(len(name)/2))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(v.Data)))
	return append(append(b, name...), v.Data...), nil
}

// SecureBootVariables are the five variables that firmware measures first, in order, with the data of those that are given by
// name; the others are empty.
func SecureBootVariables(data map[string][]byte) []Variable {
	var out []Variable
	for _, v := range []Variable{{GUID: GUIDGlobal, Name: "SecureBoot"}, {GUID: GUIDGlobal, Name: "PK"}, {GUID: GUIDGlobal, Name: "KEK"},
		{GUID: GUIDImageSecurity, Name: "db"}, {GUID: GUIDImageSecurity, Name: "dbx"}} {
		v.Data = data[v.Name]
		out = append(out, v)
	}
	return out
}

// LoadOption builds an EFI_LOAD_OPTION for an application inside a firmware volume, as OVMF makes its own boot entries.
func LoadOption(attributes uint32, description, volume, file string) ([]byte, error) {
	fv, err := ovmf.ParseGUID(volume)
	if err != nil {
		return nil, err
	}
	app, err := ovmf.ParseGUID(file)
	if err != nil {
		return nil, err
	}
	node := func(sub byte, g ovmf.GUID) []byte { return append([]byte{4, sub, 20, 0}, g[:]...) } // media device path
	path := append(append(node(7, fv), node(6, app)...), 0x7f, 0xff, 4, 0)
	b := binary.LittleEndian.AppendUint32(nil, attributes)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	b = append(append(b, UTF16(description)...), 0, 0)
	return append(b, path...), nil
}

// Boot entries of OVMF (specs measure.md section 14).
const (
	guidOVMFVolume  = "7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1"
	guidUIApp       = "462caa21-7614-4503-836e-8ab6f4662331"
	guidBootManager = "eec25bdc-67f2-4d95-b1d5-f81b2039d11d"
)

// BootUIApp is Boot0000 of OVMF up to 2025.02; BootManager and BootSetup are Boot0000 and Boot0001 of OVMF from 2025.05.
func BootUIApp() ([]byte, error) { return LoadOption(0x109, "UiApp", guidOVMFVolume, guidUIApp) }

// BootManager is Boot0000 of OVMF from 2025.05.
func BootManager() ([]byte, error) {
	return LoadOption(0x109, "BootManagerMenuApp", guidOVMFVolume, guidBootManager)
}

// BootSetup is Boot0001 of OVMF from 2025.05.
func BootSetup() ([]byte, error) {
	return LoadOption(0x101, "EFI Firmware Setup", guidOVMFVolume, guidUIApp)
}
