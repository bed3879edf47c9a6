package rego_test

import (
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy/rego"
)

func TestRulesThatNoDecisionReaches(t *testing.T) {
	deny := "package assay.extra\ndeny contains \"no\" if bad\nbad if input.time_unix > 0\n"
	for name, tc := range map[string]struct {
		texts []string
		say   string // "": loaded
	}{
		"a helper in use":           {[]string{deny}, ""},
		"a test":                    {[]string{deny + "test_bad if bad\n"}, ""},
		"a function in use":         {[]string{"package assay.extra\ndeny contains \"no\" if f(1)\nf(x) if x > 0\n"}, ""},
		"a library in use":          {[]string{"package assay.extra\nimport data.fleet\ndeny contains \"no\" if fleet.bad\n", "package fleet\nbad if true\nspare := 1\n"}, ""},
		"finding misspelt":          {[]string{"package assay.extra\nfindings contains {\"code\": \"x\", \"what\": \"y\"} if true\n"}, "findings"},
		"deny misspelt, one right":  {[]string{deny + "denied contains \"no\" if bad\n"}, "denied"},
		"deny as a rule of assay":   {[]string{generous + "\ndeny contains \"no\" if true\n"}, "deny"},
		"two that use each other":   {[]string{deny + "f(x) if x > 0\ng if f(1)\n"}, "use"},
		"rules of Trustee's":        {[]string{"package policy\nimport rego.v1\ndefault executables := 33\n"}, "assay.extra"},
		"deny in a foreign package": {[]string{"package fleet\ndeny contains \"no\" if true\n"}, "assay.extra"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rego.Load(modules(tc.texts...), insecure(nil))
			if tc.say == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !fault.Is(err, fault.Policy) || !strings.Contains(err.Error(), tc.say) {
				t.Errorf("%v", err)
			}
		})
	}
}
