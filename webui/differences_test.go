package webui

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func systemOf(t *testing.T, services string) *topology.System {
	t.Helper()
	docs, err := spec.Read("a.yaml", strings.NewReader("apiVersion: microsim.dev/v1alpha1\nkind: System\nname: a\nservices:\n"+services))
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
