// Package collateral gives drivers the vendor data they ask for: certificates, lists, signed documents. Its sources are
// files that the operator names, a directory that `assay collateral export` wrote, a cache, and, below this package, one
// client per vendor's service. Only those clients open connections; with [Offline] at the end of a [Chain] none are.
//
// Whatever a source returns is untrusted. A source may refuse an answer that is plainly wrong, but only a driver checks
// signatures, and it does so each time that it is given the bytes.
package collateral
