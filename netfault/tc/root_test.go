//go:build root && linux

package tc

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
)

// supports tells what the running kernel can do, by asking it.
func supports(t *testing.T) func(netfault.Impairment) bool {
	t.Helper()
	k, err := probe()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel: %+v", k)
	return func(i netfault.Impairment) bool {
		_, err := k.disciplineFor(i)
		return err == nil
	}
}

func TestEffects(t *testing.T) {
	netfaulttest.Run(t, netfaulttest.Options{
		New:      func(_ *testing.T, n *netfaulttest.Node) netfault.Backend { return New(n.NS) },
		Supports: supports(t),
	})
}
