// Package attester is the guest's side: it collects evidence about the machine that it runs on. What it returns is
// bytes, and proves nothing until a Verifier has authenticated it.
package attester

import (
	"context"

	"github.com/assay-tee/assay/evidence"
)

// Attester makes evidence of the machine it runs on.
type Attester interface {
	// Evidence asks the hardware for evidence that carries reportData (16 to 64 bytes; shorter than the field of the
	// TEE, it is padded with zeros on the right). Its errors have one of the classes unsupported (there is no such
	// hardware, or it will not do this), unavailable (it is busy; a retry makes sense), usage and internal.
	Evidence(ctx context.Context, reportData []byte) (evidence.Evidence, error)
	// TEE names the driver that can authenticate the evidence: "snp", "tdx", "cca".
	TEE() string
}
