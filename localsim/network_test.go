package localsim

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// stubNetwork notes how many faults it is told, and fails on demand.
type stubNetwork struct {
	Network
	told []int
	fail bool
}

func (n *stubNetwork) Impair(_ context.Context, _ string, faults []PathFault) (string, error) {
	n.told = append(n.told, len(faults))
	if n.fail {
		return "", errors.New("not now")
	}
	return "tc", nil
}

func TestWhatCouldNotBeTakenBackIsTriedAgain(t *testing.T) {
	network := &stubNetwork{}
	d := &Deployment{network: network, life: t.Context(), impaired: map[slot]impairment{}}
	d.injections = map[string]*injection{
		"slow": {id: "slow", fault: fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "db"}}, layer: fault.OnNetwork},
	}
	d.replicas = []*replica{{Replica: supervise.New(t.Context(), supervise.Config{Service: "db", Index: 1, Address: "10.0.0.1:8080", Known: true})}}
	if err := d.reconcileNetwork(t.Context()); err != nil {
		t.Fatal(err)
	}
	delete(d.injections, "slow")
	network.fail = true
	if err := d.reconcileNetwork(t.Context()); err == nil {
		t.Error("what cannot be taken back is not told")
	}
	network.fail = false
	for range 2 {
		if err := d.reconcileNetwork(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(network.told, []int{1, 0, 0}) || len(d.impaired) > 0 {
		t.Errorf("the network was told %v faults, and %v act", network.told, d.impaired)
	}
}
