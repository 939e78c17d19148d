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
