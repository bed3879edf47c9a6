package claim

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// NodeKind says what a [Node] holds.
type NodeKind uint8

// The kinds of nodes.
const (
	NodeNull NodeKind = iota
	NodeText
	NodeHex
	NodeUint
	NodeInt
	NodeBool
	NodeList
	NodeObject
)

// Node is a value of a claim for policies and people: JSON's data model with integers and byte strings kept apart.
// The zero Node is null.
type Node struct {
	Kind   NodeKind
	text   string
	bytes  []byte
	uint   uint64
	bool   bool
	list   []Node
	object Object
}

// Member is one named claim.
type Member struct {
	Name  string
	Value Node
}

// Object is a list of named claims in a fixed order; names are unique.
type Object []Member

// S, H, U, I, B, L and O make nodes of text, bytes (rendered as lower-case hex), integers, booleans, lists and objects.
func S(s string) Node { return Node{Kind: NodeText, text: s} }

// H is a byte string, rendered as lower-case hex.
func H(b []byte) Node { return Node{Kind: NodeHex, bytes: b} }

// U is an unsigned integer.
func U(u uint64) Node { return Node{Kind: NodeUint, uint: u} }

// I is a signed integer.
func I(i int64) Node { return Node{Kind: NodeInt, uint: uint64(i)} }

// B is a boolean.
func B(b bool) Node { return Node{Kind: NodeBool, bool: b} }

// L is a list.
func L(n ...Node) Node { return Node{Kind: NodeList, list: n} }

// O is an object.
func O(m ...Member) Node { return Node{Kind: NodeObject, object: m} }

// Null is null.
func Null() Node { return Node{} }

// Get returns the member of that name.
func (o Object) Get(name string) (Node, bool) {
	for _, m := range o {
		if m.Name == name {
			return m.Value, true
		}
	}
	return Node{}, false
}

// Text returns text, or the hex of bytes.
func (n Node) Text() string {
	if n.Kind == NodeHex {
		return hex.EncodeToString(n.bytes)
	}
	return n.text
}

// Bytes returns the bytes of a NodeHex.
func (n Node) Bytes() []byte { return n.bytes }

// Uint returns the value of a NodeUint.
func (n Node) Uint() uint64 { return n.uint }

// Int returns the value of a NodeInt.
func (n Node) Int() int64 { return int64(n.uint) }

// Bool returns the value of a NodeBool.
func (n Node) Bool() bool { return n.bool }

// List returns the entries of a NodeList.
func (n Node) List() []Node { return n.list }

// Object returns the members of a NodeObject.
func (n Node) Object() Object { return n.object }

// String renders n on one line.
func (n Node) String() string {
	switch n.Kind {
	case NodeText, NodeHex:
		return n.Text()
	case NodeUint:
		return strconv.FormatUint(n.uint, 10)
	case NodeInt:
		return strconv.FormatInt(int64(n.uint), 10)
	case NodeBool:
		return strconv.FormatBool(n.bool)
	}
	b, err := n.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// MarshalJSON renders n; unsigned integers in full, never as floats.
func (n Node) MarshalJSON() ([]byte, error) { return n.appendJSON(nil) }

// MarshalJSON keeps the order of o.
func (o Object) MarshalJSON() ([]byte, error) { return o.appendJSON(nil) }

func (n Node) appendJSON(b []byte) ([]byte, error) {
	switch n.Kind {
	case NodeText:
		return appendText(b, n.text)
	case NodeHex:
		b = append(b, '"')
		b = hex.AppendEncode(b, n.bytes)
		return append(b, '"'), nil
	case NodeUint:
		return strconv.AppendUint(b, n.uint, 10), nil
	case NodeInt:
		return strconv.AppendInt(b, int64(n.uint), 10), nil
	case NodeBool:
		return strconv.AppendBool(b, n.bool), nil
	case NodeList:
		b = append(b, '[')
		for i, e := range n.list {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = e.appendJSON(b); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case NodeObject:
		return n.object.appendJSON(b)
	}
	return append(b, "null"...), nil
}

func (o Object) appendJSON(b []byte) ([]byte, error) {
	b = append(b, '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendText(b, m.Name); err != nil {
			return nil, err
		}
		b = append(b, ':')
		if b, err = m.Value.appendJSON(b); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendText(b []byte, s string) ([]byte, error) {
	q, err := json.Marshal(s)
	return append(b, q...), err
}
