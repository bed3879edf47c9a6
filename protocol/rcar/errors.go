package rcar

import (
	"net/http"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jcs"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Variant is the kind of an error on the wire (section 3).
type Variant string

// The variants that a server answers with.
const (
	AttestationError        Variant = "AttestationError"
	AdminAuthAccess         Variant = "AdminAuthAccess"
	AdminAuthInitialization Variant = "AdminAuthInitialization"
	TokenNotFound           Variant = "TokenNotFound"
	TokenVerifierError      Variant = "TokenVerifierError"
	PolicyDeny              Variant = "PolicyDeny"
	PolicyEngineError       Variant = "PolicyEngineError"
	ParsePolicyError        Variant = "ParsePolicyError"
	PluginNotFound          Variant = "PluginNotFound"
	PluginInternalError     Variant = "PluginInternalError"
	RvpsError               Variant = "RvpsError"
	JweError                Variant = "JweError"
	InvalidRequestPath      Variant = "InvalidRequestPath"
)

const errorBase = "https://github.com/confidential-containers/kbs/errors/"

// Status is 404 for unknown paths and plugins only. Everything else is 401, because a client that gets a 401 attests
// again, and takes every other status for the end.
func (v Variant) Status() int {
	if v == InvalidRequestPath || v == PluginNotFound {
		return http.StatusNotFound
	}
	return http.StatusUnauthorized
}

// Explained is what a server may add to an error when its operator wants guests to see why: our fault class and the
// reason code. Unmodified clients ignore the members.
type Explained struct {
	Class  string
	Reason string
}

// ErrorBody writes the body of an error.
func ErrorBody(v Variant, detail string, x Explained) []byte {
	out := jcs.AppendString([]byte(`{"type":`), errorBase+string(v))
	out = jcs.AppendString(append(out, `,"detail":`...), detail)
	if x.Class != "" {
		out = jcs.AppendString(append(out, `,"class":`...), x.Class)
		out = jcs.AppendString(append(out, `,"reason":`...), x.Reason)
	}
	return append(out, '}')
}

// WireError is an error that a server answered with.
type WireError struct {
	Status  int
	Variant Variant
	Detail  string
	Explained
}

func (e *WireError) Error() string {
	s := string(e.Variant) + ": " + e.Detail
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	return s
}

// parseError turns an answer that is not 200 into an error with a class.
func parseError(status int, body []byte) error {
	e := &WireError{Status: status}
	members, err := jsonx.Object(body)
	if err != nil {
		return fault.New(fault.Unavailable, "the broker answered %d without an error of the KBS protocol", status)
	}
	m := byName(members)
	text := func(name string) string { s, _ := jsonx.String(m[name]); return s }
	e.Variant, e.Detail = Variant(strings.TrimPrefix(text("type"), errorBase)), text("detail")
	e.Class, e.Reason = text("class"), text("reason")
	class := fault.Denied
	if c, ok := fault.ClassByName(e.Class); ok {
		class = c
	} else if e.Variant == PluginInternalError || e.Variant == PolicyEngineError || e.Variant == JweError {
		class = fault.Unavailable
	}
	return fault.New(class, "the broker refused: %w", e)
}
