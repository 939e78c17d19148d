package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/source"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// files are the examples, which are all of native dialects but some, and files that
// are hard to edit.
func files(t testing.TB) (opened []*File) {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"../../../examples/*", "../../../testdata/edit/*", "../testdata/good/*"} {
		found, err := filepath.Glob(filepath.FromSlash(pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: found %d files: %v", pattern, len(found), err)
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		if filepath.Ext(path) == ".go" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Open(filepath.ToSlash(path), text)
		if err != nil {
			t.Errorf("%s cannot be opened: %v", path, err)
			continue
		}
		opened = append(opened, f)
	}
	return opened
}

// TestRandomOperations applies random sequences of operations to all files. Apply
// itself holds what is read afterwards to the operation on the domain; here, all
// other lines are held to stay, and the way back to lead to the same bytes.
func TestRandomOperations(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 3))
	tally := map[string]int{}
	for _, f := range files(t) {
		rounds := 1
		if bytes.Contains([]byte(f.Name), []byte("/edit/")) {
			rounds = 12
		}
		for range rounds {
			sequence(t, r, f, 8, tally)
			if t.Failed() {
				return
			}
		}
	}
	t.Log(tally)
	if tally["done"] < 500 || tally["mismatch"]+tally["layout"] > 0 {
		t.Errorf("what became of the operations: %v", tally)
	}
}

func sequence(t *testing.T, r *rand.Rand, f *File, length int, tally map[string]int) {
	t.Helper()
	original := f.Text()
	var undo []source.Edits
	for range length {
		op := again(t, randomOperation(r, f))
		before := bytes.Clone(f.Text())
		after, change, err := f.Apply(op)
		if !bytes.Equal(before, f.Text()) {
			t.Fatalf("%s: %v changed the text before it", f.Name, op)
		}
		what := outcomeOf(err)
		tally[what]++
		if what == "mismatch" || what == "other" || what == "layout" {
			text, _ := Marshal(op)
			t.Logf("%s: %s: %v", f.Name, text, err)
		}
		if what == "other" {
			t.Fatal("an error of no known type")
		}
		if err != nil {
			continue
		}
		otherLinesStay(t, f, after, change.Edits)
		undo = append(undo, change.Undo)
		f = after
	}
	for _, edits := range slices.Backward(undo) {
		before, err := f.Splice(edits)
		if err != nil {
			t.Fatalf("%s: undoing: %v", f.Name, err)
		}
		f = before
	}
	if !bytes.Equal(f.Text(), original) {
		t.Fatalf("%s: undoing all does not lead back:\n%s", f.Name, f.Text())
	}
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.As(err, new(*Refusal)):
		return "refused"
	case errors.As(err, new(*source.SharedError)):
		return "shared"
	case errors.As(err, new(decode.Mistakes)):
		return "mistakes"
	case errors.As(err, new(*source.LayoutError)):
		return "layout"
	case errors.As(err, new(*MismatchError)):
		return "mismatch"
	}
	return "other"
}

