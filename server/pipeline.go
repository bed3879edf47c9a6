package server

import (
	"context"
	"fmt"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	twostep "github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

// appraiseAttestation is stages 1 to 3 for one attest body under its session.
func (s *Server) appraiseAttestation(ctx context.Context, sess store.Session, att *rcar.Attestation, now time.Time) (appraised, error) {
	tee, ok := rcar.ParseTEE(sess.TEE)
	if !ok || !tee.Primary {
		return appraised{}, fault.New(fault.Unsupported, "%q cannot be the primary evidence", sess.TEE)
	}
	digests, err := att.Digests(rcar.Version(sess.Version), rcar.Hash(sess.Hash), sess.Nonce)
	if err != nil {
		return appraised{}, err
	}
	lead, err := s.authenticate(ctx, sess, tee, att.Primary, digests, att.Key.JSON(), now)
	if err != nil {
		return appraised{}, err
	}
	initData, err := checkInitData(tee, att.InitData, lead)
	if err != nil {
		return appraised{}, err
	}
	in := []appraise.Input{{Label: string(tee.Class) + "0", Verified: lead}}
	devices, err := att.Devices()
	if err != nil {
		return appraised{}, err
	}
	count := map[rcar.Class]int{tee.Class: 1}
	for _, d := range devices {
		digest := rcar.DeviceDigest(rcar.Hash(sess.Hash), sess.Nonce, att.Key)
		v, err := s.authenticate(ctx, sess, d.TEE, d.Data, []rcar.Digest{{Value: digest, Form: "device"}}, att.Key.JSON(), now)
		if err != nil {
			return appraised{}, fault.Wrap(err, "device %s", d.TEE.Name)
		}
		in = append(in, appraise.Input{Label: fmt.Sprintf("%s%d", d.TEE.Class, count[d.TEE.Class]), Verified: v})
		count[d.TEE.Class]++
	}
	set := s.live.get().Statements()
	a, err := appraise.Appraise(in, set)
	if err != nil {
		return appraised{}, err
	}
	x := appraised{a: a, set: set, initData: initData, hostBound: att.IsAproxy() && !s.cfg.AcceptHostChosenBindingUnsafe}
	return x, s.checkBuild(x)
}

// BindingSafeElement is the mkey (text) of the endorsed value that a reference value provider signs for SVSM builds whose
// measured code alone decides what goes into REPORT_DATA (specs svsm.md section 4.3). Its value is the boolean true; a
// conditional endorsement ties it to the measurement. Without it secrets are not released to such a guest. The value
// false says that the host can choose it, whatever form the evidence comes in.
const BindingSafeElement = "binding-safe"

// checkBuild refuses evidence whose binding the host could have chosen. A host that can have anything signed can present
// it in any form and on any wire, so a build that is called unsafe is refused on all of them.
func (s *Server) checkBuild(x appraised) error {
	safe, unsafe := false, false
	for _, e := range x.a.Attesters()[0].Accepted {
		if e.Source == nil || e.CMType != claim.CMEndorsements {
			continue
		}
		for _, el := range e.Elements {
			if el.Key.Kind == claim.KindText && el.Key.TextContent() == BindingSafeElement && el.Values.Bool != nil {
				safe, unsafe = safe || *el.Values.Bool, unsafe || !*el.Values.Bool
			}
		}
	}
	switch {
	case unsafe && !s.cfg.AcceptHostChosenBindingUnsafe:
		return release.Deny(release.BindingUnsafe, "a statement says that the host of this build chooses what REPORT_DATA commits to (an endorsed value %q that is false)", BindingSafeElement)
	case x.hostBound && !safe:
		return release.Deny(release.BindingUnsafe, "no statement says that this SVSM build fixes in its measured code what REPORT_DATA commits to (an endorsed value %q); in other builds the host chooses", BindingSafeElement)
	}
	return nil
}

// authenticate is stage 1 for one piece; with several digests (protocol 0.1.0) any may match.
func (s *Server) authenticate(ctx context.Context, sess store.Session, tee rcar.TEE, data []byte, digests []rcar.Digest, key []byte, now time.Time) (*evidence.Verified, error) {
	driver := s.cfg.Parts.Drivers[tee.Name]
	if driver == nil {
		return nil, fault.New(fault.Unsupported, "evidence of %q cannot be verified here", tee.Name)
	}
	var last error
	for _, d := range digests {
		binding, err := evidence.ExpectFit(d.Value)
		if d.Form == "aproxy" {
			binding, err = evidence.ExpectExact(d.Value)
		}
		if err != nil {
			return nil, err
		}
		v, err := driver.Authenticate(ctx, evidence.Evidence{TEE: tee.Name, Data: data}, evidence.Env{
			Time: now, Binding: binding.WithKey(key), Anchors: s.cfg.Parts.Anchors, Collateral: s.cfg.Parts.Collateral,
			Session: sess.ID[:],
		})
		if err == nil {
			return v, nil
		}
		if last = err; !fault.Is(err, fault.Binding) {
			return nil, err
		}
	}
	return nil, last
}

// current returns the appraisal of an attested session under the statements of now.
func (s *Server) current(ctx context.Context, sess store.Session, now time.Time) (appraised, error) {
	x, ok := s.cache.get(sess.ID)
	if ok && x.set == s.live.get().Statements() {
		return x, nil
	}
	var err error
	if ok {
		// The evidence stays authenticated; what vouches for it has changed.
		x.set = s.live.get().Statements()
		if x.a, err = appraise.Appraise(submitted(x.a), x.set); err == nil {
			err = s.checkBuild(x)
		}
	} else {
		if p, ok := twostep.PurposeOf(sess.Version); ok {
			return s.currentNative(ctx, sess, p, now)
		}
		var att *rcar.Attestation
		if att, err = rcar.ParseAttestation(rcar.Version(sess.Version), sess.Evidence); err == nil {
			x, err = s.appraiseAttestation(ctx, sess, att, now)
		}
	}
	if err != nil {
		return appraised{}, err
	}
	s.cache.put(sess.ID, x)
	return x, nil
}

// submitted are the inputs that a was made from: Attesters that are parts of another's evidence follow from that one.
func submitted(a *appraise.Appraisal) []appraise.Input {
	nested := map[*evidence.Verified]bool{}
	var in []appraise.Input
	for _, x := range a.Attesters() {
		for _, p := range x.Evidence.Parts() {
			nested[p.Verified] = true
		}
		if !nested[x.Evidence] {
			in = append(in, appraise.Input{Label: x.Label, Verified: x.Evidence})
		}
	}
	return in
}
