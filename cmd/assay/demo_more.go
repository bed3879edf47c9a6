package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"time"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/simulator/intel"
	"github.com/assay-tee/assay/simulator/ultravisor"
)

// The demo's other machines: a TDX platform and an s390x one, each with its vendor's world and its reference value.

// tdxMachine makes Intel's world and writes the files that the broker is configured with.
func (d *demo) tdxMachine() error {
	w, err := intel.New(intel.Config{Clock: d.a.now})
	if err != nil {
		return err
	}
	m, err := w.NewMachine(intel.MachineConfig{})
	if err != nil {
		return err
	}
	coll, err := m.Collateral(true, intel.CollateralOptions{})
	if err != nil {
		return err
	}
	d.td = &tdGuest{machine: m}
	if _, err := rand.Read(d.td.td.MRTD[:]); err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	mf, err := tdxManifest(corimCreateFlags{id: "example-td-2.0", entity: "Example Firmware"}, []endorse.Expectation{{Name: "mr_td", Values: [][]byte{d.td.td.MRTD[:]}}})
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{
		"intel-root.pem": intel.PEM(w.Root.Cert), "tcbinfo.json": coll.TCBInfo, "identity.json": coll.Identity, "tcb-chain.pem": coll.Chain,
		"pck.crl": coll.PCKCRL, "root.crl": coll.RootCRL, "crl-chain.pem": coll.CRLChain,
	} {
		if err := d.write(name, b); err != nil {
			return err
		}
	}
	d.anchors = append(d.anchors, d.path("intel-root.pem"))
	for _, n := range []string{"tcbinfo.json", "identity.json", "tcb-chain.pem", "pck.crl", "root.crl", "crl-chain.pem"} {
		d.collateral = append(d.collateral, d.path(n))
	}
	return d.signManifest("td.corim", mf)
}

// signManifest signs a manifest with the publisher's key and has the broker admit it.
func (d *demo) signManifest(name string, m *corim.Manifest) error {
	now := d.a.now().UTC().Truncate(time.Second)
	m.Validity = &corim.Validity{NotBefore: &now, NotAfter: now.AddDate(1, 0, 0)}
	raw, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
	if err != nil {
		return err
	}
	signed, err := corim.Sign(raw, d.publisher.Signer, corim.SignOptions{SignerName: "Example Firmware"})
	if err != nil {
		return err
	}
	d.statements = append(d.statements, d.path(name))
	return d.write(name, signed)
}

// tdGuest is an attester in a simulated TD.
type tdGuest struct {
	machine *intel.Machine
	td      intel.TD
}

// TEE implements attester.Attester.
func (g *tdGuest) TEE() string { return "tdx" }

// Evidence implements attester.Attester.
func (g *tdGuest) Evidence(_ context.Context, rd []byte) (evidence.Evidence, error) {
	td := g.td
	copy(td.ReportData[:], rd)
	q, err := g.machine.TDQuote(td, intel.BodyTD10, intel.QuoteOptions{})
	return evidence.Evidence{TEE: "tdx", Data: q}, err
}

func (d *demo) tdxGuest(ctx context.Context) error {
	d.head("A TDX guest on the same broker: Intel's TCB status counts as well")
	secret, err := fetchSecret(ctx, d.url, d.td, demoOpenSecret)
	if err != nil {
		return fault.Wrap(err, "the TDX guest was refused")
	}
	d.ok("quote, QE, PCK chain, both revocation lists, TCB UpToDate, MRTD vouched for: %s", d.s.Bold(string(secret)))
	return nil
}

