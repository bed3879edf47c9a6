// Package azvtpm authenticates the evidence of Azure's confidential VMs: a TPM quote whose attestation key Microsoft's
// paravisor made, and a report of AMD SEV-SNP or a quote of Intel TDX that commits to that key.
//
// # Chain of trust
//
// The CPU's evidence is authenticated by the driver of its TEE, bound to SHA-256 of the runtime data of the HCL report as
// carried, the other 32 bytes of the report data being zero. The runtime data names the attestation key, HCLAkPub. That key
// signs the quote, whose selection must be PCR 0 to 23 of the SHA-256 bank, and whose extraData is what the evidence is
// bound to. So the hardware vouches for the paravisor and its statement, the paravisor for the vTPM, the vTPM for the PCRs:
// MEASUREMENT or MRTD name the paravisor, and what booted is in the PCRs.
//
// # Forms
//
//	json     {"version": 1|2, "tpm_quote": {"signature", "message", "pcrs": [24]}, "hcl_report", "vcek" | "td_quote"}, hex and
//	         base64url; without a version the same as arrays of numbers, for SNP under the names quote and report, and with
//	         the certificate in PEM. Each value may have either form; the version decides nothing, since nothing signs it.
//
// It is also read inside {"primary_evidence": …} and {"platform": …, "evidence": …}.
//
// # user-data
//
// Clients may have the report data written into the runtime data too. A user-data that is not all zero must be the
// expected binding, padded with zeros; one that is zero or absent is the note "user_data_unbound", on which policy decides.
//
// # Attesters
//
// The result is the vTPM, under the name of the driver (az-snp-vtpm, az-tdx-vtpm); its part "snp" or "tdx" is the CPU, so
// that each is appraised by the rules and statements of its kind, and the verdict is that of the worse.
//
// # Claims
//
// Those of package vtpm for PCRs and quote (pcr00 to pcr23, pcr_bank, clock, reset_count, …), and: ak_public_sha256,
// ak_trust "cpu", hcl_version, runtime_data_sha256, vm_configuration (what the paravisor says: console_enabled,
// secure_boot, tpm_enabled, tpm_persisted, filtered_vpci_devices_allowed, vm_unique_id, root_cert_thumbprint,
// current_time, each null when absent), user_data, user_data_bound, cpu (the claims of the part). Under the names of
// Trustee: tpm, report_data (= extraData), init_data (= PCR 8), and for SNP measurement (base64), policy_*,
// reported_tcb_* and platform_* as text.
//
// # What nothing covers
//
// The formatting of the JSON, its version, members not named above, reserved bytes of the HCL header and what follows the
// runtime data in it, all of a TDREPORT but its REPORTDATA. None of it is claimed.
package azvtpm
