package server

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jcs"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/store"
)

// change stores a policy or statement after it has been tried, and loads it. With ?dry-run it is only tried; the
// version is then 0.
func (s *Server) change(c *call, policies bool, id string, data []byte) (store.Document, error) {
	ctx := c.r.Context()
	if err := s.live.try(ctx, policies, store.Document{ID: id, Data: data}); err != nil {
		return store.Document{}, err
	}
	if c.r.URL.Query().Has("dry-run") {
		return store.Document{ID: id}, nil
	}
	put := s.cfg.Store.PutStatement
	if policies {
		put = s.cfg.Store.PutPolicy
	}
	d, err := put(ctx, id, data, s.audit(c, id, "stored"))
	if err != nil {
		return d, err
	}
	return d, s.live.refresh(ctx)
}

func (s *Server) remove(c *call, policies bool, id string) error {
	ctx := c.r.Context()
	if err := s.live.try(ctx, policies, store.Document{ID: id, Deleted: true}); err != nil {
		return err
	}
	del := s.cfg.Store.DeleteStatement
	if policies {
		del = s.cfg.Store.DeletePolicy
	}
	found, err := del(ctx, id, s.audit(c, id, "deleted"))
	if err != nil {
		return err
	}
	if !found {
		return noDocument(id)
	}
	if err := s.live.refresh(ctx); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func noDocument(id string) error {
	return &wireError{status: http.StatusNotFound, variant: rcar.RvpsError, err: fault.New(fault.Denied, "nothing is stored as %q", clip(id))}
}

// ---- the KBS protocol's administration (kbs-protocol.md sections 2, 15 and 16) -------------------------------------

// policyBody reads {"policy":"<base64url>", "policy_id":…}; other members are ignored.
func policyBody(body []byte) (id string, text []byte, err error) {
	members, err := jsonx.Object(body)
	if err != nil {
		return "", nil, err
	}
	for _, m := range members {
		switch m.Name {
		case "policy_id":
			id, err = jsonx.String(m.Raw)
		case "policy":
			var b64 string
			if b64, err = jsonx.String(m.Raw); err == nil {
				text, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(b64, "="))
				err = fault.As(fault.Malformed, err)
			}
		}
		if err != nil {
			return "", nil, err
		}
	}
	if text == nil {
		return "", nil, fault.New(fault.Malformed, "the member policy is missing")
	}
	return id, text, nil
}

func (s *Server) kbsSetResourcePolicy(c *call) error {
	_, text, err := policyBody(c.body)
	if err == nil {
		_, err = s.change(c, true, ResourcePolicyID, text)
	}
	if err != nil {
		return &wireError{variant: rcar.ParsePolicyError, detail: "Failed to parse policy: " + err.Error(), err: err}
	}
	return c.raw("", nil)
}

// kbsResourcePolicies lists ids, as the existing server does; the text is read at GET /v1/policies/resource-policy.
func (s *Server) kbsResourcePolicies(c *call) error {
	return c.raw("", []byte(`["`+ResourcePolicyID+`"]`))
}

func (s *Server) kbsSetAttestationPolicy(c *call) error {
	id, text, err := policyBody(c.body)
	if err == nil && !validName(id) {
		err = fault.New(fault.Malformed, "policy_id %q is missing or not a name", clip(id))
	}
	if err == nil {
		_, err = s.change(c, true, AttestationPrefix+id, text)
	}
	if err != nil {
		return &wireError{variant: rcar.AttestationError, detail: "Attestation error: Set Attestation Policy failed", err: err}
	}
	return c.raw("", nil)
}

// referenceValue is the stored form of RVPS.
type referenceValue struct {
	Version    string          `json:"version"`
	Name       string          `json:"name"`
	Expiration string          `json:"expiration"`
	Value      json.RawMessage `json:"value"`
}

const maxReferenceValues = 1000 // of one message

