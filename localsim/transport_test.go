package localsim_test

import (
	"maps"
	"sync"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestCallersOfAQueueShareNoTransport: the shared transport goes on connecting
// for callers that have given up, and would fill the queue for them.
func TestCallersOfAQueueShareNoTransport(t *testing.T) {
	busy := topology.NewService("busy")
	busy.Workers = 2
	system := &topology.System{Name: "queue", Services: []topology.Service{
		topology.NewService("web", topology.CallTo("busy"), topology.CallTo("idle")), busy, topology.NewService("idle"), topology.NewService("other", topology.CallTo("idle")),
	}}
	var mu sync.Mutex
	shared := map[string]bool{}
	deployer, err := localsim.New(localsim.Config{NewServer: func(s localsim.Spec) (supervise.Server, error) {
		mu.Lock()
		shared[s.Service.Name] = s.Transport != nil
		mu.Unlock()
		return newServer(s)
	}})
	if err != nil {
		t.Fatal(err)
	}
	deployment, err := deployer.Up(t.Context(), system, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := deployment.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if want := map[string]bool{"web": false, "busy": true, "idle": true, "other": true}; !maps.Equal(shared, want) {
		t.Errorf("who shares the transport: %v, want %v", shared, want)
	}
}
