package source

import (
	"encoding/json"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

func isJSON(name string, text []byte) bool { return decode.IsJSON(name, text) }

// parseJSON reads JSON values, one after another.
func (f *File) parseJSON() error {
	b := &builder{File: f, at: f.bom}
	for b.blanks(); b.at < len(f.Text) && b.err == nil; b.blanks() {
		f.Documents = append(f.Documents, b.jsonValue(nil))
	}
	return b.err
}

func (b *builder) blanks() {
	for b.at < len(b.Text) && (b.Text[b.at] == ' ' || b.Text[b.at] == '\t' || b.Text[b.at] == '\n' || b.Text[b.at] == '\r') {
		b.at++
	}
}

// takeJSON skips blanks and a character, and reports whether it was there.
func (b *builder) takeJSON(c byte) bool {
	b.blanks()
	if b.at < len(b.Text) && b.Text[b.at] == c {
		b.at++
		return true
	}
	return false
}

func (b *builder) jsonValue(parent *Node) *Node {
	b.blanks()
	n := &Node{Parent: parent, From: b.at, Body: b.at, Style: Flow}
	switch {
	case b.at >= len(b.Text):
		b.fail()
	case b.takeJSON('{'):
		n.Kind = Object
		b.jsonEntries(n, '}')
	case b.takeJSON('['):
		n.Kind = List
		b.jsonEntries(n, ']')
	case b.Text[b.at] == '"':
		n.Style, n.Tag = Double, "!!str"
		b.quoted('"')
		if b.err == nil && json.Unmarshal(b.Text[n.From:b.at], &n.Value) != nil {
			b.fail()
		}
	default:
		b.jsonWord(n)
	}
	n.To = b.at
	return n
}

func (b *builder) jsonEntries(n *Node, closing byte) {
	for !b.takeJSON(closing) && b.err == nil {
		if len(n.Entries) > 0 && !b.takeJSON(',') {
			b.fail()
			return
		}
		b.blanks()
		e := Entry{From: b.at, colon: -1}
		if n.Kind == Object {
			if e.Key = b.jsonValue(n); !b.takeJSON(':') {
				b.fail()
				return
			}
			e.colon = b.at - 1
		}
		e.Value = b.jsonValue(n)
		n.Entries = append(n.Entries, e)
	}
}

func (b *builder) jsonWord(n *Node) {
	for b.at < len(b.Text) {
		if c := b.Text[b.at]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != 'E' {
			break
		}
		b.at++
	}
	n.Style, n.Value = Plain, string(b.Text[n.From:b.at])
	switch n.Value {
	case "null":
		n.Tag = "!!null"
	case "true", "false":
		n.Tag = "!!bool"
	default:
		n.Tag = "!!float"
		if _, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			n.Tag = "!!int"
		}
		if !json.Valid([]byte(n.Value)) {
			b.fail()
		}
	}
}
