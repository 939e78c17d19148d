package behave

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Values are what a request has under the names that its calls and its answer
// use, as JSON.
type Values map[string]json.RawMessage

// Values reads what a request to the endpoint has under the names that are used,
// from its path and its body. The error says which name is missing.
func (e *Endpoint) Values(path string, body []byte) (Values, error) {
	values := Values{}
	for _, name := range e.Segments {
		text, _ := topology.PathValue(e.Path, path, name)
		values[name] = asJSON(text)
	}
	if len(e.Fields) == 0 {
		return values, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, fmt.Errorf("the request's body is no JSON object with %s", strings.Join(e.Fields, ", "))
	}
	for _, name := range e.Fields {
		value, ok := fields[name]
		if !ok {
			return nil, fmt.Errorf("the request's body has no %q", name)
		}
		values[name] = value
	}
	return values, nil
}

// asJSON writes a text as a number, where it is one, or in quotes.
func asJSON(text string) json.RawMessage {
	if text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // text always has a JSON form
	return quoted
}

// Fill replaces the names in braces of a text by their values: the answers of the
// services called, then what the request has, then null.
func (v Values) Fill(text string, answers Values) string {
	return topology.ExpandPath(text, func(name string) string {
		for _, values := range []Values{answers, v} {
			if value, ok := values[name]; ok {
				return string(value)
			}
		}
		return "null"
	})
}

// AnswerValue is the value that a called service's answer has in a text: itself,
// if it is JSON, else in quotes; null where there is none.
func AnswerValue(body []byte) json.RawMessage {
	switch body = bytes.TrimSpace(body); {
	case len(body) == 0:
		return json.RawMessage("null")
	case json.Valid(body):
		return body
	}
	quoted, _ := json.Marshal(string(body)) // text always has a JSON form
	return quoted
}

// FillPath replaces the names in braces of a path by their values; text goes
// without its quotes, and is one segment whatever it has.
func (v Values) FillPath(path string, escape func(string) string) string {
	return topology.ExpandPath(path, func(name string) string {
		value := string(v[name])
		var text string
		if json.Unmarshal(v[name], &text) == nil {
			value = text
		}
		return escape(value)
	})
}
