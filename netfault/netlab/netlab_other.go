//go:build !linux

package netlab

import (
	"context"
	"fmt"
	"runtime"

	vns "github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Network exists on Linux only.
type Network struct{}

func no() error {
	return fmt.Errorf("network namespaces need Linux, this is %s; choose --isolation process", runtime.GOOS)
}

// New says that this is not Linux.
func New(string, string, func(vns.NsHandle) []netfault.Backend) (*Network, error) { return nil, no() }

// Check says that this is not Linux.
func Check() error { return no() }

// Link is empty.
func (n *Network) Link() string { return "" }

// Add says that this is not Linux.
func (n *Network) Add(string) (string, error) { return "", no() }

// Remove does nothing.
func (n *Network) Remove(string) error { return nil }

// Enter says that this is not Linux.
func (n *Network) Enter(string, func() error) error { return no() }

// Impair says that this is not Linux.
func (n *Network) Impair(context.Context, string, []netfault.Rule) (string, error) { return "", no() }

// Met is nil.
func (n *Network) Met(string) map[string]int64 { return nil }

// Close does nothing.
func (n *Network) Close() error { return nil }

// Sweep says that this is not Linux.
func Sweep(string) error { return no() }

// CheckBackends says of every backend that this is not Linux.
func CheckBackends(_ context.Context, backends func(vns.NsHandle) []netfault.Backend) []BackendCheck {
	var checks []BackendCheck
	for _, b := range backends(vns.None()) {
		checks = append(checks, BackendCheck{b.Name(), no()})
	}
	return checks
}
