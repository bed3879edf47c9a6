package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay"
	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/internal/tty"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/result"
	"github.com/assay-tee/assay/result/report"
	"github.com/assay-tee/assay/simulator"
	"github.com/assay-tee/assay/simulator/ultravisor"
)

func newDemoCmd(a *app) *cobra.Command {
	var fast bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "See the whole flow in half a minute: a guest attests, gets its secret once, and four others are refused",
		Long: `Starts verifier and broker in this process over a throw-away database, boots simulated SEV-SNP guests, and plays: reference
values are signed, a guest attests and gets a one-shot secret, and four attempts are refused, each with its reason. Then a
real report from AMD Milan hardware is appraised. Nothing is left behind.`,
		Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			d := &demo{a: a, s: tty.For(a.stdout, a.getenv), pause: 1200 * time.Millisecond}
			if fast || !tty.IsTerminal(a.stdout) {
				d.pause = 0
			}
			return d.run(cmd.Context())
		}),
	}
	c.Flags().BoolVar(&fast, "fast", false, "do not pause between the steps")
	return c
}

// demo plays the flow for a spectator. Every step goes through the same code as a real deployment: HTTP, SQLite, CoRIM.
type demo struct {
	a     *app
	s     tty.Style
	pause time.Duration
	dir   string
	world *simulator.AMD
	chip  *simulator.Chip
	admin *adminClient
	url   string
	step  int

	firmware  [48]byte // the measurement that the publisher vouches for
	verifier  *assay.Verifier
	set       *endorse.Set
	publisher *keys.Private

	td *tdGuest
	se *ultravisor.Guest
	// what the broker is configured with, beside AMD's root
	anchors, statements, collateral []string
}

const (
	demoSecret     = "default/key/disk"
	demoOpenSecret = "default/key/app" // not one-shot: whoever is affirmed may have it
)

func (d *demo) run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "assay-demo-"); err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	defer os.RemoveAll(d.dir)
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	d.say("%s", d.s.Bold("Assay: can this machine be trusted, why, and only then its secret"))
	d.head("Simulated machines are made: AMD SEV-SNP, Intel TDX, IBM Secure Execution")
	if err := d.hardware(); err != nil {
		return err
	}
	d.head("The firmware's publisher signs what its measurement must be (CoRIM)")
	if err := d.publish(); err != nil {
		return err
	}
	d.head("Verifier and broker start, over one throw-away SQLite file")
	done, err := d.start(ctx)
	if err != nil {
		return err
	}
	for _, act := range []func(context.Context) error{d.good, d.debugGuest, d.flippedBit, d.unknownSigner, d.secondRelease, d.tdxGuest, d.seGuest, d.realHardware} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	stop()
	if err := <-done; err != nil {
		return err
	}
	d.say("\n%s  three guests had their secrets, the one-shot one once; four were refused; nothing is left behind", d.s.Green(d.s.Bold("Done.")))
	d.say("Next: %s on evidence of your own, %s for the broker, %s for all verbs", d.s.Cyan("assay verify FILE"), d.s.Cyan("assay serve"), d.s.Cyan("assay --help"))
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.a.stdout, format+"\n", args...) }

func (d *demo) head(title string) {
	time.Sleep(d.pause)
	d.step++
	d.say("\n%s %s", d.s.Cyan(fmt.Sprintf("%2d", d.step)), d.s.Bold(title))
}

func (d *demo) ok(format string, args ...any) {
	d.say("   %s %s", d.s.Green("✓"), fmt.Sprintf(format, args...))
}

func (d *demo) hardware() (err error) {
	// 2048-bit roots are enough for a show; AMD's own have 4096 bits.
	if d.world, err = simulator.NewAMD(simulator.AMDConfig{Clock: d.a.now, KeyBits: 2048}); err != nil {
		return err
	}
	if d.chip, err = d.world.NewChip(simulator.Milan); err != nil {
		return err
	}
	if _, err := rand.Read(d.firmware[:]); err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	d.ok("roots, chips and keys exist for this run only; every result below is marked %s", d.s.Yellow("simulator-root"))
	return d.write("ark.pem", pemCerts(d.world.ARK(simulator.Milan), d.world.ASK(simulator.Milan)))
}

