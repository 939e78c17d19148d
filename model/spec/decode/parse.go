package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file. They keep a wrong or hostile file from taking the memory.
const (
	// MaxFileSize is the largest file, in bytes.
	MaxFileSize = 16 << 20
	// maxNodes is the number of values in a file, aliases counted each time.
	maxNodes = 500_000
	// maxMarks is the number of characters that may begin a value; it bounds
	// the nodes that the YAML library makes before they can be counted.
	maxMarks = 1_500_000
	maxDepth = 200
)

// ReadAll reads a whole file, and at most one byte more than is allowed.
func ReadAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileSize+1))
	if err == nil && len(data) > MaxFileSize {
		err = errors.New("the file is larger than 16Mi, which is the most that is read")
	}
	return data, err
}

// Parse reads the documents of a file. Empty documents are left out.
func (f *File) Parse(data []byte) []*Node {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	trimmed := bytes.TrimSpace(data)
	switch {
	case len(trimmed) == 0:
		f.whole("the file is empty", f.Types.Hint)
		return nil
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		f.whole("the file is in UTF-16, as > of Windows PowerShell writes it", "save it in UTF-8")
		return nil
	case bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data):
		f.whole("the file is not text", "give a YAML or JSON file in UTF-8")
		return nil
	case marks(data) > maxMarks:
		f.whole(fmt.Sprintf("the file has more than %d values", maxNodes), "generate less, or split it")
		return nil
	}
	if IsJSON(f.Name, data) {
		return f.parseJSON(data)
	}
	return f.parseYAML(data)
}

// IsJSON reports whether a file is read as JSON values, one after another, and
// not as YAML.
func IsJSON(name string, data []byte) bool {
	trimmed := bytes.TrimSpace(data)
	return len(trimmed) > 0 && trimmed[0] == '{' && (isJSON(trimmed) || strings.HasSuffix(name, ".json"))
}

// marks counts the characters that can begin a value.
func marks(data []byte) int {
	n := 0
	for _, c := range data {
		switch c {
		case ',', ':', '\n', '[', '{', '-', '?':
			n++
		}
	}
	return n
}

// AsYAML11 returns a text that asks for YAML 1.2 as one that asks for 1.1, of equal
// length: the library reads YAML 1.2, but refuses the directive that asks for it.
func AsYAML11(data []byte) []byte {
	if !bytes.Contains(data, []byte("%YAML 1.2")) {
		return data
	}
	return regexp.MustCompile(`(?m)^%YAML 1\.2`).ReplaceAll(data, []byte("%YAML 1.1"))
}

func (f *File) parseYAML(data []byte) []*Node {
	var docs []*Node
	dec := yaml.NewDecoder(bytes.NewReader(AsYAML11(data)))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			f.syntax(data, err)
			break
		}
		f.Nodes = append(f.Nodes, &doc)
		if len(doc.Content) == 0 {
			continue
		}
		x := expander{File: f, left: maxNodes}
		root := x.expand(doc.Content[0], 0)
		if x.stopped {
			break
		}
		if root.Shape != null {
			docs = append(docs, root)
		}
	}
	if len(docs) == 0 && len(f.Mistakes) == 0 {
		f.whole("the file has no content", f.Types.Hint)
	}
	return docs
}

// syntax reports what the YAML library could not read, at the place it names.
func (f *File) syntax(data []byte, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := regexp.MustCompile(`line (\d+):? `).FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = strings.Replace(message, m[0], "", 1)
		if strings.HasPrefix(message, "did not find expected") {
			line++ // the library counts the lines of these from 0
		}
	}
	at := &Node{Line: max(line, 1), Col: 1}
	if line == 0 {
		at = unplaced(data, message)
	}
	lines := bytes.Split(data, []byte("\n"))
	// A tab shows as some other mistake in its line or a line beside it.
	for l := max(line-1, 1); l <= min(line+1, len(lines)); l++ {
		indent := lines[l-1][:len(lines[l-1])-len(bytes.TrimLeft(lines[l-1], " \t"))]
		if i := bytes.IndexByte(indent, '\t'); i >= 0 {
			f.Mistake(&Node{Line: l, Col: i + 1}, "", "use spaces", "the line is indented with a tab, which YAML does not allow")
			return
		}
	}
	f.Mistake(at, "", "", "this is not YAML: %s", message)
}

// unplaced finds the place of a mistake for which the YAML library names no line:
// an unknown anchor, or a control character. The place is that of the whole file
// if it is neither.
func unplaced(data []byte, message string) *Node {
	offset := -1
	if m := regexp.MustCompile(`unknown anchor '([^']+)'`).FindStringSubmatch(message); m != nil {
		use := regexp.MustCompile(`[-:\[,{\s]\s*(\*` + regexp.QuoteMeta(m[1]) + `)([\s,\]}]|$)`)
		for _, found := range use.FindAllSubmatchIndex(data, -1) {
			if !commented(data, found[2]) {
				offset = found[2]
				break
			}
		}
	} else if strings.Contains(message, "control characters") {
		offset = bytes.IndexFunc(data, func(c rune) bool { return unicode.IsControl(c) && c != '\t' && c != '\n' && c != '\r' })
	}
	if offset < 0 {
		return &Node{}
	}
	last := bytes.LastIndexByte(data[:offset], '\n') + 1
	return &Node{Line: bytes.Count(data[:offset], []byte("\n")) + 1, Col: utf8.RuneCount(data[last:offset]) + 1}
}

// commented reports whether an offset is in a comment.
func commented(data []byte, offset int) bool {
	line := data[bytes.LastIndexByte(data[:offset], '\n')+1 : offset]
	return bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("#")) || bytes.Contains(line, []byte(" #"))
}

