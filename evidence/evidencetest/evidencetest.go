// Package evidencetest makes authenticated evidence out of thin air, so that stages after the first can be tested
// without hardware and without a driver. It works in test binaries only; house_test.go refuses any other use.
package evidencetest

import (
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
)

// Content is what a driver would have found.
type Content = sealed.Content

// New seals c as a driver would after every check.
func New(tb testing.TB, c Content) *evidence.Verified {
	tb.Helper()
	if !testing.Testing() {
		panic("evidencetest outside a test")
	}
	return sealed.New(c)
}
