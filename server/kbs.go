package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	twostep "github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/store"
)

// kbsAuth begins a handshake: a new session each time, whatever cookie came in (kbs-protocol.md section 4.1).
func (s *Server) kbsAuth(c *call) error {
	req, err := rcar.ParseRequest(c.body)
	if err != nil {
		return authFailed(err)
	}
	if !slices.Contains(s.cfg.Versions, req.Version) {
		return authFailed(fault.New(fault.Unsupported, "KBS Client Protocol Version Mismatch: expect =0.4.0 while the request is %s", clip(string(req.Version))))
	}
	tee, ok := rcar.ParseTEE(req.TEE)
	if !ok || s.cfg.Parts.Drivers[tee.Name] == nil {
		return authFailed(fault.New(fault.Unsupported, "TEE %q is not known here", clip(req.TEE)))
	}
	if !tee.Primary {
		return authFailed(fault.New(fault.Unsupported, "TEE %q is a device and cannot be the primary evidence", tee.Name))
	}
	var nonce [rcar.NonceSize]byte
	var raw [16]byte
	rand.Read(nonce[:])
	rand.Read(raw[:])
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80 // the form of a UUID v4
	cookie := hex.EncodeToString(raw[:])
	now := s.cfg.Clock()
	sess := store.Session{
		ID: sha256.Sum256([]byte(cookie)), Version: string(req.Version), TEE: tee.Name, Nonce: rcar.EncodeNonce(nonce),
		Created: now, Expires: now.Add(s.cfg.SessionLife),
	}
	if !s.pending.begin(clientAddress(c.r), sess.ID, now, sess.Expires) {
		return authFailed(release.Deny(release.TooMany, "too many handshakes from this address are unfinished; try again later"))
	}
	if ch, ok := s.cfg.Parts.Drivers[tee.Name].(evidence.Challenger); ok {
		if sess.Nonce, err = s.challenge(c.r.Context(), ch, sess); err != nil {
			s.pending.finish(sess.ID)
			return authFailed(err)
		}
	}
	if err := s.cfg.Store.CreateSession(c.r.Context(), sess); err != nil {
		s.pending.finish(sess.ID)
		return &wireError{variant: rcar.AttestationError, detail: "Attestation error: RCAR handshake Auth failed: the session could not be stored", err: err}
	}
	rcar.SetCookie(c.w.Header(), cookie, sess.Expires, s.cfg.Secure)
	return c.raw("application/json", rcar.Challenge{Nonce: sess.Nonce, Selected: rcar.Hash(sess.Hash)}.JSON())
}

// challenge asks the driver of a TEE that answers requests of the Verifier (IBM SE) for one. It travels as the text of
// the nonce (kbs-protocol.md section 4.1); what decides over the answer travels in it sealed, for this session alone.
func (s *Server) challenge(ctx context.Context, ch evidence.Challenger, sess store.Session) (string, error) {
	out, err := ch.Challenge(ctx, evidence.ChallengeRequest{Time: sess.Created, Session: sess.ID[:], Anchors: s.cfg.Parts.Anchors,
		Collateral: s.cfg.Parts.Collateral, Lifetime: sess.Expires.Sub(sess.Created)})
	switch {
	case err != nil:
		return "", err
	case out.State != nil:
		return "", fault.New(fault.Internal, "the driver of %s keeps state, and was configured without keys to seal it", sess.TEE)
	case len(out.Wire) > rcar.MaxNonce:
		return "", fault.New(fault.Unsupported, "the challenge has %d bytes, at most %d fit; hand over fewer host key documents", len(out.Wire), rcar.MaxNonce)
	}
	return string(out.Wire), nil
}

// clip keeps a stranger's text short enough for an answer and a log line.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// session finds the session of the request's cookie.
func (s *Server) session(c *call) (store.Session, string, error) {
	cookie := rcar.SessionID(c.r)
	if cookie == "" {
		return store.Session{}, "", release.Deny(release.NonceUnknown, "no session cookie")
	}
	sess, ok, err := s.cfg.Store.Session(c.r.Context(), sha256.Sum256([]byte(cookie)), s.cfg.Clock())
	if err != nil {
		return store.Session{}, "", err
	}
	if !ok {
		return store.Session{}, "", release.Deny(release.NonceExpired, "no such session, or its time is over")
	}
	return sess, cookie, nil
}

