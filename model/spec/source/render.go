package source

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// flowWidth is the longest list or object that is written in one line.
const flowWidth = 80

// A writer writes values in the manner of a place.
type writer struct {
	*File
	// json writes as JSON does: keys and texts in double quotes.
	json bool
	// colon and comma stand in a line with what they separate.
	colon, comma string
	// dashes indents the items of lists below their key.
	dashes bool
}

// writerAt returns a writer for values in a node.
func (f *File) writerAt(n *Node) *writer {
	w := &writer{File: f, json: f.JSON, colon: ": ", comma: ", ", dashes: f.dashesIndented()}
	for n != nil && (n.Kind != Object || len(n.Entries) == 0) {
		n = n.Parent
	}
	if n == nil {
		return w
	}
	// Objects whose keys are all quoted are written by people who write JSON.
	quoted := !slices.ContainsFunc(n.Entries, func(e Entry) bool { return e.Key.Style != Double })
	w.json = w.json || quoted
	if e := n.Entries[0]; quoted && n.Style == Flow && e.colon >= 0 && e.Value.From == e.colon+1 {
		w.colon, w.comma = ":", "," // written as small as possible
	}
	return w
}

// dashesIndented reports whether the first list in block style is indented below
// its key.
func (f *File) dashesIndented() bool {
	indented, found := true, false
	var find func(n *Node)
	find = func(n *Node) {
		for i := 0; i < len(n.Entries) && !found; i++ {
			e := &n.Entries[i]
			if e.Key != nil && e.Value.Kind == List && e.Value.Style == Block && len(e.Value.Entries) > 0 {
				found = true
				indented = f.column(e.Value.Entries[0].From) > f.column(e.From)
				return
			}
			find(e.Value)
		}
	}
	for _, doc := range f.Documents {
		find(doc)
	}
	return indented
}

// inline writes a value in one line.
func (w *writer) inline(v *decode.Node, inFlow bool) string {
	switch {
	case v.Shape == decode.List:
		items := make([]string, len(v.Items))
		for i, item := range v.Items {
			items[i] = w.inline(item, true)
		}
		return "[" + strings.Join(items, w.comma) + "]"
	case v.Shape == decode.Object:
		fields := make([]string, len(v.Fields))
		for i, field := range v.Fields {
			fields[i] = w.key(field.Key, true) + w.colon + w.inline(field.Value, true)
		}
		return "{" + strings.Join(fields, w.comma) + "}"
	case v.Shape == decode.Text:
		return w.text(v.Scalar, inFlow, Plain)
	case !v.IsScalar():
		return "null"
	}
	if w.json && !json.Valid([]byte(v.Scalar)) {
		return quoteDouble(v.Scalar)
	}
	return v.Scalar
}

func (w *writer) key(key string, inFlow bool) string {
	if w.json {
		return quoteDouble(key)
	}
	return w.text(key, inFlow, Plain)
}

// text writes a text in a style, or in another if that style cannot hold it.
func (w *writer) text(s string, inFlow bool, style Style) string {
	oneLine := !strings.ContainsFunc(s, func(c rune) bool {
		return c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0x2028 || c == 0x2029 || c == 0xfeff
	})
	switch {
	case w.json || style == Double || !oneLine:
		return quoteDouble(s)
	case style == Single || !isPlain(s, inFlow):
		if style != Single && !strings.ContainsAny(s, `"\`) {
			return `"` + s + `"`
		}
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return s
}

// simple are texts that every reader of YAML takes as they are, if they are no
// numbers and no words with a meaning.
var simple = regexp.MustCompile(`^[\pL\pN_./\\(<>=~^+$-]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f:])?$`)

// isPlain reports whether a text needs no quotes.
func isPlain(s string, inFlow bool) bool {
	switch {
	case !simple.MatchString(s), strings.Contains(s, ": "), strings.Contains(s, " #"), strings.Contains(s, ":\t"), strings.Contains(s, "\t#"):
		return false
	case inFlow && strings.ContainsAny(s, ",[]{}:?#"):
		return false
	case strings.HasPrefix(s, "- "), strings.HasPrefix(s, "---"), strings.HasPrefix(s, "..."), s == "-", strings.HasPrefix(s, "> "), s[0] == '>', s[0] == '=':
		return false
	case strings.Contains("|y|n|yes|no|on|off|true|false|null|", "|"+strings.ToLower(s)+"|"):
		return false // other readers take them for truth values
	}
	y := yaml.Node{Kind: yaml.ScalarNode, Value: s}
	return y.ShortTag() == "!!str"
}

// quoteDouble quotes as JSON does, which YAML reads alike.
func quoteDouble(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return `""` // not reached: text always encodes
	}
	quoted := strings.TrimSuffix(b.String(), "\n")
	// Characters that JSON leaves as they are, but YAML does not print.
	return regexp.MustCompile("[\x7f-\u009f\ufeff]").ReplaceAllStringFunc(quoted, func(c string) string {
		const hex = "0123456789abcdef"
		r := []rune(c)[0]
		return `\u` + string([]byte{hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15]})
	})
}

// fits reports whether a value is written in one line: it is short, and no list
// of named things.
func fits(v *decode.Node) bool {
	if v.IsScalar() || len(v.Items)+len(v.Fields) == 0 {
		return true
	}
	for _, item := range v.Items {
		if item.Has("name") {
			return false
		}
	}
	return !v.Has("name") && len(v.JSON()) <= flowWidth
}

// block writes a value after a key or a dash, with what stands between: a blank,
// or a line break and an indentation. key says that it stands after a key.
func (w *writer) block(v *decode.Node, indent string, key bool) string {
	switch {
	case fits(v):
		return " " + w.inline(v, false)
	case v.Shape == decode.List:
		inner := indent
		if !key || w.dashes {
			inner += strings.Repeat(" ", w.Indent)
		}
		var b strings.Builder
		for _, item := range v.Items {
			b.WriteString(w.EOL + inner + "-" + w.block(item, inner, false))
		}
		return b.String()
	}
	return w.blockObject(v, indent, key)
}

// blockObject writes an object one field a line.
func (w *writer) blockObject(v *decode.Node, indent string, key bool) string {
	inner, b := indent+"  ", strings.Builder{}
	if key {
		inner = indent + strings.Repeat(" ", w.Indent)
	}
	for i, field := range v.Fields {
		if i == 0 && !key {
			b.WriteString(" ")
		} else {
			b.WriteString(w.EOL + inner)
		}
		b.WriteString(w.key(field.Key, false) + ":" + w.block(field.Value, inner, true))
	}
	return b.String()
}
