// Package dcap reads and checks the formats of Intel's Data Center Attestation Primitives: quotes, PCK certificates,
// CRLs, and the signed documents TCBInfo and enclave identity; and it evaluates a platform's TCB against them.
//
// It knows bytes, signatures and Intel's algorithm, and nothing of drivers, policies or where collateral comes from:
// packages evidence/tdx and evidence/sgx decide with it, and collateral checks with it what it imports. Section
// numbers in comments are those of specs evidence-intel.md, unless a document is named.
package dcap
