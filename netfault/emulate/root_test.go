//go:build root && linux

package emulate

import (
	"os"
	"runtime"
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

// TestMain gives the thread that moves packets a processor of the Go scheduler
// at any time, whatever the senders and receivers of the tests do.
func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		os.Exit(helperMain())
	}
	runtime.GOMAXPROCS(16)
	os.Exit(m.Run())
}

func TestEveryEffect(t *testing.T) {
	netfaulttest.Run(t, netfaulttest.Options{
		New: func(t *testing.T, n *netfaulttest.Node) netfault.Backend { return newBackend(t, n) },
	})
}
