package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	twostep "github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/store"
)

// nativeLife is how long a nonce of the native wire lives at most (keylime-broker.md section 4).
const nativeLife = 2 * time.Minute

// nativeNonce begins a session: always a new one.
func (s *Server) nativeNonce(c *call) error {
	req, err := twostep.ParseNonceRequest(c.body)
	if err != nil {
		return err
	}
	driver := s.cfg.Parts.Drivers[req.TEE]
	if tee, ok := rcar.ParseTEE(req.TEE); !ok || tee.Name != req.TEE || !tee.Primary || driver == nil {
		return fault.New(fault.Unsupported, "TEE %q is not known here, or no machine of its own", clip(req.TEE))
	}
	var session [twostep.SessionSize]byte
	var nonce [twostep.NonceSize]byte
	rand.Read(session[:])
	rand.Read(nonce[:])
	now := s.cfg.Clock()
	sess := store.Session{
		ID: twostep.StoreID(session), Version: req.Purpose.Version(), TEE: req.TEE, Nonce: twostep.Encode(nonce[:]),
		Created: now, Expires: now.Add(min(nativeLife, s.cfg.SessionLife)),
	}
	if !s.pending.begin(clientAddress(c.r), sess.ID, now, sess.Expires) {
		return release.Deny(release.TooMany, "too many handshakes from this address are unfinished; try again later")
	}
	reply := twostep.NonceReply{Session: twostep.Encode(session[:]), Nonce: sess.Nonce, Expires: sess.Expires.UTC()}
	if ch, ok := driver.(evidence.Challenger); ok {
		wire, err := s.challenge(c.r.Context(), ch, sess)
		if err != nil {
			s.pending.finish(sess.ID)
			return err
		}
		it := twostep.NewItem(twostep.TypeChallengeSE, []byte(wire))
		reply.Challenge = &it
	}
	if err := s.cfg.Store.CreateSession(c.r.Context(), sess); err != nil {
		s.pending.finish(sess.ID)
		return err
	}
	return c.json(doc(reply))
}

// nativeVerify answers evidence with a result. Authentic evidence gets one whatever the verdict is; the result says it.
func (s *Server) nativeVerify(c *call) error {
	sub, perr := twostep.ParseSubmission(twostep.Verify, c.body)
	sess, err := s.nativeSession(c, sub, perr)
	if err != nil {
		return err
	}
	rec := s.appraisalRecord(c, sess)
	var token string
	err = s.attempt(c.r.Context(), sess, c.body, func() error {
		x, d, err := s.nativeJudge(c.r.Context(), sess, sub, perr, &rec, twostep.Verify, twostep.SPIRE)
		if err != nil {
			return err
		}
		token, err = s.cfg.Parts.Issue(c.r.Context(), x.a, d, s.nativeInput(sess, sub))
		return err
	})
	if err := s.logAppraisal(c.r.Context(), rec, err); err != nil {
		return err
	}
	return c.json(doc(twostep.VerifyReply{EAR: token}))
}

// nativeRelease answers evidence with a secret. The very request that was made before gets what the ledger has for it,
// so that a lost reply is not a lost secret; anything else in a used session is refused.
func (s *Server) nativeRelease(c *call) error {
	sub, perr := twostep.ParseSubmission(twostep.Release, c.body)
	sess, err := s.nativeSession(c, sub, perr)
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	repeat := sess.State == store.Attested && perr == nil && bytes.Equal(sess.Evidence, c.body)
	if !repeat {
		rec := s.appraisalRecord(c, sess)
		err := s.attempt(ctx, sess, c.body, func() error {
			_, _, err := s.nativeJudge(ctx, sess, sub, perr, &rec, twostep.Release)
			return err
		})
		if err := s.logAppraisal(ctx, rec, err); err != nil {
			return err
		}
		sess.Evidence = c.body
	}
	x, err := s.current(ctx, sess, s.cfg.Clock())
	if err != nil {
		return err
	}
	d, err := s.mayHave(ctx, c, sess, x, sub.Resource)
	if err != nil {
		return err
	}
	req := release.Request{
		Decision: d, Appraisal: x.a, Resource: sub.Resource, Form: jwe.Compact, Repeat: repeat, Session: sess.ID,
		Record: release.Record{Request: c.id, TEE: sess.TEE, Evidence: s.appraisalRecord(c, sess).Evidence},
	}
	if sub.Form == twostep.AddSecret {
		req.Into = firmware{s, s.cfg.Parts.Drivers[sess.TEE].(evidence.SecretWrapper)}
	}
	reply, err := s.broker.Release(ctx, req)
	if err != nil {
		return err
	}
	s.metrics.released(reply)
	out := twostep.ReleaseReply{Release: hex.EncodeToString(sess.ID[:])}
	if req.Into == nil {
		out.Secret = string(reply.Body)
	} else {
		id := secex.SecretID(sub.Resource)
		out.AddSecret, out.SecretID = twostep.Encode(reply.Body), hex.EncodeToString(id[:])
	}
	return c.json(doc(out))
}

// nativeSession finds the session that a body names.
func (s *Server) nativeSession(c *call, sub *twostep.Submission, perr error) (store.Session, error) {
	if !sub.Named {
		return store.Session{}, perr
	}
	ctx, id := c.r.Context(), twostep.StoreID(sub.Session)
	sess, ok, err := s.cfg.Store.Session(ctx, id, s.cfg.Clock())
	if err != nil || ok {
		return sess, err
	}
	// What has expired is swept soon; until then the answer can say so.
	if _, was, err := s.cfg.Store.Session(ctx, id, time.Time{}); err == nil && was {
		return sess, release.Deny(release.NonceExpired, "the time of this session is over; ask for a new nonce")
	}
	return sess, release.Deny(release.NonceUnknown, "there is no such session; ask for a nonce")
}

