// Package intel is what the drivers of TDX and SGX share: the checklist of evidence-intel.md section 14 over the formats
// of internal/dcap, the choice of collateral, the caches of performance.md section 8, and the claims that both TEEs have.
// Section numbers in comments are those of specs evidence-intel.md, unless a document is named.
package intel
