package assay_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/assay-tee/assay"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/simulator"
)

// A verifier of one's own: a guest's evidence, a nonce, one expected measurement, the built-in policy. The guest is
// simulated here, so the example also has to configure the simulator's root, by its unsafe name.
func Example() {
	now := time.Now()
	amd, err := simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, KeyBits: 2048})
	if err != nil {
		log.Fatal(err)
	}
	chip, err := amd.NewChip(simulator.Milan)
	if err != nil {
		log.Fatal(err)
	}
	measurement := [48]byte{1, 2, 3}
	guest, err := chip.Launch(simulator.GuestConfig{Measurement: measurement})
	if err != nil {
		log.Fatal(err)
	}
	nonce := [64]byte{42}
	ev, err := guest.Evidence(nonce)
	if err != nil {
		log.Fatal(err)
	}

	anchors, err := evidence.NewAnchors(amd.Anchors()) // leave this out for real machines: their roots are built in
	if err != nil {
		log.Fatal(err)
	}
	policy, err := rego.Builtin(rego.Params{AllowSimulatorUnsafe: true})
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := assay.New(assay.Config{Anchors: anchors, Policy: policy})
	if err != nil {
		log.Fatal(err)
	}
	statements, err := endorse.NewBuilder(endorse.Config{Time: now})
	if err != nil {
		log.Fatal(err)
	}
	if err := statements.Local("release team", "snp", []endorse.Expectation{{Name: "measurement", Values: [][]byte{measurement[:]}}}); err != nil {
		log.Fatal(err)
	}
	binding, err := evidence.ExpectExact(nonce[:])
	if err != nil {
		log.Fatal(err)
	}
	out, err := verifier.Verify(context.Background(), now, statements.Set(), assay.Submission{Evidence: ev, Binding: binding})
	if err != nil {
		log.Fatal(err) // not authentic: the class of the error says why
	}
	fmt.Println(out.Decision.Tier())
	for _, e := range out.Appraisal.Attesters()[0].Trail {
		if e.Accepted {
			fmt.Printf("%s is vouched for by %q\n", e.Claim, e.Vouchers[0].Signer)
		}
	}
	// Output:
	// affirming
	// measurement is vouched for by "release team"
}
