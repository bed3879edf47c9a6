// Package snp authenticates AMD SEV-SNP evidence: ATTESTATION_REPORT of versions 2 to 5, signed by a VCEK or VLEK of the
// product lines Milan, Genoa (with Bergamo and Siena) and Turin.
//
// Sources: AMD 56860 (firmware ABI), 57230 (VCEK and KDS), 56421 (GHCB, certificate table); the rules and where they
// come from are in specs evidence-snp.md, to whose sections comments refer.
//
// # Forms of evidence
//
// The form is detected; each may also be wrapped once in hex or base64 (standard or URL alphabet, line breaks allowed).
//
//	report           1184 bytes, as configfs-tsm's outblob; the auxblob goes into Evidence.Aux
//	extended-report  1184 bytes, followed by the GHCB certificate table
//	kbs-json         {"attestation_report": {…}, "cert_chain": null | […]}, shapes A, B and C of Trustee's guests
//	aproxy-json      {"snp-report": "…", "certs-buf": null | "…"} of COCONUT-SVSM's aproxy
//
// Both JSON forms are also read inside {"primary_evidence": …}.
//
// # Certificates
//
// Anchors are AMD's ARKs, built in, and those that the operator configured; a certificate that comes with evidence is
// never one. A VEK may come with the evidence, from Evidence.Endorsements, from the operator's collateral or from the
// KDS, and is chosen by what it says; all checks are the same wherever it came from. ASK, ASVK and ARK that come with
// evidence are compared with those built in or configured, and refused (class signature) when they differ.
//
// # Claims
//
// Claims of a report, hex unless said otherwise; a null has no meaning in that version of the report:
//
//	version, guest_svn, vmpl, signature_algo   number; vmpl is 4294967295 when the host asked for the report
//	policy             object: raw, abi_major, abi_minor (numbers), smt, migrate_ma, debug, single_socket, cxl_allow,
//	                   mem_aes_256_xts, rapl_dis, ciphertext_hiding_dram, page_swap_disable (booleans)
//	platform_info      object: raw, unknown_bits (numbers), smt_en, tsme_en, ecc_en, rapl_dis, ciphertext_hiding_dram_en,
//	                   alias_check_complete, iommu_write_safe, tio_en (booleans)
//	author_key_en, mask_chip_key               boolean
//	signing_key                                "vcek" or "vlek"
//	report_data (64 bytes), measurement (48), host_data (32), id_key_digest (48), author_key_digest (48),
//	report_id, report_id_ma (32), family_id, image_id (16), chip_id (64)
//	cpuid                                      null or object: family, model, stepping (numbers)
//	current_tcb, reported_tcb, committed_tcb, launch_tcb
//	                   object: bootloader, tee, snp, microcode, on Turin fmc (numbers), raw (8 bytes as in the report)
//	current_version, committed_version         "major.minor.build"
//	launch_mit_vector, current_mit_vector      null or number
//
// Claims of the endorsement:
//
//	product            "Milan", "Genoa", "Turin"
//	csp_id             null, or the provider that a VLEK names
//	chip_binding       "hwid": the key belongs to the chip of CHIP_ID; "masked": to the chip of the certificate, CHIP_ID
//	                   could not be compared; "csp": to a provider, to no single machine
//	vek_public_key_sha256                      digest of the SubjectPublicKeyInfo
//	vek_not_before, vek_not_after              RFC 3339
//	root_sha256                                digest of the ARK
//	crl                object: status "good" or "not checked"; with "good" number, this_update, next_update
//
// Names that policies written for Trustee use: policy_abi_major, policy_abi_minor, policy_smt_allowed,
// policy_migrate_ma, policy_debug_allowed, policy_single_socket, platform_tsme_enabled, platform_smt_enabled,
// init_data (= host_data), reported_tcb_bootloader, reported_tcb_tee, reported_tcb_snp, reported_tcb_microcode.
//
// # What is not decided here
//
// Debug guests, VMPL, migration agents, TCB floors, VLEKs, masked chip ids and missing CRLs are facts that policy
// decides upon. The note "chip_id_masked" and the marks "unbound" and "simulator-root" are made so that it can.
package snp
