// Package measure is the root of launch measurement prediction: what a machine will report when it is launched from
// given artefacts. Prediction is a pure function, files in and values out; nothing here starts a machine, opens a
// connection or asks the processor (specs measure.md section 1).
//
// Its folders are ovmf, igvm, linux, acpi and uefi, which read artefacts; snp, tdx, stage0 and pcr, which predict; and
// explain, which searches the inputs that lead to a given value. This package holds what they share.
package measure