// nativeJudge is stages 1 to 4 for one attempt.
func (s *Server) nativeJudge(ctx context.Context, sess store.Session, sub *twostep.Submission, perr error, rec *release.Record, serves ...twostep.Purpose) (appraised, *policy.Decision, error) {
	refuse := func(err error) (appraised, *policy.Decision, error) { return appraised{}, nil, err }
	if perr != nil {
		return refuse(perr)
	}
	purpose, _ := twostep.PurposeOf(sess.Version)
	ok := false
	for _, p := range serves {
		ok = ok || p == purpose
	}
	switch {
	case !ok:
		return refuse(release.Deny(release.BindingMismatch, "the nonce of this session was given for purpose %s", purpose))
	case sub.TEE != sess.TEE:
		return refuse(release.Deny(release.BindingMismatch, "the nonce of this session was given for TEE %s, not %s", sess.TEE, clip(sub.TEE)))
	}
	if purpose == twostep.Release && !rcar.ValidResource(sub.Resource) {
		return refuse(fault.New(fault.Malformed, "%q is not of the form repository/type/tag", clip(sub.Resource)))
	}
	if _, can := s.cfg.Parts.Drivers[sess.TEE].(evidence.SecretWrapper); sub.Form == twostep.AddSecret && !can {
		return refuse(fault.New(fault.Unsupported, "%s takes no secrets by its firmware; ask for form jwe", sess.TEE))
	}
	x, err := s.appraiseNative(ctx, sess, sub, purpose, s.cfg.Clock())
	if err != nil {
		return refuse(err)
	}
	d, err := s.live.get().Policy.Decide(ctx, x.a, policy.Acceptable())
	if err != nil {
		return refuse(err)
	}
	thumb := sub.Key.Thumbprint()
	rec.Tier, rec.Policies, rec.Key = d.Tier().String(), d.Content().PolicyIDs, hex.EncodeToString(thumb[:])
	if rs := d.Content().Reasons; len(rs) > 0 {
		rec.Reason = rs[0].Code
	}
	if d.Tier() == claim.TierAffirming {
		if err := s.seeMachine(ctx, x.a, *rec); err != nil {
			return refuse(err)
		}
	}
	s.cache.put(sess.ID, x)
	return x, d, nil
}

// appraiseNative is stages 1 to 3 for evidence that is bound by B4 to all that the session and the request say.
func (s *Server) appraiseNative(ctx context.Context, sess store.Session, sub *twostep.Submission, purpose twostep.Purpose, now time.Time) (appraised, error) {
	nonce, err := twostep.Decode("nonce", sess.Nonce)
	if err != nil || len(nonce) != twostep.NonceSize {
		return appraised{}, fault.New(fault.Internal, "the stored nonce is not one of this wire")
	}
	data, err := twostep.Binding{TEE: sess.TEE, Purpose: purpose, Session: sub.Session, Key: sub.Key, Nonce: [twostep.NonceSize]byte(nonce)}.ReportData()
	if err != nil {
		return appraised{}, err
	}
	binding, err := evidence.ExpectExact(data[:])
	if err != nil {
		return appraised{}, err
	}
	v, err := s.cfg.Parts.Drivers[sess.TEE].Authenticate(ctx, evidence.Evidence{
		TEE: sess.TEE, Data: sub.Evidence.Bytes(), Aux: sub.Aux, Endorsements: sub.Certificates, EventLog: sub.EventLog,
	}, evidence.Env{
		Time: now, Binding: binding.WithKey(sub.Key.JSON()), Anchors: s.cfg.Parts.Anchors, Collateral: s.cfg.Parts.Collateral, Session: sess.ID[:],
	})
	if err != nil {
		return appraised{}, err
	}
	set := s.live.get().Statements()
	a, err := appraise.Appraise([]appraise.Input{{Label: "cpu0", Verified: v}}, set)
	if err != nil {
		return appraised{}, err
	}
	x := appraised{a: a, set: set}
	return x, s.checkBuild(x)
}

// currentNative appraises the stored evidence of a session again.
func (s *Server) currentNative(ctx context.Context, sess store.Session, p twostep.Purpose, now time.Time) (appraised, error) {
	sub, err := twostep.ParseSubmission(p, sess.Evidence)
	if err != nil {
		return appraised{}, err
	}
	x, err := s.appraiseNative(ctx, sess, sub, p, now)
	if err == nil {
		s.cache.put(sess.ID, x)
	}
	return x, err
}

func (s *Server) nativeInput(sess store.Session, sub *twostep.Submission) TokenInput {
	return TokenInput{TEE: sess.TEE, Class: string(rcar.CPU), Nonce: sess.Nonce, Key: sub.Key.JSON(), Now: s.cfg.Clock()}
}

// firmware hands secrets to the firmware below a guest.
type firmware struct {
	s *Server
	w evidence.SecretWrapper
}

var _ release.Wrapper = firmware{}

// MaxSecret implements release.Wrapper.
func (f firmware) MaxSecret() int { return f.w.MaxSecret() }

// Wrap implements release.Wrapper.
func (f firmware) Wrap(ctx context.Context, lead *evidence.Verified, resource string, secret []byte) ([]byte, error) {
	return f.w.WrapSecret(ctx, lead, evidence.SecretRequest{
		Time: f.s.cfg.Clock(), Anchors: f.s.cfg.Parts.Anchors, Collateral: f.s.cfg.Parts.Collateral, Name: resource, Secret: secret,
	})
}
