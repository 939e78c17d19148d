//go:build !linux

package emulate

import (
	"context"
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Backend does nothing here: only Linux has network namespaces and netfilter.
type Backend struct{}

var _ netfault.Backend = (*Backend)(nil)

func unsupported() error {
	return fmt.Errorf("emulating network faults on %s: %w: it needs Linux; use gates, which work everywhere", runtime.GOOS, netfault.ErrUnsupported)
}

// New returns a backend that refuses everything.
func New(netns.NsHandle) *Backend { return &Backend{} }

// Name returns "emulate".
func (*Backend) Name() string { return "emulate" }

// Check returns an error.
func (*Backend) Check(context.Context) error { return unsupported() }

// Apply returns an error.
func (*Backend) Apply(context.Context, netfault.State) (netfault.Effective, error) {
	return netfault.Effective{}, unsupported()
}

// List returns an error.
func (*Backend) List(context.Context) ([]netfault.Effective, error) { return nil, unsupported() }

// Clear returns an error.
func (*Backend) Clear(context.Context, string) error { return unsupported() }

// Close does nothing.
func (*Backend) Close() error { return nil }

// Stats returns nothing.
func (*Backend) Stats() Stats { return Stats{} }
