// Package assay verifies the evidence of confidential machines, appraises it against signed reference values under a
// policy that the relying party owns, explains the verdict, and reports it as a standard Attestation Result.
//
// The flow is the architecture: evidence → verified → appraised → decided → reported → released. Each stage is a
// package that can be used without the others behind it; see the package documentation of evidence, endorse, appraise,
// policy, result and release.
package assay