// An expander turns the nodes of the YAML library into ours: it resolves
// aliases and merges, and refuses duplicate keys and what grows without end.
type expander struct {
	File    *File
	left    int
	stopped bool
	// use is the alias that is being expanded, or nil. Mistakes in its value are
	// reported at the alias.
	use *yaml.Node
	// anchored are the nodes with anchors of this document so far.
	anchored map[*yaml.Node]bool
}

// note keeps a node with an anchor.
func (x *expander) note(y *yaml.Node) {
	if y.Anchor == "" {
		return
	}
	if x.anchored == nil {
		x.anchored = map[*yaml.Node]bool{}
	}
	x.anchored[y] = true
}

// place returns an empty node where a value is written or used.
func (x *expander) place(y *yaml.Node) *Node {
	if x.use != nil {
		return &Node{Line: x.use.Line, Col: x.use.Column, Origin: Aliased}
	}
	return &Node{Line: y.Line, Col: y.Column}
}

func (x *expander) stop(n *Node, format string, args ...any) *Node {
	if !x.stopped {
		x.stopped = true
		x.File.Mistake(n, "", "", format, args...)
	}
	return n
}

func (x *expander) expand(y *yaml.Node, depth int) *Node {
	n := x.place(y)
	if x.left--; x.left < 0 {
		return x.stop(n, "the file has more than %d values, those of aliases counted each time", maxNodes)
	}
	if depth > maxDepth {
		return x.stop(n, "the file is nested deeper than %d levels", maxDepth)
	}
	if y.Style&yaml.TaggedStyle != 0 {
		x.checkTag(n, y)
	}
	x.note(y)
	switch y.Kind {
	case yaml.AliasNode:
		// The YAML library takes those of earlier documents, other readers do not.
		if !x.anchored[y.Alias] {
			x.File.Mistake(n, "", "give it an anchor in this document, too", "anchor %q is of another document", y.Value)
			return n
		}
		if x.use == nil {
			x.use = y
			defer func() { x.use = nil }()
		}
		return x.expand(y.Alias, depth+1)
	case yaml.SequenceNode:
		n.Shape = List
		for _, item := range y.Content {
			if n.Items = append(n.Items, x.expand(item, depth+1)); x.stopped {
				return n
			}
		}
	case yaml.MappingNode:
		n.Shape = Object
		x.expandObject(n, y, depth)
	case yaml.ScalarNode:
		n.Scalar = y.Value
		switch y.ShortTag() {
		case "!!null":
			n.Shape = null
		case "!!bool":
			n.Shape = Boolean
		case "!!int", "!!float":
			n.Shape = Number
		default:
			n.Shape = Text
		}
	}
	return n
}

// checkTag reports an explicit tag that does not fit its value, because the value would be
// read as another one: !!bool yes as false.
func (x *expander) checkTag(n *Node, y *yaml.Node) {
	tag, fits := y.ShortTag(), false
	switch tag {
	case "!!map":
		fits = y.Kind == yaml.MappingNode
	case "!!seq":
		fits = y.Kind == yaml.SequenceNode
	case "!!str", "!!int", "!!float", "!!merge":
		fits = y.Kind == yaml.ScalarNode // what is no number is told where one is needed
	case "!!bool":
		fits = y.Kind == yaml.ScalarNode && (strings.EqualFold(y.Value, "true") || strings.EqualFold(y.Value, "false"))
	case "!!null":
		fits = y.Kind == yaml.ScalarNode && slices.Contains([]string{"", "~", "null", "Null", "NULL"}, y.Value)
	default:
		x.File.Mistake(n, "", "remove it", "tag %q is not known", tag)
		return
	}
	if !fits {
		x.File.Mistake(n, "", "remove it, or write a value of its type", "tag %q does not fit its value", tag)
	}
}

func (x *expander) expandObject(n *Node, y *yaml.Node, depth int) {
	first := make(map[string]*yaml.Node, len(y.Content)/2)
	var merged []Field
	for i := 0; i+1 < len(y.Content) && !x.stopped; i += 2 {
		x.left-- // keys count, too
		x.note(y.Content[i])
		key, value := y.Content[i], x.expand(y.Content[i+1], depth+1)
		if key.ShortTag() == "!!merge" {
			if at := first["<<"]; at != nil {
				x.File.Mistake(x.place(key), "", "merge both in one, such as <<: [*a, *b]", "<< is given twice, first in line %d", at.Line)
				continue
			}
			first["<<"] = key
			merged = append(merged, x.mergedFields(value)...)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			x.File.Mistake(x.place(key), "", "write a word before the colon", "a key is not text")
			continue
		}
		if at := first[key.Value]; at != nil {
			x.File.Mistake(x.place(key), "", "remove one of them", "field %q is given twice, first in line %d", key.Value, at.Line)
			continue
		}
		first[key.Value] = key
		at := x.place(key)
		n.Fields = append(n.Fields, Field{key.Value, value, at.Line, at.Col})
	}
	for _, f := range merged {
		if first[f.Key] == nil {
			first[f.Key] = y
			f.Value.Origin = Merged
			n.Fields = append(n.Fields, f)
		}
	}
}

// mergedFields returns the fields of the objects under a merge key.
func (x *expander) mergedFields(value *Node) (fields []Field) {
	for _, from := range value.Listed().Items {
		if from.Shape != Object && !x.stopped {
			x.File.Mistake(from, "", "write an alias of an object, such as *base", "what << merges is not an object")
		}
		fields = append(fields, from.Fields...)
	}
	return fields
}
