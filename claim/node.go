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
	Kind NodeKind
	num  uint64 // integers and booleans
	text string // text, or the bytes of a NodeHex
	kids *kids  // of lists and objects
}

// kids are kept apart, so that the many scalars stay small: every verdict makes a hundred of them.
type kids struct {
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
func H(b []byte) Node { return Node{Kind: NodeHex, text: string(b)} }

// U is an unsigned integer.
func U(u uint64) Node { return Node{Kind: NodeUint, num: u} }

// I is a signed integer.
func I(i int64) Node { return Node{Kind: NodeInt, num: uint64(i)} }

// B is a boolean.
func B(b bool) Node {
	n := Node{Kind: NodeBool}
	if b {
		n.num = 1
	}
	return n
}

// L is a list.
func L(n ...Node) Node { return Node{Kind: NodeList, kids: &kids{list: n}} }

// O is an object.
func O(m ...Member) Node { return Node{Kind: NodeObject, kids: &kids{object: m}} }

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
		return hex.EncodeToString([]byte(n.text))
	}
	return n.text
}

// Bytes returns the bytes of a NodeHex.
func (n Node) Bytes() []byte {
	if n.Kind != NodeHex {
		return nil
	}
	return []byte(n.text)
}

// Uint returns the value of a NodeUint.
func (n Node) Uint() uint64 { return n.num }

// Int returns the value of a NodeInt.
func (n Node) Int() int64 { return int64(n.num) }

// Bool returns the value of a NodeBool.
func (n Node) Bool() bool { return n.num == 1 }

// List returns the entries of a NodeList.
func (n Node) List() []Node {
	if n.kids == nil {
		return nil
	}
	return n.kids.list
}

// Object returns the members of a NodeObject.
func (n Node) Object() Object {
	if n.kids == nil {
		return nil
	}
	return n.kids.object
}

// String renders n on one line.
func (n Node) String() string {
	switch n.Kind {
	case NodeText, NodeHex:
		return n.Text()
	case NodeUint:
		return strconv.FormatUint(n.num, 10)
	case NodeInt:
		return strconv.FormatInt(int64(n.num), 10)
	case NodeBool:
		return strconv.FormatBool(n.Bool())
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
		b = hex.AppendEncode(b, []byte(n.text))
		return append(b, '"'), nil
	case NodeUint:
		return strconv.AppendUint(b, n.num, 10), nil
	case NodeInt:
		return strconv.AppendInt(b, int64(n.num), 10), nil
	case NodeBool:
		return strconv.AppendBool(b, n.Bool()), nil
	case NodeList:
		b = append(b, '[')
		for i, e := range n.List() {
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
		return n.Object().appendJSON(b)
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
