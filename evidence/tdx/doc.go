// Package tdx authenticates Intel TDX evidence: quotes of version 4 and 5 with TD reports of TDX 1.0 and 1.5, back to
// Intel's root, under Intel's own algorithm for TCB levels.
//
// Collateral is required: TCBInfo for the platform's FMSPC, the TD_QE identity, the CRLs of the PCK CA and of the root,
// and the certificate that signed the documents. What of it is missing makes the outcome unavailable, never a skipped
// check. The TCB status is a claim on which policies decide; only Revoked and a TCB that no level matches are refusals.
//
// Claims. Of the TD report, bytes as hex in the order of the report: tee_tcb_svn, mr_seam, mrsigner_seam,
// seam_attributes, td_attributes (raw, and debug, septve_disable, migratable, protection_keys, key_locker, perfmon,
// under_debug, unknown_bits), xfam, mr_td, mr_config_id, mr_owner, mr_owner_config, rtmr_0 to rtmr_3, report_data, and
// from TDX 1.5 tee_tcb_svn_2 and mr_servicetd. Of the quote: quote_version, quote_body_type, certification_data_type,
// trailing_bytes. Objects: pck (the PCK certificate), qe (the quoting enclave), tcb (status, date, advisory_ids,
// evaluation_number, launch, current, each with platform, module and qe), collateral (documents and lists). Under the
// names of Trustee: tcb_status, tcb_date, advisory_ids, tcb_eval_num, collateral_expiration_status,
// earliest_issue_date, latest_issue_date, earliest_expiration_date, pck_crl_num, root_ca_crl_num,
// platform_provider_id, platform_instance_id (reversed, as there), sgx_type, root_key_id, is_dynamic_platform,
// is_cached_keys, is_smt_enabled, tcb_status_current, tcb_date_current, advisory_ids_current, init_data, quote,
// uefi_event_logs. With an event log that replays: boot (see package evidence/internal/eventlog).
package tdx