func (d *demo) write(name string, b []byte) error {
	if err := os.WriteFile(filepath.Join(d.dir, name), b, 0o600); err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	return nil
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

// statement signs a reference value for a measurement.
func (d *demo) statement(key *keys.Private, id string, measurement []byte) ([]byte, error) {
	m, err := snpManifest(corimCreateFlags{id: id, entity: "Example Firmware"}, []endorse.Expectation{{Name: "measurement", Values: [][]byte{measurement}}})
	if err != nil {
		return nil, err
	}
	now := d.a.now().UTC().Truncate(time.Second)
	m.Validity = &corim.Validity{NotBefore: &now, NotAfter: now.AddDate(1, 0, 0)}
	raw, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
	if err != nil {
		return nil, err
	}
	return corim.Sign(raw, key.Signer, corim.SignOptions{SignerName: "Example Firmware"})
}

func (d *demo) publish() (err error) {
	if d.publisher, err = keys.Generate(keys.ES256); err != nil {
		return err
	}
	signed, err := d.statement(d.publisher, "example-firmware-1.4", d.firmware[:])
	if err != nil {
		return err
	}
	if err := d.tdxMachine(); err != nil {
		return err
	}
	if err := d.seMachine(); err != nil {
		return err
	}
	d.ok("measurement %s… signed by %q, %d bytes", fmt.Sprintf("%x", d.firmware[:6]), "Example Firmware", len(signed))
	if err := d.write("firmware.corim", signed); err != nil {
		return err
	}
	return d.write("publisher.pem", d.publisher.Public.PEM())
}

func (d *demo) start(ctx context.Context) (<-chan error, error) {
	c := defaultServeConfig(d.a.getenv)
	c.State, c.Offline, c.InsecureSimulator, c.Explain = d.path("state"), true, true, true
	c.Anchors, c.Statements = append([]string{d.path("ark.pem"), d.path("publisher.pem")}, d.anchors...), append([]string{d.path("firmware.corim")}, d.statements...)
	c.Collateral = d.collateral
	b, err := d.a.newBroker(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%w", err)
	}
	done := make(chan error, 1)
	go func() { done <- b.serve(ctx, l) }()
	d.url, d.set = "http://"+l.Addr().String(), b.set.Load()
	af := adminFlags{server: d.url, tokenFile: filepath.Join(c.State, "admin.token")}
	if d.admin, err = af.client(); err != nil {
		return nil, err
	}
	tr, err := d.a.loadAnchors(c.Anchors, true)
	if err != nil {
		return nil, err
	}
	pol, err := d.a.loadPolicy(nil, "", true)
	if err != nil {
		return nil, err
	}
	if d.verifier, err = assay.New(assay.Config{Anchors: tr.hardware, Policy: pol}); err != nil {
		return nil, err
	}
	d.ok("serving the KBS protocol at %s, built-in policy, three statements admitted", d.url)
	path, err := secretPath(demoSecret)
	if err != nil {
		return nil, err
	}
	if err := d.admin.do(ctx, "PUT", path+"?one_shot=true", []byte("correct horse battery staple"), nil); err != nil {
		return nil, err
	}
	if path, err = secretPath(demoOpenSecret); err != nil {
		return nil, err
	}
	if err := d.admin.do(ctx, "PUT", path, []byte("for affirmed machines only"), nil); err != nil {
		return nil, err
	}
	d.ok("secret %s stored, sealed at rest; one-shot: it goes out against a ticket only", demoSecret)
	return done, d.ticket(ctx)
}

func (d *demo) ticket(ctx context.Context) error {
	var t release.Ticket
	if err := d.admin.do(ctx, "POST", "/v1/tickets", []byte(`{"resource":"`+demoSecret+`","secret":"`+demoSecret+`","uses":1,"life":"1h"}`), &t); err != nil {
		return err
	}
	d.ok("ticket %s… issued: one release", t.ID[:8])
	return nil
}

func (d *demo) boot(policy uint64, measurement [48]byte) (*simulator.Guest, error) {
	return d.chip.Launch(simulator.GuestConfig{Measurement: measurement, Policy: policy})
}

const goodPolicy = simulator.PolicySMT | simulator.PolicyReserved1

func (d *demo) good(ctx context.Context) error {
	d.head("A guest with that firmware boots, attests, and asks for its disk key")
	g, err := d.boot(goodPolicy, d.firmware)
	if err != nil {
		return err
	}
	at, err := g.Attester()
	if err != nil {
		return err
	}
	secret, err := fetchSecret(ctx, d.url, at, demoSecret)
	if err != nil {
		return fault.Wrap(err, "the good guest was refused")
	}
	d.ok("the secret arrived, wrapped to the key that the evidence binds: %s", d.s.Bold(string(secret)))
	d.say("   What the verdict rests on, for evidence of that guest:")
	o, err := d.appraise(ctx, g, nil)
	if err != nil {
		return err
	}
	if err := d.show(o.Report()); err != nil {
		return err
	}
	return d.ear(o)
}

// ear signs the Attestation Result of o and verifies it as a relying party would.
func (d *demo) ear(o *assay.Outcome) error {
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		return err
	}
	is, err := result.NewIssuer(result.IssuerConfig{Key: key})
	if err != nil {
		return err
	}
	token, err := is.Issue(o.Appraisal, o.Decision, result.Options{})
	if err != nil {
		return err
	}
	acc, err := result.Verify(token, result.VerifyConfig{Keys: []keys.Public{key.Public}, Time: o.Appraisal.Time(), AllowInsecure: true})
	if err != nil {
		return err
	}
	d.ok("signed Attestation Result (EAR, %s): %s, %d bytes, verified by its relying party", key.Alg, acc.Status(), len(token))
	return nil
}

