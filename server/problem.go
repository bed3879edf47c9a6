package server

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release"
)

// wireError is an error whose form on the wire is fixed.
type wireError struct {
	status  int          // on native routes; 0 takes that of the class
	variant rcar.Variant // on KBS routes
	detail  string       // on KBS routes: what clients match on, and all that they learn
	err     error
}

func (e *wireError) Error() string { return e.err.Error() }
func (e *wireError) Unwrap() error { return e.err }

// attestFailed is the one answer to everything that goes wrong in attest; its cause is not shown (kbs-protocol.md
// section 3).
func attestFailed(err error) error {
	return &wireError{variant: rcar.AttestationError, detail: "Attestation error: RCAR handshake Attest failed", err: err}
}

func authFailed(err error) error {
	return &wireError{variant: rcar.AttestationError, detail: "Attestation error: RCAR handshake Auth failed: " + err.Error(), err: err}
}

// problem is an RFC 9457 problem document with our members.
type problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Class   string `json:"class"`
	Reason  string `json:"reason"`
	Request string `json:"request"`
}

// fail answers with err in the wire's dialect.
func (s *Server) fail(w wire, c *call, err error) {
	var we *wireError
	if !errors.As(err, &we) {
		we = &wireError{variant: rcar.PluginInternalError, detail: "Plugin internal error", err: err}
	}
	class, reason := fault.ClassOf(err), release.ReasonOf(err)
	h := c.w.Header()
	if class == fault.Unavailable {
		h.Set("Retry-After", "5")
	}
	if w == kbs {
		var x rcar.Explained
		if s.cfg.Explain {
			x = rcar.Explained{Class: class.String(), Reason: reason}
		}
		h.Set("Content-Type", "application/json")
		c.w.WriteHeader(we.variant.Status())
		_, _ = c.w.Write(rcar.ErrorBody(we.variant, we.detail, x)) // the peer may be gone
		return
	}
	row := class.Row()
	p := problem{Type: row.ProblemType, Title: row.Meaning, Status: row.HTTPStatus, Detail: err.Error(), Class: row.Name, Reason: reason, Request: c.id}
	if we.status != 0 {
		p.Status = we.status
	}
	if class == fault.Internal {
		p.Detail = "see the log for request " + c.id
	}
	if w == guest && !s.cfg.Explain && secretive(class) {
		row := fault.Denied.Row()
		p = problem{Type: row.ProblemType, Title: row.Meaning, Status: row.HTTPStatus, Detail: "refused; the broker's log says why", Class: row.Name, Reason: row.Name, Request: c.id}
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="assay"`)
	}
	body, merr := json.Marshal(p)
	if merr != nil {
		body = []byte("{}")
	}
	h.Set("Content-Type", "application/problem+json")
	c.w.WriteHeader(p.Status)
	_, _ = c.w.Write(body)
}

// secretive reports whether an error of that class would tell a stranger what the broker knows or demands. What is
// wrong with the request itself, and that the broker cannot answer now, may be said (keylime-broker.md section 8).
func secretive(c fault.Class) bool {
	switch c {
	case fault.Malformed, fault.Usage, fault.Unsupported, fault.Unavailable, fault.Internal:
		return false
	}
	return true
}

// json answers 200 with v.
func (c *call) json(v json.Marshaler) error {
	body, err := v.MarshalJSON()
	if err != nil {
		return fault.As(fault.Internal, err)
	}
	return c.raw("application/json", body)
}

func (c *call) raw(contentType string, body []byte) error {
	if contentType != "" {
		c.w.Header().Set("Content-Type", contentType)
	}
	_, _ = c.w.Write(body)
	return nil
}

// document makes any value that encoding/json can write a json.Marshaler.
type document[T any] struct{ v T }

// MarshalJSON implements json.Marshaler.
func (d document[T]) MarshalJSON() ([]byte, error) { return json.Marshal(d.v) }

func doc[T any](v T) json.Marshaler { return document[T]{v} }