// again reads an operation back from its JSON form.
func again(t *testing.T, op Operation) Operation {
	t.Helper()
	text, err := Marshal(op)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Unmarshal(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if text2, _ := Marshal(read); !bytes.Equal(text, text2) {
		t.Fatalf("%s is read as %s", text, text2)
	}
	return read
}

// otherLinesStay compares the lines that no edit touches.
func otherLinesStay(t *testing.T, before, after *File, edits source.Edits) {
	t.Helper()
	sorted := slices.Clone(edits)
	slices.SortStableFunc(sorted, func(a, b source.Edit) int { return a.Offset - b.Offset })
	at, shift := 0, 0
	stays := func(from, to int) {
		if string(before.Text()[from:to]) != string(after.Text()[from+shift:to+shift]) {
			t.Errorf("%s: text outside of the edits has changed: %q", before.Name, before.Text()[from:to])
		}
	}
	for _, e := range sorted {
		stays(at, e.Offset)
		at = e.Offset + e.Length
		shift += len(e.Text) - e.Length
	}
	stays(at, len(before.Text()))
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func raw(r *rand.Rand, texts ...string) json.RawMessage { return json.RawMessage(pick(r, texts...)) }

func randomOperation(r *rand.Rand, f *File) Operation {
	in := In{Document: r.IntN(len(f.Documents))}
	d := &f.Documents[in.Document]
	var s *topology.System
	switch {
	case d.System != nil:
		s = d.System
	case d.Experiment != nil:
		s = &d.Experiment.System
	default:
		return AddService{In: in, Service: raw(r, `"x"`)}
	}
	if d.Experiment != nil && r.IntN(2) == 0 {
		return randomOnExperiment(r, in, d.Experiment, s)
	}
	return randomOnSystem(r, in, s)
}

func anyName(r *rand.Rand, s *topology.System) string {
	if len(s.Services) == 0 {
		return "none"
	}
	return s.Services[r.IntN(len(s.Services))].Name
}

func randomOnSystem(r *rand.Rand, in In, s *topology.System) Operation {
	name := anyName(r, s)
	endpoint := ""
	if v := s.Service(name); v != nil && len(v.Endpoints) > 1 {
		endpoint = v.Endpoints[r.IntN(len(v.Endpoints))].Path
	}
	ref := CallRef{Service: name, Endpoint: endpoint, To: anyName(r, s)}
	if v := s.Service(name); v != nil && len(v.Calls()) > 0 && r.IntN(8) > 0 {
		ref.To = v.Calls()[r.IntN(len(v.Calls()))]
	}
	switch r.IntN(9) {
	case 0:
		fresh := fmt.Sprint("n", r.IntN(1000))
		op := AddService{In: in, Service: raw(r, `"`+fresh+`"`, `{"name": "`+fresh+`", "workers": 3, "work": {"sleep": "5ms"}}`,
			`{"name": "`+fresh+`", "calls": ["`+name+`", {"to": "`+name+`", "timeout": "2s", "onError": {"404": 404, "other": {"status": 503, "body": {"a": 1}}}}]}`,
			`{"name": "`+fresh+`", "endpoints": [{"path": "/a"}, {"path": "/b", "steps": [{"parallel": ["`+name+`", {"cpu": "1ms"}]}]}]}`)}
		if r.IntN(2) == 0 {
			at := r.IntN(len(s.Services) + 1)
			op.At = &at
		}
		return op
	case 1:
		return RemoveService{In: in, Name: name, Cascade: r.IntN(3) > 0}
	case 2:
		return RenameService{In: in, Name: name, To: fmt.Sprint("r", r.IntN(1000))}
	case 3:
		op := AddCall{In: in, Service: name, Endpoint: endpoint, Call: raw(r, `"`+ref.To+`"`, `{"to": "`+ref.To+`", "retry": {"attempts": 2}, "probability": 0.5}`, `{"sleep": "3ms"}`, `{"parallel": ["`+ref.To+`", "`+ref.To+`"]}`, `{"to": "`+ref.To+`", "retry": null}`)}
		if r.IntN(2) == 0 {
			at := r.IntN(3)
			op.At = &at
		}
		return op
	case 4:
		return RemoveCall{In: in, CallRef: ref}
	case 5:
		field := pick(r, "probability", "count", "requestSize", "onError", "to", "method", "retry", "fallback")
		value := map[string]json.RawMessage{
			"probability": raw(r, `0.25`, `"10%"`, `null`), "count": raw(r, `2`, `1`), "requestSize": raw(r, `"2Ki"`, `5`), "method": raw(r, `"POST"`, `null`),
			"onError": raw(r, `"ignore"`, `"propagate"`, `{"404": 404, "timeout": {"status": 504, "body": ["x: y", 1]}}`, `null`),
			"to":      raw(r, `"`+anyName(r, s)+`"`), "retry": raw(r, `{"attempts": 3, "on": ["timeout"]}`, `null`, ``), "fallback": raw(r, `"empty"`, `{"kind": "fixed", "value": [1, {"a": "b"}]}`, `null`),
		}[field]
		return SetCall{In: in, CallRef: ref, Field: field, Value: value}
	case 6:
		kind := pick(r, "timeout", "retry", "breaker", "bulkhead", "hedge", "rateLimit", "fallback")
		value := map[string]string{"timeout": `"700ms"`, "retry": `{"attempts": 4, "backoff": "20ms"}`, "breaker": `{"failures": 3, "reset": "5s"}`, "bulkhead": `{"maxConcurrent": 4}`, "hedge": `{"after": "50ms"}`, "rateLimit": `{"rate": 10}`, "fallback": `{"kind": "last-good", "maxAge": "1min"}`}[kind]
		return SetPolicy{In: in, CallRef: ref, Policy: kind, Value: raw(r, value, value, `null`, ``)}
	}
	field := pick(r, "replicas", "workers", "backlog", "work", "response", "onCancel", "shed", "readiness", "calls", "memory", "resources", "errorRate", "timeout", "method", "require", "language", "endpoints")
	value := map[string]json.RawMessage{
		"replicas": raw(r, `2`, `5`, `1`, `null`), "workers": raw(r, `3`, `null`), "backlog": raw(r, `9`, `null`), "onCancel": raw(r, `"stop"`, `null`),
		"work": raw(r, `{"cpu": "2ms"}`, `{"sleep": {"lognormal": {"p50": "1ms", "p99": "5ms"}}, "io": "4Ki"}`, `null`), "response": raw(r, `"3Ki"`, `{"status": 201, "body": {"a": [1, "b"]}}`, `null`, `{"status": 404}`),
		"shed": raw(r, `{"queue": 3}`, `null`), "readiness": raw(r, `{"path": "/", "period": "2s"}`, `null`), "calls": raw(r, `[]`, `"`+ref.To+`"`, `["`+ref.To+`", {"sleep": "1ms"}]`),
		"memory": raw(r, `"1Mi"`), "resources": raw(r, `{"cpuLimit": "500m"}`, `null`), "errorRate": raw(r, `0.1`, `"5%"`), "timeout": raw(r, `"30s"`, `null`), "method": raw(r, `"GET"`, `null`),
		"require": raw(r, `"Authorization"`, `{"header": "X-A", "status": 403}`, `null`), "language": raw(r, `"go: x"`, `"yes"`, `"12"`, `null`),
		"endpoints": raw(r, `[{"path": "/"}]`, `[{"path": "/x"}, {"path": "/y", "response": 5}]`),
	}[field]
	if field == "replicas" || field == "workers" || field == "endpoints" {
		endpoint = ""
	}
	return SetService{In: in, Service: name, Endpoint: endpoint, Field: field, Value: value}
}

func randomOnExperiment(r *rand.Rand, in In, e *experiment.Experiment, s *topology.System) Operation {
	name := anyName(r, s)
	one := raw(r, `{"type": "latency", "target": "`+name+`", "delay": "20ms", "start": "1s"}`, `{"name": "f`+fmt.Sprint(r.IntN(99))+`", "type": "error", "target": {"service": "`+name+`"}, "args": {"status": 503}}`,
		`{"type": "net-delay", "target": "`+name+`", "direction": "to", "delay": {"uniform": {"min": "1ms", "max": "9ms"}}, "duration": "2s"}`, `{"type": "kill", "rounds": {"count": 2, "interval": "1s", "victims": ["`+name+`", "nobody"]}, "duration": "1s"}`)
	switch r.IntN(6) {
	case 0:
		op := AddFault{In: in, Fault: one}
		if r.IntN(2) == 0 {
			at := r.IntN(len(e.Faults) + 1)
			op.At = &at
		}
		return op
	case 1:
		return SetFault{In: in, Index: r.IntN(len(e.Faults) + 1), Fault: one}
	case 2:
		return RemoveFault{In: in, Index: r.IntN(len(e.Faults) + 1)}
	case 3:
		return SetLoad{In: in, Load: raw(r, `{"rate": 20, "duration": "10s"}`, `{"users": 5, "duration": "20s", "requests": ["`+name+`"]}`,
			`{"phases": [{"rate": 5, "duration": "5s"}, {"name": "late", "rate": 9, "rateTo": 20, "arrivals": "poisson", "duration": "5s"}], "requests": [{"service": "`+name+`", "weight": 2, "headers": {"A": "b: c"}}, "`+name+`"]}`)}
	case 4:
		op := AddCheck{In: in, Check: raw(r, `"errors < 50%"`, `{"check": "p99 < 9s", "service": "`+name+`"}`)}
		if r.IntN(2) == 0 {
			at := r.IntN(len(e.Checks) + 1)
			op.At = &at
		}
		return op
	}
	return RemoveCheck{In: in, Index: r.IntN(len(e.Checks) + 1)}
}
