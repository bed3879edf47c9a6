package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/assay-tee/assay/appraise"
)

// A claim of which one register is vouched for is not shown as accepted.
func TestPartOfTheRegisters(t *testing.T) {
	var b bytes.Buffer
	p := &printer{w: &b}
	p.trail("tdx", []appraise.Entry{{Attester: "tdx", Claim: "rtmr", Value: "v", Registers: []string{"1"}}}, false)
	if out := b.String(); strings.Contains(out, "✓") || !strings.Contains(out, "only the registers 1 are vouched for") {
		t.Error(out)
	}
}
