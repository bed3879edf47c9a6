package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// allowed lists every built-in function that a policy may call. What is missing is missing on purpose: anything that
// reaches the network, the process, the file system, randomness or the wall clock (the clock is input.time), anything
// whose result can be much larger than its arguments (numbers.range, net.cidr_expand, graph.*, walk), and anything that
// signs, parses programs or resolves references (io.jwt.encode_*, rego.parse_module, json.match_schema).
var allowed = []string{
	"abs", "all", "and", "any", "array.concat", "array.flatten", "array.reverse", "array.slice", "assign", "base64.decode",
	"base64.encode", "base64.is_valid", "base64url.decode", "base64url.encode", "base64url.encode_no_pad", "bits.and",
	"bits.negate", "bits.or", "bits.xor", "ceil", "concat", "contains", "count", "crypto.sha1", "crypto.sha256", "div",
	"endswith", "eq", "equal", "floor", "format_int", "glob.match", "gt", "gte", "hex.decode", "hex.encode", "indexof",
	"internal.member_2", "internal.member_3", "internal.print", "internal.template_string", "internal.test_case",
	"intersection", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string", "json.filter",
	"json.is_valid", "json.marshal", "json.remove", "json.unmarshal", "lower", "lt", "lte", "max", "min", "minus", "mul",
	"neq", "object.filter", "object.get", "object.keys", "object.remove", "object.subset", "object.union",
	"object.union_n", "or", "plus", "print", "regex.is_valid", "regex.match", "regex.split", "rem", "replace", "round",
	"semver.compare", "semver.is_valid", "set_diff", "sort", "split", "sprintf", "startswith", "strings.any_prefix_match",
	"strings.any_suffix_match", "strings.count", "strings.reverse", "substring", "sum", "time.add_date", "time.clock",
	"time.date", "time.diff", "time.parse_duration_ns", "time.parse_ns", "time.parse_rfc3339_ns", "time.weekday",
	"to_number", "trim", "trim_left", "trim_prefix", "trim_right", "trim_space", "trim_suffix", "type_name", "union",
	"units.parse_bytes", "upper",
}

// capabilities is the compiler's view: the allowed functions, all language features, no network host at all.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool { return !slices.Contains(allowed, b.Name) })
	c.AllowNet = []string{}
	return c
}
