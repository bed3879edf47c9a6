package cosex_test

import (
	"testing"

	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

// Nothing that is read is longer than what was given, and a payload is either there or detached.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0, 0x41, 0x00, 0x41, 0x00})
	f.Add([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0, 0xf6, 0x41, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := cosex.Parse(b, cosex.Options{Untagged: true})
		if err != nil {
			if c := fault.ClassOf(err); c != fault.Malformed && c != fault.Unsupported {
				t.Errorf("class %v: %v", c, err)
			}
			return
		}
		if s.Detached != (s.Payload == nil) || len(s.Payload)+len(s.Signature)+len(s.RawProtected) > len(b) {
			t.Errorf("detached %v, %d bytes of payload, of %d", s.Detached, len(s.Payload), len(b))
		}
	})
}