// kbsAttest takes evidence. The nonce is consumed by the first body that names it, whatever becomes of that: one
// challenge never feeds two attempts, and of two that race one is refused.
func (s *Server) kbsAttest(c *call) error {
	sess, cookie, err := s.session(c)
	if err != nil {
		return attestFailed(err)
	}
	rec := s.appraisalRecord(c, sess)
	token, err := s.attest(c, sess, &rec)
	if err := s.logAppraisal(c.r.Context(), rec, err); err != nil {
		return attestFailed(err)
	}
	rcar.SetCookie(c.w.Header(), cookie, sess.Expires, s.cfg.Secure)
	return c.raw("application/json", rcar.TokenJSON(token))
}

// appraisalRecord begins the log line of what is decided about the evidence in the body.
func (s *Server) appraisalRecord(c *call, sess store.Session) release.Record {
	sum := sha256.Sum256(c.body)
	return release.Record{Kind: "appraise", Request: c.id, Session: hex.EncodeToString(sess.ID[:]), TEE: sess.TEE, Time: s.cfg.Clock(), Evidence: hex.EncodeToString(sum[:])}
}

// logAppraisal writes the line and returns err, or why there is no line: what is not in the log did not happen.
func (s *Server) logAppraisal(ctx context.Context, rec release.Record, err error) error {
	if err != nil {
		rec.Class, rec.Reason, rec.Detail = fault.ClassOf(err).String(), release.ReasonOf(err), err.Error()
	}
	if lerr := s.cfg.Store.AppendRecord(context.WithoutCancel(ctx), rec); lerr != nil && err == nil {
		return lerr
	}
	return err
}

func (s *Server) attest(c *call, sess store.Session, rec *release.Record) (string, error) {
	ctx := c.r.Context()
	if sess.State != store.Challenged {
		return "", release.Deny(release.NonceUsed, "evidence was sent in this session before; begin again with auth")
	}
	version := rcar.Version(sess.Version)
	att, perr := rcar.ParseAttestation(version, c.body)
	if version.NamesNonce() && att.Nonce != sess.Nonce {
		if perr != nil && att.Nonce == "" {
			return "", perr
		}
		return "", release.Deny(release.NonceUnknown, "the nonce is not the one of this session")
	}
	var token string
	err := s.attempt(ctx, sess, c.body, func() error {
		var err error
		token, err = s.judge(ctx, sess, att, perr, rec)
		return err
	})
	return token, err
}

// attempt consumes the nonce of a session, has its one attempt judged, and stores the outcome: with the body, if the
// attempt was a good one. Whoever comes second is refused without a judgement.
func (s *Server) attempt(ctx context.Context, sess store.Session, body []byte, judge func() error) error {
	first, err := s.cfg.Store.UseNonce(ctx, sess.ID, s.cfg.Clock())
	if err != nil {
		return err
	}
	if !first {
		return release.Deny(release.NonceUsed, "evidence was sent in this session before; begin again with a new nonce")
	}
	err = judge()
	s.metrics.attested(sess.TEE, err)
	state, kept := store.Attested, body
	if err != nil {
		state, kept = store.Failed, nil
	}
	s.pending.finish(sess.ID)
	if ferr := s.cfg.Store.FinishSession(context.WithoutCancel(ctx), sess.ID, state, kept); ferr != nil && err == nil {
		return ferr
	}
	return err
}

