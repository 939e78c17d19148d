package spec

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

// readAll reads a whole file, and at most one byte more than is allowed.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileSize+1))
	if err == nil && len(data) > MaxFileSize {
		err = errors.New("the file is larger than 16Mi, which is the most that is read")
	}
	return data, err
}

// parse reads the documents of a file. Empty documents are left out.
func (f *file) parse(data []byte) []*node {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	trimmed := bytes.TrimSpace(data)
	switch {
	case len(trimmed) == 0:
		f.whole("the file is empty", f.types.hint)
		return nil
	case bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data):
		f.whole("the file is no text", "give a YAML or JSON file in UTF-8")
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

func (f *file) parseYAML(data []byte) []*node {
	var docs []*node
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
		x := expander{file: f, left: maxNodes}
		root := x.expand(doc.Content[0], 0)
		if x.stopped {
			break
		}
		if root.shape != null {
			docs = append(docs, root)
		}
	}
	if len(docs) == 0 && len(f.mistakes) == 0 {
		f.whole("the file has no content", f.types.hint)
	}
	return docs
}

// syntax reports what the YAML library could not read, at the place it names.
func (f *file) syntax(data []byte, err error) {
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
			f.mistake(&node{line: l, col: i + 1}, "", "use spaces", "the line is indented with a tab, which YAML does not allow")
			return
		}
	}
	f.mistake(&node{line: max(line, 1), col: 1}, "", "", "this is not YAML: %s", message)
}

// An expander turns the nodes of the YAML library into ours: it resolves
// aliases and merges, and refuses duplicate keys and what grows without end.
type expander struct {
	file    *file
	left    int
	stopped bool
}

func (x *expander) stop(n *node, format string, args ...any) *node {
	if !x.stopped {
		x.stopped = true
		x.file.mistake(n, "", "", format, args...)
	}
	return n
}

func (x *expander) expand(y *yaml.Node, depth int) *node {
	n := &node{line: y.Line, col: y.Column}
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
		n.shape = list
		for _, item := range y.Content {
			if n.items = append(n.items, x.expand(item, depth+1)); x.stopped {
				return n
			}
		}
	case yaml.MappingNode:
		n.shape = object
		x.expandObject(n, y, depth)
	case yaml.ScalarNode:
		n.scalar = y.Value
		switch y.ShortTag() {
		case "!!null":
			n.shape = null
		case "!!bool":
			n.shape = boolean
		case "!!int", "!!float":
			n.shape = number
		default:
			n.shape = text
		}
	}
	return n
}

func (x *expander) expandObject(n *node, y *yaml.Node, depth int) {
	first := make(map[string]*yaml.Node, len(y.Content)/2)
	var merged []field
	for i := 0; i+1 < len(y.Content) && !x.stopped; i += 2 {
		x.left-- // keys count, too
		key, value := y.Content[i], x.expand(y.Content[i+1], depth+1)
		if key.ShortTag() == "!!merge" {
			for _, from := range value.listed().items {
				merged = append(merged, from.fields...)
			}
			continue
		}
		if key.Kind != yaml.ScalarNode {
			x.file.mistake(&node{line: key.Line, col: key.Column}, "", "write a word before the colon", "a key is no text")
			continue
		}
		if at := first[key.Value]; at != nil {
			x.file.mistake(&node{line: key.Line, col: key.Column}, "", "remove one of them", "field %q is given twice, first in line %d", key.Value, at.Line)
			continue
		}
		first[key.Value] = key
		n.fields = append(n.fields, field{key.Value, value, key.Line, key.Column})
	}
	for _, f := range merged {
		if first[f.key] == nil {
			first[f.key] = y
			n.fields = append(n.fields, f)
		}
	}
}

// parseJSON reads a file that is known to be one JSON value. YAML reads most of
// JSON, but not the escapes of characters outside of the basic plane.
func (f *file) parseJSON(data []byte) []*node {
	r := &jsonReader{file: f, data: data, dec: json.NewDecoder(bytes.NewReader(data)), left: maxNodes, line: 1, col: 1}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err != nil {
		f.mistake(n, "", "", "%v", err)
		return nil
	}
	return []*node{n}
}

// A jsonReader makes nodes of JSON tokens and knows where each begins.
type jsonReader struct {
	file      *file
	data      []byte
	dec       *json.Decoder
	left      int
	offset    int
	line, col int
}

// next returns the next token and an empty node at its place.
func (r *jsonReader) next() (json.Token, *node, error) {
	from := int(r.dec.InputOffset())
	for from < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[from]) >= 0 {
		from++
	}
	for _, c := range r.data[r.offset:from] {
		if r.col++; c == '\n' {
			r.line, r.col = r.line+1, 1
		}
	}
	r.offset = from
	n := &node{line: r.line, col: r.col}
	token, err := r.dec.Token()
	return token, n, err
}

func (r *jsonReader) value(depth int) (*node, error) {
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
		n.shape, n.scalar = text, v
	case json.Number:
		n.shape, n.scalar = number, v.String()
	case bool:
		n.shape, n.scalar = boolean, strconv.FormatBool(v)
	}
	return n, nil
}

func (r *jsonReader) list(n *node, depth int) (*node, error) {
	n.shape = list
	for r.dec.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return item, err
		}
		n.items = append(n.items, item)
	}
	_, _, err := r.next()
	return n, err
}

func (r *jsonReader) object(n *node, depth int) (*node, error) {
	n.shape = object
	first := map[string]*node{}
	for r.dec.More() {
		token, at, err := r.next()
		if err != nil {
			return at, err
		}
		r.left-- // keys count, too
		key, _ := token.(string)
		value, err := r.value(depth + 1)
		if err != nil {
			return value, err
		}
		if before := first[key]; before != nil {
			r.file.mistake(at, "", "remove one of them", "field %q is given twice, first in line %d", key, before.line)
			continue
		}
		first[key] = at
		n.fields = append(n.fields, field{key, value, at.line, at.col})
	}
	_, _, err := r.next()
	return n, err
}
