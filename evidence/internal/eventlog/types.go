package eventlog

import "fmt"

// Type is a TCG event type. It is not measured.
type Type uint32

// The event types (TCG PC Client Platform Firmware Profile, section "Event Types").
const (
	EVPostCode                 Type = 0x01
	EVNoAction                 Type = 0x03
	EVSeparator                Type = 0x04
	EVAction                   Type = 0x05
	EVEventTag                 Type = 0x06
	EVCompactHash              Type = 0x0c
	EVIPL                      Type = 0x0d
	EVPlatformConfigFlags      Type = 0x0a
	EVOmitBootDeviceEvents     Type = 0x12
	EVEFIVariableDriverConfig  Type = 0x80000001
	EVEFIVariableBoot          Type = 0x80000002
	EVEFIBootServicesApp       Type = 0x80000003
	EVEFIBootServicesDriver    Type = 0x80000004
	EVEFIRuntimeServicesDriver Type = 0x80000005
	EVEFIGPTEvent              Type = 0x80000006
	EVEFIAction                Type = 0x80000007
	EVEFIPlatformFirmwareBlob  Type = 0x80000008
	EVEFIHandoffTables         Type = 0x80000009
	EVEFIPlatformFirmwareBlob2 Type = 0x8000000a
	EVEFIHandoffTables2        Type = 0x8000000b
	EVEFIVariableBoot2         Type = 0x8000000c
	EVEFIVariableAuthority     Type = 0x800000e0
)

// String returns the name of the profile, or the number of a type that is not known here.
func (t Type) String() string {
	switch t {
	case 0x00:
		return "EV_PREBOOT_CERT"
	case EVPostCode:
		return "EV_POST_CODE"
	case 0x02:
		return "EV_UNUSED"
	case EVNoAction:
		return "EV_NO_ACTION"
	case EVSeparator:
		return "EV_SEPARATOR"
	case EVAction:
		return "EV_ACTION"
	case EVEventTag:
		return "EV_EVENT_TAG"
	case 0x07:
		return "EV_S_CRTM_CONTENTS"
	case 0x08:
		return "EV_S_CRTM_VERSION"
	case 0x09:
		return "EV_CPU_MICROCODE"
	case EVPlatformConfigFlags:
		return "EV_PLATFORM_CONFIG_FLAGS"
	case 0x0b:
		return "EV_TABLE_OF_DEVICES"
	case EVCompactHash:
		return "EV_COMPACT_HASH"
	case EVIPL:
		return "EV_IPL"
	case 0x0e:
		return "EV_IPL_PARTITION_DATA"
	case 0x0f:
		return "EV_NONHOST_CODE"
	case 0x10:
		return "EV_NONHOST_CONFIG"
	case 0x11:
		return "EV_NONHOST_INFO"
	case EVOmitBootDeviceEvents:
		return "EV_OMIT_BOOT_DEVICE_EVENTS"
	case 0x13:
		return "EV_POST_CODE2"
	case EVEFIVariableDriverConfig:
		return "EV_EFI_VARIABLE_DRIVER_CONFIG"
	case EVEFIVariableBoot:
		return "EV_EFI_VARIABLE_BOOT"
	case EVEFIBootServicesApp:
		return "EV_EFI_BOOT_SERVICES_APPLICATION"
	case EVEFIBootServicesDriver:
		return "EV_EFI_BOOT_SERVICES_DRIVER"
	case EVEFIRuntimeServicesDriver:
		return "EV_EFI_RUNTIME_SERVICES_DRIVER"
	case EVEFIGPTEvent:
		return "EV_EFI_GPT_EVENT"
	case EVEFIAction:
		return "EV_EFI_ACTION"
	case EVEFIPlatformFirmwareBlob:
		return "EV_EFI_PLATFORM_FIRMWARE_BLOB"
	case EVEFIHandoffTables:
		return "EV_EFI_HANDOFF_TABLES"
	case EVEFIPlatformFirmwareBlob2:
		return "EV_EFI_PLATFORM_FIRMWARE_BLOB2"
	case EVEFIHandoffTables2:
		return "EV_EFI_HANDOFF_TABLES2"
	case EVEFIVariableBoot2:
		return "EV_EFI_VARIABLE_BOOT2"
	case 0x8000000d:
		return "EV_EFI_GPT_EVENT2"
	case 0x80000010:
		return "EV_EFI_HCRTM_EVENT"
	case EVEFIVariableAuthority:
		return "EV_EFI_VARIABLE_AUTHORITY"
	case 0x800000e1:
		return "EV_EFI_SPDM_FIRMWARE_BLOB"
	case 0x800000e2:
		return "EV_EFI_SPDM_FIRMWARE_CONFIG"
	}
	return fmt.Sprintf("0x%08x", uint32(t))
}