// judge is stages 1 to 5. Authentic evidence gets a token whatever the verdict is; the token says it.
func (s *Server) judge(ctx context.Context, sess store.Session, att *rcar.Attestation, perr error, rec *release.Record) (string, error) {
	if perr != nil {
		return "", perr
	}
	if err := s.checkKey(rcar.Version(sess.Version), att.Key); err != nil {
		return "", err
	}
	now := s.cfg.Clock()
	x, err := s.appraiseAttestation(ctx, sess, att, now)
	if err != nil {
		return "", err
	}
	d, err := s.live.get().Policy.Decide(ctx, x.a, policy.Acceptable())
	if err != nil {
		return "", err
	}
	thumb := att.Key.Thumbprint()
	rec.Tier, rec.Policies, rec.Key = d.Tier().String(), d.Content().PolicyIDs, hex.EncodeToString(thumb[:])
	if rs := d.Content().Reasons; len(rs) > 0 {
		rec.Reason = rs[0].Code
	}
	if att.IsAproxy() {
		rec.Event = "host_chosen_binding"
	}
	if d.Tier() == claim.TierAffirming {
		if err := s.seeMachine(ctx, x.a, *rec); err != nil {
			return "", err
		}
	}
	token, err := s.cfg.Parts.Issue(ctx, x.a, d, s.tokenInput(sess, att, x))
	if err != nil {
		return "", err
	}
	s.cache.put(sess.ID, x)
	return token, nil
}

// checkKey refuses keys that no response can be made for, before anything is released. PKCS #1 v1.5 is for those who know
// nothing better.
func (s *Server) checkKey(v rcar.Version, key *jwe.Key) error {
	old := v.Form() == jwe.Legacy
	weak := key.Alg() == jwe.RSA15 || key.Alg() == jwe.OAEPSHA1
	switch {
	case old && !weak:
		return release.Deny(release.KeyInvalid, "clients of protocol %s know only RSA1_5 and RSA-OAEP, not %s", v, key.Alg())
	case !old && weak && !s.cfg.AllowRSA15Unsafe:
		return release.Deny(release.KeyInvalid, "the key's algorithm %s is not accepted from clients of protocol %s; use RSA-OAEP-256 or an EC key", key.Alg(), v)
	}
	return nil
}

// kbsFetch releases a resource to an attested session.
func (s *Server) kbsFetch(c *call) error {
	sess, _, err := s.session(c)
	if err != nil && fault.Is(err, fault.Unavailable) {
		return err
	}
	path, perr := resourcePath(c)
	// The session's token if there is one, else the bearer's (kbs-protocol.md section 4.4).
	if err != nil || sess.State != store.Attested {
		if rcar.Bearer(c.r) == "" {
			return &wireError{variant: rcar.TokenNotFound, detail: "Attestation Token not found", err: fault.New(fault.Denied, "no attested session")}
		}
		if perr != nil {
			return perr
		}
		reply, err := s.fetchByToken(c.r.Context(), c, path)
		if err != nil {
			return err
		}
		return c.raw("application/json", reply.Body)
	}
	if perr != nil {
		return perr
	}
	ctx := c.r.Context()
	x, err := s.current(ctx, sess, s.cfg.Clock())
	if err != nil {
		return &wireError{variant: rcar.TokenVerifierError, detail: "Token Verifier error", err: err}
	}
	d, err := s.mayHave(ctx, c, sess, x, path)
	if err != nil {
		return &wireError{variant: rcar.PolicyEngineError, detail: "Policy engine error", err: err}
	}
	sum := sha256.Sum256(sess.Evidence)
	reply, err := s.broker.Release(ctx, release.Request{
		Decision: d, Appraisal: x.a, Resource: path, Form: rcar.Version(sess.Version).Form(), Session: sess.ID,
		Record: release.Record{Request: c.id, TEE: sess.TEE, Evidence: hex.EncodeToString(sum[:])},
	})
	if err != nil {
		return releaseFailed(err)
	}
	s.metrics.released(reply)
	return c.raw("application/json", reply.Body)
}

// mayHave decides about a release. What attest did not affirm and may have something yet is a machine from now on.
func (s *Server) mayHave(ctx context.Context, c *call, sess store.Session, x appraised, path string) (*policy.Decision, error) {
	d, err := s.decideRelease(ctx, c, sess, x, path)
	if err != nil || d.Tier() == claim.TierAffirming || !d.AllowsRelease(path) {
		return d, err
	}
	rec := release.Record{Request: c.id, Session: hex.EncodeToString(sess.ID[:]), TEE: sess.TEE, Tier: d.Tier().String()}
	return d, s.seeMachine(ctx, x.a, rec)
}

