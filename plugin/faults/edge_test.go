package faults

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Only work on the processor of a runtime with one thread is said to hold the whole
// replica up.
func TestOneThreadIsSaid(t *testing.T) {
	service := func(name string, runtime topology.RuntimeName) topology.Service {
		s := topology.NewService(name)
		s.Runtime = runtime
		return s
	}
	system := &topology.System{Name: "x", Services: []topology.Service{service("express", "express"), service("flask", "flask"), service("agent", "")}}
	for _, tt := range []struct {
		service string
		kind    fault.Type
		said    bool
	}{
		{"express", fault.CPU, true}, {"express", fault.Latency, false}, {"flask", fault.CPU, false}, {"agent", fault.CPU, false}, {"nobody", fault.CPU, false},
	} {
		var said strings.Builder
		noteOneThread(&said, system, &fault.Fault{Type: tt.kind, Target: fault.Target{Service: tt.service}})
		if got := strings.Contains(said.String(), "health checks included"); got != tt.said || !tt.said && said.Len() > 0 {
			t.Errorf("%s on %s: %q", tt.kind, tt.service, said.String())
		}
	}
}
