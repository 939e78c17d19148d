package webui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// thousandServices is a file of an experiment, a line for each service.
func thousandServices() string {
	var b strings.Builder
	b.WriteString("apiVersion: microsim.dev/v1alpha1\nkind: Experiment\nname: large\nsystem:\n  name: large\n  services:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  - {name: svc-%d, work: {sleep: 1ms}", i)
		if i < 333 {
			fmt.Fprintf(&b, ", calls: [{to: svc-%d, probability: 0.4}, {to: svc-%d, probability: 0.4}, {to: svc-%d, probability: 0.4}]", 3*i+1, 3*i+2, min(3*i+3, 999))
		}
		b.WriteString("}\n")
	}
	b.WriteString("load: {rate: 20, duration: 20s}\n")
	return b.String()
}

// BenchmarkAnEdit is what the server does when a field of a service is set in the graph.
func BenchmarkAnEdit(b *testing.B) {
	s := New(Config{})
	handle := answer(s.postEdit)
	text := thousandServices()
	for n := 0; b.Loop(); n++ {
		body, err := json.Marshal(map[string]any{"text": text, "op": map[string]any{"op": "setService", "service": "svc-500", "field": "replicas", "value": 2 + n%2}})
		if err != nil {
			b.Fatal(err)
		}
		w := httptest.NewRecorder()
		handle(w, httptest.NewRequest("POST", "/api/edit", bytes.NewReader(body)))
		var got edited
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			b.Fatalf("answered %d: %v", w.Code, err)
		}
		text = got.Text
		b.SetBytes(int64(w.Body.Len()))
	}
}

// BenchmarkACheck is what it does when a key is pressed in the text.
func BenchmarkACheck(b *testing.B) {
	text := thousandServices()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if c := check("a.yaml", text); len(c.Mistakes) > 0 {
			b.Fatal(c.Mistakes)
		}
	}
}