// decideRelease asks the resource policy if one is set, else the policy.
func (s *Server) decideRelease(ctx context.Context, c *call, sess store.Session, x appraised, path string) (*policy.Decision, error) {
	now := s.live.get()
	if now.Resource == nil {
		return now.Policy.Decide(ctx, x.a, policy.MayHave(path))
	}
	d, err := now.Policy.Decide(ctx, x.a, policy.Acceptable())
	if err != nil {
		return nil, err
	}
	in, err := s.storedInput(sess, x)
	if err != nil {
		return nil, err
	}
	token, err := s.cfg.Parts.Issue(ctx, x.a, d, in)
	if err != nil {
		return nil, err
	}
	claims, err := tokenClaims(token)
	if err != nil {
		return nil, err
	}
	return now.Resource.Decide(ctx, policy.ResourceQuestion{
		Claims: claims, Plugin: "resource", Path: strings.Split(path, "/"), Query: query(c), Resource: path, Tier: d.Tier(),
	})
}

// tokenClaims returns the payload of a token that this server has just signed.
func tokenClaims(token string) ([]byte, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fault.New(fault.Internal, "the issued token is not a JWT")
	}
	out, err := base64.RawURLEncoding.DecodeString(parts[1])
	return out, fault.As(fault.Internal, err)
}

// storedInput is the input of a token about an attested session.
func (s *Server) storedInput(sess store.Session, x appraised) (TokenInput, error) {
	if p, ok := twostep.PurposeOf(sess.Version); ok {
		sub, err := twostep.ParseSubmission(p, sess.Evidence)
		if err != nil {
			return TokenInput{}, err
		}
		return s.nativeInput(sess, sub), nil
	}
	att, err := rcar.ParseAttestation(rcar.Version(sess.Version), sess.Evidence)
	if err != nil {
		return TokenInput{}, err
	}
	return s.tokenInput(sess, att, x), nil
}

func (s *Server) tokenInput(sess store.Session, att *rcar.Attestation, x appraised) TokenInput {
	tee, _ := rcar.ParseTEE(sess.TEE)
	in := TokenInput{TEE: tee.Name, Class: string(tee.Class), Nonce: sess.Nonce, Key: att.Key.JSON(), Additional: att.Additional, Now: s.cfg.Clock()}
	if x.initData != nil {
		in.InitData = x.initData
	}
	return in
}

// releaseFailed gives every denial the one body that clients know; only what says nothing about the ticket differs.
func releaseFailed(err error) error {
	switch {
	case release.ReasonOf(err) == string(release.SecretMissing), fault.Is(err, fault.Unavailable):
		return &wireError{variant: rcar.PluginInternalError, detail: "Plugin internal error", err: err}
	case fault.Is(err, fault.Internal):
		return &wireError{variant: rcar.JweError, detail: "JWE failed", err: err}
	}
	return &wireError{variant: rcar.PolicyDeny, detail: "Access denied by policy", err: err}
}

// resourcePath is repository/type/tag; two segments are in the repository "default".
func resourcePath(c *call) (string, error) {
	path := c.r.PathValue("path")
	if strings.Count(path, "/") == 1 {
		path = "default/" + path
	}
	if !rcar.ValidResource(path) {
		return "", &wireError{status: http.StatusBadRequest, variant: rcar.PluginInternalError, detail: "Plugin internal error",
			err: fault.New(fault.Malformed, "%q is not of the form repository/type/tag", clip(path))}
	}
	return path, nil
}

// kbsUnknown answers what no built-in route and no plugin takes.
func (s *Server) kbsUnknown(c *call) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, "/kbs/v0/"), "/")
	switch name {
	case "":
		return s.notFound(c)
	case "resource":
		return fault.New(fault.Unsupported, "resources know GET, POST and DELETE, not %s", c.r.Method)
	}
	return &wireError{status: http.StatusNotFound, variant: rcar.PluginNotFound, detail: "Plugin " + name + " not found", err: fault.New(fault.Unsupported, "there is no plugin %q", clip(name))}
}
