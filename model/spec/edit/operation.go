package edit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// An Operation is one wanted change of what a file describes. Its JSON form is an
// object with the kind under "op" and the fields of the type: see Unmarshal.
// Values in it, such as a service, are written as in a file, in JSON.
type Operation interface {
	kind() string
	document() int
	apply(t *target) error
}

// In names the document of a file that an operation is for.
type In struct {
	// Document is the index of the document, counted from 0. If it is an experiment
	// that names the system of another document, operations on the system change
	// that document.
	Document int `json:"document,omitempty"`
}

func (in In) document() int { return in.Document }

// operations are all kinds, each with an empty operation.
func operations() map[string]Operation {
	all := map[string]Operation{}
	for _, op := range []Operation{
		AddService{}, RemoveService{}, RenameService{}, SetService{},
		AddCall{}, RemoveCall{}, SetCall{}, SetPolicy{},
		AddFault{}, SetFault{}, RemoveFault{}, SetLoad{}, AddCheck{}, RemoveCheck{},
	} {
		all[op.kind()] = op
	}
	return all
}

// Kinds lists the kinds of operations.
func Kinds() (kinds []string) {
	for kind := range operations() {
		kinds = append(kinds, kind)
	}
	return unique(kinds)
}

// Marshal returns the JSON form of an operation.
func Marshal(op Operation) ([]byte, error) {
	fields, err := json.Marshal(op)
	if err != nil {
		return nil, fmt.Errorf("writing operation %q: %w", op.kind(), err)
	}
	head := fmt.Sprintf(`{"op":%q`, op.kind())
	if len(fields) > len("{}") {
		head += ","
	}
	return append([]byte(head), fields[1:]...), nil
}

// Unmarshal reads an operation from its JSON form:
//
//	{"op": "addService", "service": {"name": "cart", "work": {"sleep": "5ms"}}}
//	{"op": "removeService", "name": "cart", "cascade": true}
//	{"op": "renameService", "name": "cart", "to": "basket"}
//	{"op": "setService", "service": "cart", "field": "replicas", "value": 3}
//	{"op": "addCall", "service": "web", "call": {"to": "cart", "timeout": "1s"}}
//	{"op": "removeCall", "service": "web", "to": "cart"}
//	{"op": "setCall", "service": "web", "to": "cart", "field": "count", "value": 2}
//	{"op": "setPolicy", "service": "web", "to": "cart", "policy": "retry", "value": {"attempts": 3}}
//	{"op": "addFault", "fault": {"type": "latency", "target": "cart", "delay": "1s"}}
//	{"op": "setFault", "index": 0, "fault": {"type": "error", "target": "cart"}}
//	{"op": "removeFault", "index": 0}
//	{"op": "setLoad", "load": {"rate": 50, "duration": "30s"}}
//	{"op": "addCheck", "check": "errors < 1%"}
//	{"op": "removeCheck", "index": 0}
//
// "document" may stand in each. Unknown kinds and fields are refused.
func Unmarshal(data []byte) (Operation, error) {
	var head struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("reading an operation: %w", err)
	}
	empty, ok := operations()[head.Op]
	if !ok {
		return nil, fmt.Errorf("reading operation %q: no such kind; %s", head.Op, problem.DidYouMean(head.Op, Kinds(), "known are "+strings.Join(Kinds(), ", ")))
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("reading operation %q: %w", head.Op, err)
	}
	delete(fields, "op")
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("reading operation %q: %w", head.Op, err)
	}
	op := reflect.New(reflect.TypeOf(empty))
	dec := json.NewDecoder(bytes.NewReader(rest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(op.Interface()); err != nil {
		return nil, fmt.Errorf("reading operation %q: %w", head.Op, err)
	}
	return op.Elem().Interface().(Operation), nil
}