// kbsSetReferenceValue takes an RVPS message. Nobody signed it: the administrator who sends it vouches for it, and the
// log says who that was.
func (s *Server) kbsSetReferenceValue(c *call) error {
	fail := func(err error) error {
		return &wireError{variant: rcar.RvpsError, detail: "RVPS configuration failed: " + err.Error(), err: err}
	}
	var msg struct{ Version, Type, Payload string }
	body := c.body
	// kbs-client may wrap the message in a string.
	if inner, err := jsonx.String(body); err == nil {
		body = []byte(inner)
	}
	if err := jsonx.Unmarshal(body, &msg, false); err != nil {
		return fail(err)
	}
	if msg.Type != "sample" {
		return fail(fault.New(fault.Unsupported, "extractor %q is not served; submit signed statements at /v1/statements", clip(msg.Type)))
	}
	payload, err := base64.StdEncoding.DecodeString(msg.Payload)
	if err != nil {
		return fail(fault.New(fault.Malformed, "payload is not standard base64"))
	}
	members, err := jsonx.Object(payload)
	if err != nil {
		return fail(err)
	}
	if len(members) == 0 || len(members) > maxReferenceValues {
		return fail(fault.New(fault.Malformed, "a message holds 1 to %d reference values", maxReferenceValues))
	}
	until := s.cfg.Clock().AddDate(1, 0, 0).UTC().Format(time.RFC3339)
	for _, m := range members {
		if !validName(m.Name) {
			return fail(fault.New(fault.Malformed, "%q is not a name of a reference value", clip(m.Name)))
		}
		value, err := jcs.Transform(m.Raw)
		if err != nil {
			return fail(err)
		}
		data, err := json.Marshal(referenceValue{Version: "0.1.0", Name: m.Name, Expiration: until, Value: value})
		if err != nil {
			return fail(fault.As(fault.Internal, err))
		}
		if _, err := s.change(c, false, ReferenceValuePrefix+m.Name, data); err != nil {
			return fail(err)
		}
	}
	return c.raw("application/json", nil)
}

func (s *Server) kbsReferenceValue(c *call) error {
	id := c.r.PathValue("id")
	d, found, err := s.cfg.Store.Statement(c.r.Context(), ReferenceValuePrefix+id)
	var rv referenceValue
	if err == nil && found {
		err = fault.As(fault.Internal, json.Unmarshal(d.Data, &rv))
	}
	if err == nil && found {
		// A lapsed value is as absent as a missing one (trustee-superset C7).
		until, perr := time.Parse(time.RFC3339, rv.Expiration)
		found = perr == nil && s.cfg.Clock().Before(until)
	}
	switch {
	case err != nil:
		return &wireError{variant: rcar.RvpsError, detail: "RVPS configuration failed: Failed to get reference_values", err: err}
	case !found:
		e := noDocument(id).(*wireError)
		e.detail = "RVPS configuration failed: Failed to get reference_values: No reference value found for the given id: " + id
		return e
	}
	return c.raw("application/json", rv.Value)
}

// ---- what it lacks: list, read, history, delete ----------------------------------------------------------------------

type documentList struct {
	Documents []store.Document `json:"documents"`
}

func (s *Server) listPolicies(c *call) error {
	list, err := s.cfg.Store.PolicyList(c.r.Context())
	if err != nil {
		return err
	}
	return c.json(doc(documentList{orEmpty(list)}))
}

func (s *Server) getPolicy(c *call) error {
	id := c.r.PathValue("id")
	if c.r.URL.Query().Has("history") {
		list, err := s.cfg.Store.PolicyHistory(c.r.Context(), id)
		if err != nil {
			return err
		}
		return c.json(doc(documentList{orEmpty(list)}))
	}
	d, found, err := s.cfg.Store.Policy(c.r.Context(), id)
	if err != nil {
		return err
	}
	if !found {
		return noDocument(id)
	}
	return c.raw("text/plain; charset=utf-8", d.Data)
}

func (s *Server) putPolicy(c *call) error {
	id := c.r.PathValue("id")
	if id != ResourcePolicyID && !(strings.HasPrefix(id, PolicyPrefix) || strings.HasPrefix(id, AttestationPrefix)) || !validName(id) {
		return fault.New(fault.Usage, "a policy is called %s, %s… or %s…", ResourcePolicyID, PolicyPrefix, AttestationPrefix)
	}
	d, err := s.change(c, true, id, c.body)
	if err != nil {
		return err
	}
	return c.json(doc(d))
}

func (s *Server) deletePolicy(c *call) error { return s.remove(c, true, c.r.PathValue("id")) }

func (s *Server) listStatements(c *call) error {
	list, err := s.cfg.Store.StatementList(c.r.Context())
	if err != nil {
		return err
	}
	return c.json(doc(documentList{orEmpty(list)}))
}

func (s *Server) getStatement(c *call) error {
	id := c.r.PathValue("id")
	d, found, err := s.cfg.Store.Statement(c.r.Context(), id)
	if err != nil {
		return err
	}
	if !found {
		return noDocument(id)
	}
	return c.raw("application/octet-stream", d.Data)
}

func (s *Server) putStatement(c *call) error {
	id := c.r.PathValue("id")
	if !strings.HasPrefix(id, StatementPrefix) || !validName(id) {
		return fault.New(fault.Usage, "a statement is called %s…", StatementPrefix)
	}
	d, err := s.change(c, false, id, c.body)
	if err != nil {
		return err
	}
	return c.json(doc(d))
}

func (s *Server) deleteStatement(c *call) error { return s.remove(c, false, c.r.PathValue("id")) }
