//go:build !linux

package tc

import (
	"context"
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Backend exists on Linux only; here every method says so.
type Backend struct{}

var _ netfault.Backend = (*Backend)(nil)

// New returns a backend that can do nothing.
func New(netns.NsHandle) *Backend { return &Backend{} }

func (b *Backend) no() error {
	return fmt.Errorf("traffic control needs Linux, this is %s: %w", runtime.GOOS, netfault.ErrUnsupported)
}

// Name is "tc".
func (b *Backend) Name() string { return "tc" }

// Check says that this is not Linux.
func (b *Backend) Check(context.Context) error { return b.no() }

// Apply says that this is not Linux.
func (b *Backend) Apply(context.Context, netfault.State) (netfault.Effective, error) {
	return netfault.Effective{}, b.no()
}

// List says that this is not Linux.
func (b *Backend) List(context.Context) ([]netfault.Effective, error) { return nil, b.no() }

// Clear says that this is not Linux.
func (b *Backend) Clear(context.Context, string) error { return b.no() }
