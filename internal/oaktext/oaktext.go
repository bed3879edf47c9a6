// Package oaktext knows the names of the fields of Project Oak's messages (oak.md sections 2, 11 and 17), to read their
// text form, in which Oak publishes reference values.
package oaktext

import (
	"bytes"
	"regexp"

	"github.com/assay-tee/assay/internal/protox"
)

// Messages that have a text form here.
const (
	Evidence        = "oak.attestation.v1.Evidence"
	Endorsements    = "oak.attestation.v1.Endorsements"
	ReferenceValues = "oak.attestation.v1.ReferenceValues"
)

var header = regexp.MustCompile(`(?m)^# *proto-message: *([a-z0-9.A-Z]+) *\r?$`)

// Is reports whether b is a text form that names this message in a comment, as Oak's files do.
func Is(b []byte, message string) bool {
	if len(b) == 0 || b[0] != '#' {
		return false
	}
	m := header.FindSubmatch(b[:min(len(b), 4096)])
	return m != nil && string(m[1]) == message
}

// Binary returns the wire form: b itself, unless it is a text form of that message.
func Binary(b []byte, message string) ([]byte, error) {
	if !Is(b, message) {
		return b, nil
	}
	return protox.FromText(schemas()[message], bytes.TrimSpace(b))
}

func text(n uint32) protox.Type                      { return protox.Type{Num: n, Text: true} }
func num(n uint32) protox.Type                       { return protox.Type{Num: n} }
func sub(n uint32, s protox.Schema) protox.Type      { return protox.Type{Num: n, Sub: s} }
func enum(n uint32, v map[string]uint64) protox.Type { return protox.Type{Num: n, Enum: v} }

