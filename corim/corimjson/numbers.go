package corimjson

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/claim"
)

// ends is {"min": …, "max": …}; a missing or null end is open.
type ends struct {
	Min json.RawMessage `json:"min"`
	Max json.RawMessage `json:"max"`
}

func isNull(r json.RawMessage) bool { return len(r) == 0 || string(r) == "null" }

func rangeIn[T any](r json.RawMessage, one func(json.RawMessage) (T, error)) (*claim.Range[T], error) {
	var e ends
	if err := decode(r, &e); err != nil {
		return nil, err
	}
	out := &claim.Range[T]{}
	for _, x := range []struct {
		r  json.RawMessage
		to **T
	}{{e.Min, &out.Min}, {e.Max, &out.Max}} {
		if isNull(x.r) {
			continue
		}
		v, err := one(x.r)
		if err != nil {
			return nil, err
		}
		*x.to = &v
	}
	return out, nil
}

func rangeOut[T any](kind string, r claim.Range[T], one func(T) json.RawMessage) json.RawMessage {
	e := ends{Min: json.RawMessage("null"), Max: json.RawMessage("null")}
	if r.Min != nil {
		e.Min = one(*r.Min)
	}
	if r.Max != nil {
		e.Max = one(*r.Max)
	}
	return raw(typed{kind, raw(e)})
}

func intOne(r json.RawMessage) (claim.Int, error) {
	neg, mag, err := intIn(string(r))
	return claim.Int{Neg: neg, Mag: mag}, err
}

func intOneOut(i claim.Int) json.RawMessage { return intOut(i.Neg, i.Mag) }

// intRangeIn reads a plain integer, {"type": "rawIntInteger", "value": n} or {"type": "rawIntRange", "value": {min, max}}.
func intRangeIn(r json.RawMessage) (*claim.IntRange, error) {
	if r == nil {
		return nil, nil
	}
	t := typed{"rawIntInteger", r}
	if isObject(r) {
		if err := decode(r, &t); err != nil {
			return nil, err
		}
	}
	switch t.Type {
	case "rawIntInteger":
		i, err := intOne(t.Value)
		return &claim.IntRange{Value: &i}, err
	case "rawIntRange":
		rg, err := rangeIn(t.Value, intOne)
		return &claim.IntRange{Range: rg}, err
	}
	return nil, bad("int-range: the type %q is none of rawIntInteger and rawIntRange", t.Type)
}

func intRangeOut(v *claim.IntRange) json.RawMessage {
	switch {
	case v == nil:
		return nil
	case v.Range != nil:
		return rangeOut("rawIntRange", *v.Range, intOneOut)
	case v.Value != nil:
		return raw(typed{"rawIntInteger", intOneOut(*v.Value)})
	}
	return nil
}

func numberOne(r json.RawMessage) (claim.Number, error) {
	s := string(r)
	if !strings.ContainsAny(s, ".eE") {
		i, err := intOne(r)
		return claim.Number{I: i}, err
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return claim.Number{}, bad("%s is no number", s)
	}
	return claim.Number{Float: true, F: f}, nil
}

func numberOneOut(n claim.Number) json.RawMessage {
	if n.Float {
		return floatOut(n.F)
	}
	return intOneOut(n.I)
}

// numberIn reads a number (a float has a point or an exponent), {"type": "range", …} or {"type": "set", …}.
func numberIn(r json.RawMessage) (*claim.NumberChoice, error) {
	if r == nil {
		return nil, nil
	}
	if !isObject(r) {
		n, err := numberOne(r)
		return &claim.NumberChoice{Value: &n}, err
	}
	list, ok, err := set(r)
	if err != nil {
		return nil, err
	}
	c := &claim.NumberChoice{}
	if ok {
		for _, x := range list {
			n, err := numberOne(x)
			if err != nil {
				return nil, err
			}
			c.Set = append(c.Set, n)
		}
		return c, nil
	}
	var t typed
	if err := decode(r, &t); err != nil {
		return nil, err
	}
	if t.Type != "range" {
		return nil, bad("number: the type %q is none of range and set", t.Type)
	}
	c.Range, err = rangeIn(t.Value, numberOne)
	return c, err
}

func numberOut(c *claim.NumberChoice) json.RawMessage {
	switch {
	case c == nil:
		return nil
	case c.Range != nil:
		return rangeOut("range", *c.Range, numberOneOut)
	case c.Set != nil:
		list := []json.RawMessage{}
		for _, n := range c.Set {
			list = append(list, numberOneOut(n))
		}
		return raw(typed{"set", raw(list)})
	case c.Value != nil:
		return numberOneOut(*c.Value)
	}
	return nil
}