// seMachine makes an s390x machine, an image for it, and the documents that the broker needs.
func (d *demo) seMachine() error {
	pki, err := ultravisor.NewPKI(d.a.now())
	if err != nil {
		return err
	}
	m, err := ultravisor.NewMachine()
	if err != nil {
		return err
	}
	img, err := ultravisor.NewImage(m, []byte("kernel and initrd"), 0)
	if err != nil {
		return err
	}
	if d.se, err = m.Boot(img); err != nil {
		return err
	}
	doc, err := pki.Document(m.HostKey(), time.Time{}, time.Time{})
	if err != nil {
		return err
	}
	lists, err := pki.Lists()
	if err != nil {
		return err
	}
	h, err := secex.ParseHeader(img.Header)
	if err != nil {
		return err
	}
	mf, err := seManifest(corimCreateFlags{id: "example-se-image-7", entity: "Example Firmware"}, h)
	if err != nil {
		return err
	}
	files := map[string][]byte{"se-image": img.Header, "hkd.pem": pemCerts([]*x509.Certificate{doc, pki.Signing, pki.Intermediate}...),
		"ibm1.crl": lists[0].Raw, "ibm2.crl": lists[1].Raw, "ibm3.crl": lists[2].Raw}
	for name, b := range files {
		if err := d.write(name, b); err != nil {
			return err
		}
		d.collateral = append(d.collateral, d.path(name))
	}
	if err := d.write("ibm-root.pem", pemCerts(pki.Root)); err != nil {
		return err
	}
	d.anchors = append(d.anchors, d.path("ibm-root.pem"))
	return d.signManifest("se.corim", mf)
}

func (d *demo) seGuest(ctx context.Context) error {
	d.head("An IBM Secure Execution guest: here the verifier speaks first, and keeps the measurement key")
	secret, err := seSecret(ctx, d.url, d.se)
	if err != nil {
		return fault.Wrap(err, "the SE guest was refused")
	}
	d.ok("request opened by this one machine, measurement of the signed image, key bound: %s", d.s.Bold(string(secret)))
	return nil
}

// seSecret is an SE guest's side of the handshake (kbs-evidence section 9).
func seSecret(ctx context.Context, url string, g *ultravisor.Guest) ([]byte, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	cl := &http.Client{Jar: jar, Timeout: time.Minute}
	body, err := kbsCall(ctx, cl, "POST", url+"/kbs/v0/auth", string(rcar.Request{Version: rcar.V040, TEE: secex.Name}.JSON()))
	if err != nil {
		return nil, err
	}
	ch, err := rcar.ParseChallenge(body)
	if err != nil {
		return nil, err
	}
	var req struct {
		Request []byte `json:"request_blob"`
		Key     []byte `json:"encr_measurement_key"`
		Nonce   []byte `json:"encr_request_nonce"`
		Tags    []byte `json:"image_hdr_tags"`
	}
	if err := json.Unmarshal([]byte(ch.Nonce), &req); err != nil {
		return nil, fault.New(fault.Malformed, "challenge: %w", err)
	}
	key, err := jwe.Generate("P-256")
	if err != nil {
		return nil, err
	}
	pub, err := key.Public()
	if err != nil {
		return nil, err
	}
	user := append(rcar.PrimaryDigest(ch.Selected, ch.Nonce, pub, ""), make([]byte, 16)...)
	ans, err := g.Attest(req.Request, user)
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	ev, err := json.Marshal(map[string][]byte{"measurement": ans.Measurement, "additional_data": ans.Additional, "user_data": user, "cuid": ans.CUID,
		"encr_measurement_key": req.Key, "encr_request_nonce": req.Nonce, "image_hdr_tags": req.Tags})
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	att := rcar.Attestation{Nonce: ch.Nonce, Key: pub, Primary: ev}
	if _, err := kbsCall(ctx, cl, "POST", url+"/kbs/v0/attest", string(att.JSON())); err != nil {
		return nil, err
	}
	if body, err = kbsCall(ctx, cl, "GET", url+"/kbs/v0/resource/"+demoOpenSecret, ""); err != nil {
		return nil, err
	}
	return jwe.Decrypt(key, body)
}

func kbsCall(ctx context.Context, cl *http.Client, method, url, body string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	resp, err := cl.Do(r)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fault.New(fault.Denied, "the broker answered %d: %s", resp.StatusCode, b)
	}
	return b, nil
}