// appraise takes fresh evidence of g through the verifier, as `assay verify` would; change may alter it on the way.
func (d *demo) appraise(ctx context.Context, g *simulator.Guest, change func(*evidence.Evidence)) (*assay.Outcome, error) {
	var nonce [64]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	ev, err := g.Evidence(nonce)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(&ev)
	}
	bind, err := evidence.ExpectExact(nonce[:])
	if err != nil {
		return nil, err
	}
	return d.verifier.Verify(ctx, d.a.now().UTC().Truncate(time.Second), d.set, assay.Submission{Evidence: ev, Binding: bind})
}

func (d *demo) show(rep *report.Report) error {
	var b bytes.Buffer
	if err := rep.Text(&b, report.TextOptions{Style: d.s}); err != nil {
		return err
	}
	for _, l := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if l != "" {
			d.say("   %s %s", d.s.Dim("│"), l)
		}
	}
	return nil
}

// refused plays a request that must be refused, and shows class and reason. A request that succeeds ends the demo.
func (d *demo) refused(ctx context.Context, at attester.Attester, want fault.Class) error {
	_, err := fetchSecret(ctx, d.url, at, demoSecret)
	if err == nil {
		return fault.New(fault.Internal, "this guest got the secret, and must not have")
	}
	class, why := fault.ClassOf(err).String(), err.Error()
	var w *rcar.WireError
	if errors.As(err, &w) && w.Class != "" {
		class, why = w.Class, w.Reason
	}
	if why == class {
		d.say("   %s refused: %s", d.s.Red("✗"), d.s.Bold(class))
	} else {
		d.say("   %s refused: %s (%s)", d.s.Red("✗"), d.s.Bold(class), why)
	}
	if class != want.String() {
		return fault.New(fault.Internal, "refused as %s, %s expected", class, want)
	}
	return nil
}

