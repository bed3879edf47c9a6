package oak_test

import (
	"context"
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/oak"
	"github.com/assay-tee/assay/internal/fault"
)

// Whatever comes, there is an answer of a class that speaks of the evidence, and no panic.
func FuzzAuthenticate(f *testing.F) {
	m := containers(f, func(m *machine) { m.platform = 3 })
	f.Add(m.encode(), false)
	f.Add(restricted(f, func(m *machine) { m.platform = 3 }).encode(), true)
	f.Add(m.layers[0], false)
	d := newDriver(f, oak.Config{})
	env := unbound(now)
	f.Fuzz(func(t *testing.T, b []byte, transparent bool) {
		ev := evidence.Evidence{Data: b, Format: map[bool]string{true: oak.FormatTransparent}[transparent]}
		_, err := d.Authenticate(context.Background(), ev, env)
		switch fault.ClassOf(err) {
		case fault.Internal:
			if err != nil {
				t.Error(err)
			}
		case fault.Usage:
			t.Error(err)
		}
		oak.Detect(b)
		oak.EndorsementCertificates(b)
		if _, err := d.Inspect(ev); err != nil && fault.ClassOf(err) == fault.Internal {
			t.Error(err)
		}
	})
}
