package edit

import (
	"errors"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// TestWhere finds values, and how they came to their places.
func TestWhere(t *testing.T) {
	for _, c := range []struct {
		file, path   string
		line, column int
		origin       decode.Origin
		node         string
	}{
		{"documents.yaml", "services[0].name", 8, 11, decode.Written, "services[0].name"},
		{"documents.yaml", "services[0].endpoints[0].steps[0].call.to", 11, 13, decode.Derived, "services[0].calls[0]"},
		{"documents.yaml", "services[0].endpoints[0].steps[0].call.timeout", 6, 21, decode.Inherited, "defaults.policy.timeout"},
		{"documents.yaml", "services[0].endpoints[0].steps[0].call.breaker", 10, 16, decode.Inherited, "services[0].policy.breaker"},
		{"documents.yaml", "services[0].replicas", 0, 0, decode.Default, ""},
		{"merges.yaml", "services[1].replicas", 11, 9, decode.Merged, "services[1].<<"},
		{"merges.yaml", "services[1].workers", 13, 14, decode.Written, "services[1].workers"},
		{"anchors.yaml", "services[2].endpoints[0].steps[0].work", 16, 11, decode.Aliased, "services[2].work"},
	} {
		f := open(t, c.file)
		place, err := f.Where(0, c.path)
		if err != nil || place.Line != c.line || place.Column != c.column || place.Origin != c.origin {
			t.Errorf("%s: %s is at %d:%d, %s: %v", c.file, c.path, place.Line, place.Column, place.Origin, err)
		}
		if place.Node != nil && place.Node.Path() != c.node || place.Node == nil && c.node != "" {
			t.Errorf("%s: %s is written at %q, not %q", c.file, c.path, place.Node.Path(), c.node)
		}
	}
	if _, err := open(t, "flow.yaml").Where(1, "name"); err == nil || !strings.Contains(err.Error(), "no document 1 of 1") {
		t.Error(err)
	}
}

// TestMistakesLeadToNodes takes the places of mistakes that an operation would make
// to the nodes that they are about.
func TestMistakesLeadToNodes(t *testing.T) {
	f := open(t, "comments.yaml")
	for op, path := range map[string]string{
		`{"op": "setService", "service": "db", "field": "workers", "value": -3}`:                                 "system.services[2].workers",
		`{"op": "setFault", "index": 0, "fault": {"type": "latency", "target": "nobody-there", "delay": "5ms"}}`: "faults[0].target",
	} {
		_, _, err := f.Apply(unmarshal(t, op))
		var mistakes decode.Mistakes
		if !errors.As(err, &mistakes) {
			t.Errorf("%s: %v", op, err)
			continue
		}
		if n := f.Source.At(mistakes[0].Line, mistakes[0].Column); n == nil || n.Path() != path {
			t.Errorf("%s: %v leads to %q, not %q", op, mistakes[0], n.Path(), path)
		}
	}
}