func schemas() map[string]protox.Schema {
	empty := protox.Schema{}
	log := protox.Schema{"encoded_events": text(2)}
	evidence := protox.Schema{
		"root_layer": sub(1, protox.Schema{"platform": enum(1, map[string]uint64{"TEE_PLATFORM_UNSPECIFIED": 0, "AMD_SEV_SNP": 1, "INTEL_TDX": 2, "NONE": 3, "TEE_PLATFORM_NONE": 3}),
			"remote_attestation_report": text(2), "eca_public_key": text(3)}),
		"layers": sub(2, protox.Schema{"eca_certificate": text(1)}),
		"application_keys": sub(3, protox.Schema{"encryption_public_key_certificate": text(1), "signing_public_key_certificate": text(2),
			"group_encryption_public_key_certificate": text(3), "group_signing_public_key_certificate": text(4)}),
		"event_log": sub(4, log), "transparent_event_log": sub(5, log), "signed_user_data_certificate": text(7),
	}
	released := protox.Schema{"endorsement": text(1), "endorsement_signature": text(2), "rekor_log_entry": text(3), "subject": text(4)}
	variant := protox.Schema{"id": text(1), "value": text(2)}
	root := protox.Schema{"tee_certificate": text(1), "stage0": sub(2, released)}
	kernel := protox.Schema{"kernel": sub(1, released), "kernel_cmd_line": sub(2, released), "init_ram_fs": sub(4, released), "memory_map": sub(5, released), "acpi": sub(6, released)}
	two := protox.Schema{"binary": sub(1, released), "configuration": sub(2, released)}
	endorsements := protox.Schema{
		"oak_restricted_kernel": sub(1, protox.Schema{"root_layer": sub(1, root), "kernel_layer": sub(2, kernel), "application_layer": sub(3, two)}),
		"oak_containers": sub(2, protox.Schema{"root_layer": sub(1, root), "kernel_layer": sub(2, kernel),
			"system_layer": sub(3, protox.Schema{"system_image": sub(1, released)}), "container_layer": sub(4, two)}),
		"cb":       sub(3, protox.Schema{"root_layer": sub(1, root)}),
		"platform": sub(8, variant), "initial": sub(9, variant), "events": sub(10, variant),
	}
	digest := protox.Schema{"psha2": text(16), "sha1": text(17), "sha2_256": text(18), "sha2_512": text(19), "sha3_512": text(20), "sha3_384": text(21),
		"sha3_256": text(22), "sha3_224": text(23), "sha2_384": text(32)}
	digests := protox.Schema{"digests": sub(1, digest)}
	instant := protox.Schema{"seconds": num(1), "nanos": num(2)}
	keys := protox.Schema{"keys": sub(1, protox.Schema{"type": enum(1, map[string]uint64{"KEY_TYPE_UNDEFINED": 0, "KEY_TYPE_ECDSA_P256_SHA256": 1}), "key_id": num(2), "raw": text(3)}),
		"signed_timestamp": sub(2, protox.Schema{"not_before_absolute": sub(1, instant), "not_before_relative": sub(2, instant)})}
	endorsement := protox.Schema{"endorser": sub(3, keys), "required_claims": sub(4, protox.Schema{"claim_types": text(1)}),
		"rekor": sub(5, protox.Schema{"skip": sub(1, empty), "verify": sub(2, keys)}),
		"tlog": sub(6, protox.Schema{"skip": sub(1, empty), "all": sub(2, empty), "any": sub(3, empty), "rekor": sub(5, keys),
			"c2sp": sub(6, protox.Schema{"policy": text(2)}), "pes": sub(7, protox.Schema{"key_set": sub(1, keys)})})}
	value := protox.Schema{"skip": sub(1, empty), "endorsement": sub(2, endorsement), "digests": sub(3, digests)}
	kernelValue := protox.Schema{"skip": sub(1, empty), "endorsement": sub(2, endorsement),
		"digests": sub(3, protox.Schema{"image": sub(2, digests), "setup_data": sub(3, digests)})}
	line := protox.Schema{"skip": sub(1, empty), "regex": sub(2, protox.Schema{"value": text(1)}), "string_literals": sub(3, protox.Schema{"value": text(1)}), "endorsement": sub(4, endorsement)}
	tcb := protox.Schema{"skip": sub(1, empty), "minimum": sub(2, protox.Schema{"boot_loader": num(1), "tee": num(2), "snp": num(3), "microcode": num(4), "fmc": num(5)})}
	svn := protox.Schema{}
	for i, n := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"} {
		svn["svn_"+n] = num(uint32(i + 1))
	}
	rootValues := protox.Schema{
		"amd_sev": sub(1, protox.Schema{"allow_debug": num(3), "stage0": sub(4, value), "min_tcb_version": sub(5, tcb), "milan": sub(6, tcb), "genoa": sub(7, tcb), "turin": sub(8, tcb),
			"check_vcek_cert_expiry": num(9), "require_alias_check_complete": num(10), "launch_mit_vector": num(11), "current_mit_vector": num(12)}),
		"intel_tdx": sub(2, protox.Schema{"tee_tcb_svn": sub(1, protox.Schema{"skip": sub(1, empty), "minimum": sub(2, svn)}), "allow_debug": num(2), "stage0": sub(3, value)}),
		"insecure":  sub(3, empty),
	}
	kernelLayer := protox.Schema{"kernel": sub(1, kernelValue), "init_ram_fs": sub(4, value), "memory_map": sub(5, value), "acpi": sub(6, value), "kernel_cmd_line_text": sub(9, line)}
	pair := protox.Schema{"binary": sub(1, value), "configuration": sub(2, value)}
	references := protox.Schema{
		"oak_restricted_kernel": sub(1, protox.Schema{"root_layer": sub(1, rootValues), "kernel_layer": sub(2, kernelLayer), "application_layer": sub(3, pair)}),
		"oak_containers": sub(2, protox.Schema{"root_layer": sub(1, rootValues), "kernel_layer": sub(2, kernelLayer),
			"system_layer": sub(3, protox.Schema{"system_image": sub(1, value)}), "container_layer": sub(4, pair)}),
		"cb": sub(3, protox.Schema{"root_layer": sub(1, rootValues), "layers": sub(5, protox.Schema{"event": sub(1, value)})}),
	}
	return map[string]protox.Schema{Evidence: evidence, Endorsements: endorsements, ReferenceValues: references}
}
