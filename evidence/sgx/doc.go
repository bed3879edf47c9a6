// Package sgx authenticates Intel SGX evidence: quotes of version 3, 4 and 5 of enclaves, back to Intel's root, under
// Intel's own algorithm for TCB levels. What it requires and how it treats a TCB status is as in package tdx.
//
// Claims. Of the enclave report, bytes as hex in the order of the report: cpu_svn, misc_select, isv_ext_prod_id,
// attributes (flags, xfrm, and init, debug, mode64, provision_key, einittoken_key, kss), mr_enclave, mr_signer,
// config_id, isv_family_id, report_data; numbers: isv_prod_id, isv_svn, config_svn. Of the quote, the PCK certificate,
// the quoting enclave, the TCB and the collateral: as in package tdx. Under the names of Trustee: header, body,
// init_data and those that package tdx lists.
package sgx
