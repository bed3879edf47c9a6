// Package vtpm authenticates TPM 2.0 quotes, of physical, firmware and virtual TPMs.
package vtpm
