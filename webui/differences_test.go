package webui

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func systemOf(t *testing.T, services string) *topology.System {
	t.Helper()
	return systemIn(t, []byte("apiVersion: microsim.dev/v1alpha1\nkind: System\nname: a\nservices:\n"+services))
}

func systemIn(t *testing.T, text []byte) *topology.System {
	t.Helper()
	docs, err := spec.Read("a.yaml", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return docs.Systems()[0]
}

// The ground truth says what was changed by hand, so that a reader need not compare files.
func TestDifferencesAreNamed(t *testing.T) {
	const others = "- name: b\n- name: c\n"
	for _, tt := range []struct{ was, is, want string }{
		{"- {name: web, calls: [b]}", "- {name: web, calls: [b]}", ""},
		{"- {name: web}", "- {name: web, calls: [b]}", "web: call of b added"},
		{"- {name: web, calls: [b, c]}", "- {name: web, calls: [c]}", "web: call of b removed"},
		{"- {name: web, calls: [b]}", "- {name: web, calls: [{to: b, probability: 0.5}]}", "web: call of b probability 1 to 0.5"},
		{"- {name: web, calls: [b]}", "- {name: web, calls: [{to: b, timeout: 1s, retry: {attempts: 2}}]}", "web: call of b retry, call of b timeout none to 1s"},
		{"- {name: web, calls: [b], work: {sleep: 5ms}}", "- {name: web, calls: [b], work: {sleep: 50ms}}", "web: work sleep 5ms to 50ms"},
		{"- {name: web, replicas: 2}", "- {name: web, workers: 4, replicas: 3}", "web: replicas 2 to 3, workers none to 4"},
		{"- {name: web, endpoints: [{path: /a}, {path: /b}]}", "- {name: web, endpoints: [{path: /a, calls: [b]}, {path: /d}]}", "web: /a call of b added, /b removed, /d added"},
		{"- {name: web, calls: [b, b]}", "- {name: web, calls: [b, c, b]}", "web: work and calls"},
		{"- {name: web, errorRate: 0.1}", "- {name: web, errorRate: 1}\n- {name: d}", "web: errorRate 0.1 to 1; d is added"},
		{"- {name: web}\n- {name: d}", "- {name: web}", "d is removed"},
	} {
		if got := strings.Join(differences(systemOf(t, tt.was+"\n"+others), systemOf(t, tt.is+"\n"+others)), "; "); got != tt.want {
			t.Errorf("from %s to %s: %q, want %q", tt.was, tt.is, got, tt.want)
		}
	}
}

// A system that another program tells of, or that a cluster keeps as a text, is the same.
func TestADescriptionThatComesBackIsTheSame(t *testing.T) {
	seen := 0
	for _, example := range examples.List() {
		text, err := examples.Open(example.Name)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := spec.Read(example.Name, strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		for _, system := range docs.Systems() {
			seen++
			formatted, err := spec.FormatSystem(system)
			if err != nil {
				t.Fatal(err)
			}
			if what := differences(system, systemIn(t, formatted)); len(what) > 0 {
				t.Errorf("%s as a text: %v", example.Name, what)
			}
			sent, err := json.Marshal(system)
			if err != nil {
				t.Fatal(err)
			}
			var got topology.System
			if err := json.Unmarshal(sent, &got); err != nil {
				t.Fatal(err)
			}
			if what := differences(system, &got); len(what) > 0 {
				t.Errorf("%s as it is sent: %v", example.Name, what)
			}
		}
	}
	if seen < 10 {
		t.Errorf("there are %d systems in the examples", seen)
	}
}
