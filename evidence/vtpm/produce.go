package vtpm

import "google.golang.org/protobuf/encoding/protowire"

// Attestation is attest.Attestation of go-tpm-tools as far as it is made here, for guests that send it and for tests.
type Attestation struct {
	AKPublic      []byte // TPMT_PUBLIC
	AKCert        []byte // DER
	Intermediates [][]byte
	Quotes        []AttestationQuote
	EventLog      []byte // TCG log of the firmware
	CEL           []byte // canonical event log
}

// AttestationQuote is tpm.Quote.
type AttestationQuote struct {
	Quote     []byte // TPMS_ATTEST
	Signature []byte // TPMT_SIGNATURE
	PCRs      Bank
}

// AppendAttestation appends the protobuf.
func AppendAttestation(b []byte, a Attestation) []byte {
	put := func(b []byte, num protowire.Number, v []byte) []byte {
		if len(v) == 0 {
			return b
		}
		return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
	}
	b = put(b, fieldAKPub, a.AKPublic)
	for _, q := range a.Quotes {
		pcrs := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(q.PCRs.Hash))
		for i, v := range q.PCRs.Values {
			if v != nil {
				entry := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(i))
				pcrs = put(pcrs, 2, put(entry, 2, v))
			}
		}
		b = put(b, fieldQuotes, put(put(put(nil, 1, q.Quote), 2, q.Signature), 3, pcrs))
	}
	b = put(put(put(b, fieldEventLog, a.EventLog), fieldCEL, a.CEL), fieldAKCert, a.AKCert)
	for _, c := range a.Intermediates {
		b = put(b, fieldInters, c)
	}
	return b
}
