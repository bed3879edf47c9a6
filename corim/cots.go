package corim

// CoTS is a concise trust anchor store (draft-ietf-rats-concise-ta-stores).
type CoTS struct {
	Raw []byte // the map as carried
}
