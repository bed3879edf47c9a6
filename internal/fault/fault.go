// Package fault is the closed set of failure classes that Assay knows.
//
// Every error that leaves a package of this module carries exactly one [Class]. The class, not the text, decides the
// exit code, the HTTP status, the problem type, the metric label and the name in an EAR; [Table] is the only place
// where these are written down.
package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Class says what kind of failure an error is. The zero value is Internal, so that a forgotten class never reads as
// a verdict about evidence.
type Class uint8

// The classes, in the order of DESIGN.md section 4.
const (
	Internal    Class = iota // a defect of ours or an I/O error; says nothing about the input
	Usage                    // called wrongly
	Malformed                // the bytes are not what they claim to be
	Unsupported              // well formed, but of a version, algorithm or profile that is not known here
	Signature                // a signature or a chain does not hold
	Revoked                  // the issuer has withdrawn a certificate or key
	Binding                  // authentic, but not tied to the nonce, key or session that was asked for
	Stale                    // outside the validity of a certificate, list or collateral at the time of appraisal
	Expired                  // outside the validity of a statement, result or ticket
	Denied                   // the policy or the broker says no
	Spent                    // was released before
	Scope                    // signed by somebody who may not speak about this
	Policy                   // the policy itself is wrong, or could not be evaluated
	Unavailable              // could not decide: something needed is not to be had now; a retry makes sense
	numClasses
)

// Row is one line of [Table].
type Row struct {
	Class       Class
	Name        string // stable, lower case; JSON "class", metric label
	Exit        int    // process exit code, DESIGN.md section 4
	HTTPStatus  int    // status on the native API; foreign wires have their own rules
	ProblemType string // RFC 9457 "type"
	EAR         string // value of ear_assay_fault.class
	Meaning     string // one sentence for people
}

const problemBase = "https://assay-tee.github.io/problems/"

// Table maps each class to everything that is derived from it, indexed by class.
var table = [numClasses]Row{
	{Internal, "internal", 1, http.StatusInternalServerError, problemBase + "internal", "internal", "Something went wrong here; the input was not judged."},
	{Usage, "usage", 2, http.StatusBadRequest, problemBase + "usage", "usage", "Called in a way that makes no sense."},
	{Malformed, "malformed", 3, http.StatusBadRequest, problemBase + "malformed", "malformed", "The bytes are not what they claim to be."},
	{Unsupported, "unsupported", 3, http.StatusUnprocessableEntity, problemBase + "unsupported", "unsupported", "Well formed, but of a version, algorithm or profile that is not known here."},
	{Signature, "signature", 4, http.StatusForbidden, problemBase + "signature", "signature", "Not authentic: a signature or a certificate chain does not hold."},
	{Revoked, "revoked", 4, http.StatusForbidden, problemBase + "revoked", "revoked", "Not authentic any more: the issuer has withdrawn a certificate or key."},
	{Binding, "binding", 5, http.StatusForbidden, problemBase + "binding", "binding", "Authentic, but not tied to the nonce, key or session that was asked for."},
	{Stale, "stale", 5, http.StatusForbidden, problemBase + "stale", "stale", "Outside the validity of a certificate, list or collateral at the time of appraisal."},
	{Expired, "expired", 5, http.StatusForbidden, problemBase + "expired", "expired", "Outside the validity of a statement, result or ticket."},
	{Denied, "denied", 7, http.StatusForbidden, problemBase + "denied", "denied", "The policy or the broker says no."},
	{Spent, "spent", 7, http.StatusConflict, problemBase + "spent", "spent", "Was released before, and may be released no more."},
	{Scope, "scope", 7, http.StatusForbidden, problemBase + "scope", "scope", "Signed by somebody who may not speak about this."},
	{Policy, "policy", 7, http.StatusUnprocessableEntity, problemBase + "policy", "policy", "The policy is wrong or could not be evaluated; that counts as no."},
	{Unavailable, "unavailable", 8, http.StatusServiceUnavailable, problemBase + "unavailable", "unavailable", "Could not decide now; a retry makes sense."},
}

// Table returns a copy of the table of all classes, in order.
func Table() []Row { return append([]Row(nil), table[:]...) }

// Row returns the table line of c; of an unknown c that of Internal.
func (c Class) Row() Row {
	if c >= numClasses {
		c = Internal
	}
	return table[c]
}

// String returns the stable name of c.
func (c Class) String() string { return c.Row().Name }

// ExitCode returns the process exit code of c.
func (c Class) ExitCode() int { return c.Row().Exit }

// ClassByName is the inverse of [Class.String].
func ClassByName(name string) (Class, bool) {
	for _, r := range table {
		if r.Name == name {
			return r.Class, true
		}
	}
	return Internal, false
}

// Error is an error with a class. Its text says what is wrong and, where that helps, what to do next.
type Error struct {
	class Class
	err   error
}

// New makes an error of class c. The format may use %w; a wrapped error that has a class of its own keeps its text
// but c is the class that counts from here on.
func New(c Class, format string, args ...any) error {
	return &Error{class: c, err: fmt.Errorf(format, args...)}
}

// Wrap adds context to err and keeps its class. Wrap(nil, …) is nil.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{class: ClassOf(err), err: fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)}
}

// As returns err with class c unless it has a class already. As(c, nil) is nil.
func As(c Class, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{class: c, err: err}
}

// Error implements error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap gives the wrapped error to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.err }

// Class returns the class of e.
func (e *Error) Class() Class { return e.class }

// ClassOf returns the class of the outermost classified error in err's chain. A cancelled or expired context without
// a class is Unavailable, everything else without a class Internal.
func ClassOf(err error) Class {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.class
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	}
	return Internal
}

// Is reports whether err has class c.
func Is(err error, c Class) bool { return err != nil && ClassOf(err) == c }
