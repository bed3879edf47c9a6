// Package vtpm authenticates TPM 2.0 quotes, of physical, firmware and virtual TPMs (tsm-tpm.md sections 5 to 9).
//
// # Forms
//
//	kbs-json      {"tpm_quote": {"signature", "message", "pcrs": [24]}, "ak_public"} of Trustee's guests; the quote must be over
//	              PCR 0 to 23 of the SHA-256 bank. "event_log" and "userspace_log" (base64) may be added.
//	go-tpm-tools  the protobuf attest.Attestation: quotes over several banks, certificate of the attestation key, event log,
//	              evidence of SEV-SNP. Quotes over the SHA-1 bank are verified and say nothing.
//
// # The attestation key
//
// It must rest on something: an anchor key (AnchorKey with TEE "tpm"; [NewEnrolment] makes one by credential activation), a
// certificate that chains to a configured root, or evidence of a CPU whose report data is [CPUReportData]. Otherwise the
// evidence is refused, class signature, "no trust anchor"; with Config.AllowUnrootedAKUnsafe it carries a mark instead that is
// never affirmed. The claim ak_trust says which: enrolled, certificate, cpu, none. A certificate of a cloud's CA names an
// instance; that quote and CPU evidence are of one machine it does not show (note cpu_not_bound_to_ak).
//
// # Claims
//
// pcr00 to pcr23 as far as quoted (bank pcr_bank, SHA-256 where there is one), pcrs (all banks), pcr_selection, clock,
// reset_count, restart_count, clock_safe, firmware_version, qualified_signer, signature_scheme, report_data (extraData),
// init_data (PCR 8), ak_public, ak_name, ak_trust, ak_rooted, gce_instance. With an event log: boot (package
// evidence/internal/eventlog), pcrs_unexplained, pcrs_dropped; userspace, workload.
package vtpm
