package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// isJSON reports whether the text is JSON values, one after another.
func isJSON(data []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// parseJSON reads a file of JSON values, each a document. YAML reads most of JSON,
// but not the escapes of characters outside of the basic plane, nor several
// values.
func (f *File) parseJSON(data []byte) []*Node {
	r := &jsonReader{File: f, data: data, dec: json.NewDecoder(bytes.NewReader(data)), left: maxNodes, Line: 1, Col: 1}
	r.dec.UseNumber()
	f.json = true
	var docs []*Node
	for len(bytes.TrimSpace(data[r.dec.InputOffset():])) > 0 {
		n, err := r.Value(0)
		if err != nil {
			f.notJSON(data, n, err)
			return docs
		}
		docs = append(docs, n)
	}
	return docs
}

// notJSON reports what the JSON library could not read, at the place it names.
func (f *File) notJSON(data []byte, at *Node, err error) {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		before := data[:min(max(int(syntax.Offset)-1, 0), len(data))]
		last := bytes.LastIndexByte(before, '\n') + 1
		at = &Node{Line: bytes.Count(before, []byte("\n")) + 1, Col: utf8.RuneCount(before[last:]) + 1}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("a bracket or brace is not closed")
	}
	hint := ""
	if strings.HasPrefix(err.Error(), "invalid character '/'") {
		hint = "JSON has no comments: remove it, or write YAML, whose comments begin with #"
	}
	f.Mistake(at, "", hint, "this is not JSON: %v", err)
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
		switch {
		case c == '\n':
			r.Line, r.Col = r.Line+1, 1
		case utf8.RuneStart(c):
			r.Col++
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
