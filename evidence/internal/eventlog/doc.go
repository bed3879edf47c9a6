// Package eventlog reads measurement logs and holds them against authentic registers.
//
// A log is written by the party under suspicion and nothing signs it. What makes it worth something is replay: when the
// digests of its events, extended in order, give exactly the registers that the hardware signed, these digests were
// measured. Nothing else of the log was: event types, labels, register order and texts are hints, except where a
// digest covers the text itself (kbs-evidence.md section 6, tsm-tpm.md sections 10 and 12).
//
// [Parse] reads the crypto-agile TCG form, which is also that of CCEL. [Log.Explain] replays it against registers and
// gives [Measured] events, the only form from which claims may be made.
package eventlog
