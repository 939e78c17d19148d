package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
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
	case bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data):
		f.whole("the file is not text", "give a YAML or JSON file in UTF-8")
		return nil
	case marks(data) > maxMarks:
		f.whole(fmt.Sprintf("the file has more than %d values", maxNodes), "generate less, or split it")
		return nil
	}
	if trimmed[0] == '{' && json.Valid(trimmed) {
		return f.parseJSON(data)
	}
	return f.parseYAML(data)
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

func (f *File) parseYAML(data []byte) []*Node {
	var docs []*Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
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
	lines := bytes.Split(data, []byte("\n"))
	// A tab shows as some other mistake in its line or a line beside it.
	for l := max(line-1, 1); l <= min(line+1, len(lines)); l++ {
		indent := lines[l-1][:len(lines[l-1])-len(bytes.TrimLeft(lines[l-1], " \t"))]
		if i := bytes.IndexByte(indent, '\t'); i >= 0 {
			f.Mistake(&Node{Line: l, Col: i + 1}, "", "use spaces", "the line is indented with a tab, which YAML does not allow")
			return
		}
	}
	f.Mistake(&Node{Line: max(line, 1), Col: 1}, "", "", "this is not YAML: %s", message)
}

// An expander turns the nodes of the YAML library into ours: it resolves
// aliases and merges, and refuses duplicate keys and what grows without end.
type expander struct {
	File    *File
	left    int
	stopped bool
}

func (x *expander) stop(n *Node, format string, args ...any) *Node {
	if !x.stopped {
		x.stopped = true
		x.File.Mistake(n, "", "", format, args...)
	}
	return n
}

func (x *expander) expand(y *yaml.Node, depth int) *Node {
	n := &Node{Line: y.Line, Col: y.Column}
	if x.left--; x.left < 0 {
		return x.stop(n, "the file has more than %d values, those of aliases counted each time", maxNodes)
	}
	if depth > maxDepth {
		return x.stop(n, "the file is nested deeper than %d levels", maxDepth)
	}
	switch y.Kind {
	case yaml.AliasNode:
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

func (x *expander) expandObject(n *Node, y *yaml.Node, depth int) {
	first := make(map[string]*yaml.Node, len(y.Content)/2)
	var merged []Field
	for i := 0; i+1 < len(y.Content) && !x.stopped; i += 2 {
		x.left-- // keys count, too
		key, value := y.Content[i], x.expand(y.Content[i+1], depth+1)
		if key.ShortTag() == "!!merge" {
			for _, from := range value.Listed().Items {
				merged = append(merged, from.Fields...)
			}
			continue
		}
		if key.Kind != yaml.ScalarNode {
			x.File.Mistake(&Node{Line: key.Line, Col: key.Column}, "", "write a word before the colon", "a key is not text")
			continue
		}
		if at := first[key.Value]; at != nil {
			x.File.Mistake(&Node{Line: key.Line, Col: key.Column}, "", "remove one of them", "field %q is given twice, first in line %d", key.Value, at.Line)
			continue
		}
		first[key.Value] = key
		n.Fields = append(n.Fields, Field{key.Value, value, key.Line, key.Column})
	}
	for _, f := range merged {
		if first[f.Key] == nil {
			first[f.Key] = y
			n.Fields = append(n.Fields, f)
		}
	}
}

// parseJSON reads a file that is known to be one JSON value. YAML reads most of
// JSON, but not the escapes of characters outside of the basic plane.
func (f *File) parseJSON(data []byte) []*Node {
	r := &jsonReader{File: f, data: data, dec: json.NewDecoder(bytes.NewReader(data)), left: maxNodes, Line: 1, Col: 1}
	r.dec.UseNumber()
	n, err := r.Value(0)
	if err != nil {
		f.Mistake(n, "", "", "%v", err)
		return nil
	}
	return []*Node{n}
}

// A jsonReader makes nodes of JSON tokens and knows where each begins.
type jsonReader struct {
	File      *File
	data      []byte
	dec       *json.Decoder
	left      int
	offset    int
	Line, Col int
}

// next returns the next token and an empty node at its place.
func (r *jsonReader) next() (json.Token, *Node, error) {
	from := int(r.dec.InputOffset())
	for from < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[from]) >= 0 {
		from++
	}
	for _, c := range r.data[r.offset:from] {
		if r.Col++; c == '\n' {
			r.Line, r.Col = r.Line+1, 1
		}
	}
	r.offset = from
	n := &Node{Line: r.Line, Col: r.Col}
	token, err := r.dec.Token()
	return token, n, err
}

func (r *jsonReader) Value(depth int) (*Node, error) {
	token, n, err := r.next()
	if err != nil {
		return n, err
	}
	if r.left--; r.left < 0 {
		return n, fmt.Errorf("the file has more than %d values", maxNodes)
	}
	if depth > maxDepth {
		return n, fmt.Errorf("the file is nested deeper than %d levels", maxDepth)
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			return r.list(n, depth)
		}
		return r.object(n, depth)
	case string:
		n.Shape, n.Scalar = Text, v
	case json.Number:
		n.Shape, n.Scalar = Number, v.String()
	case bool:
		n.Shape, n.Scalar = Boolean, strconv.FormatBool(v)
	}
	return n, nil
}

func (r *jsonReader) list(n *Node, depth int) (*Node, error) {
	n.Shape = List
	for r.dec.More() {
		item, err := r.Value(depth + 1)
		if err != nil {
			return item, err
		}
		n.Items = append(n.Items, item)
	}
	_, _, err := r.next()
	return n, err
}

func (r *jsonReader) object(n *Node, depth int) (*Node, error) {
	n.Shape = Object
	first := map[string]*Node{}
	for r.dec.More() {
		token, at, err := r.next()
		if err != nil {
			return at, err
		}
		r.left-- // keys count, too
		key, _ := token.(string)
		value, err := r.Value(depth + 1)
		if err != nil {
			return value, err
		}
		if before := first[key]; before != nil {
			r.File.Mistake(at, "", "remove one of them", "field %q is given twice, first in line %d", key, before.Line)
			continue
		}
		first[key] = at
		n.Fields = append(n.Fields, Field{key, value, at.Line, at.Col})
	}
	_, _, err := r.next()
	return n, err
}