func (d *demo) because(rep *report.Report) {
	for _, r := range rep.Reasons {
		if r.Code != "simulator-root" && r.Why != "" {
			d.say("     because %s", r.What)
			d.say("     %s", d.s.Dim(r.Why))
			return
		}
	}
}

func (d *demo) debugGuest(ctx context.Context) error {
	d.head("Refusal 1: the same firmware in a debug guest, which the host can read")
	g, err := d.boot(goodPolicy|simulator.PolicyDebug, d.firmware)
	if err != nil {
		return err
	}
	at, err := g.Attester()
	if err != nil {
		return err
	}
	if err := d.refused(ctx, at, fault.Denied); err != nil {
		return err
	}
	o, err := d.appraise(ctx, g, nil)
	if err != nil {
		return err
	}
	d.because(o.Report())
	return nil
}

// flipper changes one bit of the report on its way out.
type flipper struct{ attester.Attester }

func (f flipper) Evidence(ctx context.Context, rd []byte) (evidence.Evidence, error) {
	ev, err := f.Attester.Evidence(ctx, rd)
	if err == nil {
		flip(&ev)
	}
	return ev, err
}

func flip(ev *evidence.Evidence) {
	ev.Data = bytes.Clone(ev.Data)
	ev.Data[offMeasurement] ^= 1
}

func (d *demo) flippedBit(ctx context.Context) error {
	d.head("Refusal 2: one bit of the measurement flipped in the report")
	g, err := d.boot(goodPolicy, d.firmware)
	if err != nil {
		return err
	}
	at, err := g.Attester()
	if err != nil {
		return err
	}
	if err := d.refused(ctx, flipper{at}, fault.Signature); err != nil {
		return err
	}
	if _, err := d.appraise(ctx, g, flip); err != nil {
		d.say("     %s", d.s.Dim(err.Error()))
		return nil
	}
	return fault.New(fault.Internal, "a report with a flipped bit was accepted")
}

func (d *demo) unknownSigner(ctx context.Context) error {
	d.head("Refusal 3: another firmware, vouched for by somebody nobody here knows")
	stranger, err := keys.Generate(keys.ES256)
	if err != nil {
		return err
	}
	var other [48]byte
	if _, err := rand.Read(other[:]); err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	signed, err := d.statement(stranger, "example-firmware-1.5", other[:])
	if err != nil {
		return err
	}
	anchors, err := endorse.ParseAnchors("publisher", d.publisher.Public.PEM())
	if err != nil {
		return err
	}
	b, err := endorse.NewBuilder(endorse.Config{Time: d.a.now().UTC(), Anchors: anchors, Profiles: profiles.All()})
	if err != nil {
		return err
	}
	if _, err = b.Admit(signed); !fault.Is(err, fault.Signature) {
		return fault.New(fault.Internal, "the stranger's statement was not refused as a bad signature: %v", err)
	}
	d.say("   %s statement refused: %s", d.s.Red("✗"), d.s.Bold(fault.ClassOf(err).String()))
	d.say("     %s", d.s.Dim(err.Error()))
	g, err := d.boot(goodPolicy, other)
	if err != nil {
		return err
	}
	at, err := g.Attester()
	if err != nil {
		return err
	}
	if err := d.refused(ctx, at, fault.Denied); err != nil {
		return err
	}
	o, err := d.appraise(ctx, g, nil)
	if err != nil {
		return err
	}
	d.because(o.Report())
	return nil
}

func (d *demo) secondRelease(ctx context.Context) error {
	d.head("Refusal 4: the good guest again, on the ticket that is spent")
	g, err := d.boot(goodPolicy, d.firmware)
	if err != nil {
		return err
	}
	at, err := g.Attester()
	if err != nil {
		return err
	}
	return d.refused(ctx, at, fault.Spent)
}
