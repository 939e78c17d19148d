//go:build root && linux

package emulate

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
)

// newBackend returns a backend for a node of the laboratory, closed with the test.
func newBackend(t testing.TB, n *netfaulttest.Node) *Backend {
	t.Helper()
	b, err := New(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing the backend: %v", err)
		}
	})
	return b
}

func TestEveryEffect(t *testing.T) {
	netfaulttest.Run(t, netfaulttest.Options{
		New: func(t *testing.T, n *netfaulttest.Node) netfault.Backend { return newBackend(t, n) },
	})
}

func TestLate(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	b := newBackend(t, lab.Near)
	for range 5 {
		if _, err := b.Apply(t.Context(), netfault.State{Owner: "x", Rules: []netfault.Rule{{ID: "r", Interface: "eth0", Direction: netfault.Egress, Impairment: netfault.Impairment{Delay: 100e6}}}}); err != nil {
			t.Fatal(err)
		}
		m, err := lab.Run(netfaulttest.Flow{Direction: netfault.Egress, Count: 10000, Interval: 200e3})
		if err != nil {
			t.Fatal(err)
		}
		c := b.Stats().Classes[0].Counts
		t.Logf("measured p50 %v p99 %v; late p50 %v p99 %v max %v, cpu %v", m.Quantile(.5), m.Quantile(.99), c.LateQuantile(.5), c.LateQuantile(.99), c.LateQuantile(1), b.Stats().CPU)
	}
}
