package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func TestTableIsClosedAndUnambiguous(t *testing.T) {
	names, problems := map[string]bool{}, map[string]bool{}
	for i, r := range fault.Table() {
		if int(r.Class) != i {
			t.Errorf("row %d holds class %d", i, r.Class)
		}
		if r.Name == "" || r.ProblemType == "" || r.EAR == "" || r.Meaning == "" {
			t.Errorf("%v: a column is empty", r)
		}
		if names[r.Name] || problems[r.ProblemType] {
			t.Errorf("%s: name or problem type used twice", r.Name)
		}
		names[r.Name], problems[r.ProblemType] = true, true
		if r.Exit < 1 || r.Exit > 8 || r.Exit == 6 {
			t.Errorf("%s: exit code %d is not one for errors", r.Name, r.Exit)
		}
		if r.HTTPStatus < 400 || r.HTTPStatus > 599 {
			t.Errorf("%s: status %d is not an error", r.Name, r.HTTPStatus)
		}
		if got, ok := fault.ClassByName(r.Name); !ok || got != r.Class {
			t.Errorf("ClassByName(%q) = %v, %v", r.Name, got, ok)
		}
	}
}

// The exit codes are part of the command line's contract (DESIGN.md section 4).
func TestExitCodesAreThoseOfTheContract(t *testing.T) {
	want := map[string]int{
		"internal": 1, "usage": 2, "malformed": 3, "unsupported": 3, "signature": 4, "revoked": 4,
		"binding": 5, "stale": 5, "expired": 5, "denied": 7, "spent": 7, "scope": 7, "policy": 7, "unavailable": 8,
	}
	if len(want) != len(fault.Table()) {
		t.Fatalf("%d classes, %d expected", len(fault.Table()), len(want))
	}
	for _, r := range fault.Table() {
		if r.Exit != want[r.Name] {
			t.Errorf("%s: exit %d, want %d", r.Name, r.Exit, want[r.Name])
		}
	}
}

func TestClassSurvivesWrapping(t *testing.T) {
	base := fault.New(fault.Revoked, "serial %d: %w", 7, io.EOF)
	for name, tc := range map[string]struct {
		err  error
		want fault.Class
	}{
		"plain":            {base, fault.Revoked},
		"fmt":              {fmt.Errorf("x: %w", base), fault.Revoked},
		"Wrap":             {fault.Wrap(base, "chain"), fault.Revoked},
		"outermost counts": {fault.New(fault.Unavailable, "y: %w", base), fault.Unavailable},
		"As keeps a class": {fault.As(fault.Malformed, base), fault.Revoked},
		"As gives a class": {fault.As(fault.Malformed, io.EOF), fault.Malformed},
		"no class":         {io.EOF, fault.Internal},
		"cancelled":        {context.Canceled, fault.Unavailable},
		"unknown class":    {fault.New(fault.Class(200), "z"), fault.Class(200)},
		"joined":           {errors.Join(io.EOF, base), fault.Revoked},
	} {
		if got := fault.ClassOf(tc.err); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	if !errors.Is(fault.Wrap(base, "chain"), io.EOF) {
		t.Error("Wrap lost the cause")
	}
	if fault.Wrap(nil, "x") != nil || fault.As(fault.Denied, nil) != nil {
		t.Error("nil became an error")
	}
	if fault.Class(200).String() != "internal" {
		t.Error("an unknown class must read as internal")
	}
}
