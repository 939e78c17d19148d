// Package impair breaks the network of one namespace by the first backend that
// can, and takes back what it set up.
package impair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	vns "github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
	"github.com/microsim-dev/kubectl-microsim/netfault/tc"
)

// ErrCleanup marks errors of what could not be taken back.
var ErrCleanup = errors.New("something could not be taken back")

// An Impairer breaks the network of one namespace by the first backend that can.
// Its methods are called one at a time.
type Impairer struct {
	NS       *netns.Namespace
	Backends []netfault.Backend
}

// New makes the backends for a namespace, which it closes in the end.
func New(ns *netns.Namespace, makers []Maker) *Impairer {
	b := &Impairer{NS: ns}
	for _, m := range makers {
		b.Backends = append(b.Backends, m.Open(ns.Handle))
	}
	return b
}

// Close closes the backends, which takes back what lives in this process, and
// the namespace.
func (b *Impairer) Close() error {
	var errs []error
	for _, backend := range b.Backends {
		if closer, ok := backend.(io.Closer); ok {
			errs = append(errs, closer.Close())
		}
	}
	return errors.Join(append(errs, b.NS.Close())...)
}

// An Applied state acts, by a backend.
type Applied struct {
	Effective netfault.Effective
	// why tells why no earlier backend was taken.
	Why string
}

// Apply applies the state by the first backend that can do all of it, and takes
// back what others hold for its owner. The state acts if what is returned is not
// nil, even if there is an error beside it.
func (b *Impairer) Apply(ctx context.Context, state netfault.State) (*Applied, error) {
	if err := state.Validate(); err != nil {
		return nil, err
	}
	var unable []string
	for _, backend := range b.Backends {
		if err := b.NS.Check(); err != nil {
			return nil, err
		}
		effective, err := backend.Apply(ctx, state)
		if errors.Is(err, netfault.ErrUnsupported) {
			unable = append(unable, backend.Name()+": "+err.Error())
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("applying by the backend %s: %w", backend.Name(), err)
		}
		return &Applied{effective, strings.Join(unable, "; ")}, b.clearBut(ctx, backend, state.Owner)
	}
	return nil, fmt.Errorf("no backend can do this here: %s", strings.Join(unable, "; "))
}

// Taking back goes on after the signal that asked for it, and is tried again:
// the kernel may be busy, and nobody else will do it.
const (
	takeBackTries = 3
	takeBackPause = 200 * time.Millisecond
	takeBackLimit = 30 * time.Second
)

// TakeBack clears what an owner has in every backend.
func (b *Impairer) TakeBack(ctx context.Context, owner string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackLimit)
	defer cancel()
	var err error
	for try := range takeBackTries {
		if try > 0 {
			select {
			case <-time.After(takeBackPause):
			case <-ctx.Done():
			}
		}
		if err = b.clearBut(ctx, nil, owner); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: taking back the network faults of owner %q: %w", ErrCleanup, owner, err)
}

// clearBut clears what an owner has in every backend but one, which has just
// replaced it.
func (b *Impairer) clearBut(ctx context.Context, but netfault.Backend, owner string) error {
	var errs []error
	for _, backend := range b.Backends {
		if backend == but {
			continue
		}
		if err := backend.Clear(ctx, owner); err != nil && !errors.Is(err, netfault.ErrUnsupported) {
			errs = append(errs, fmt.Errorf("backend %s: %w", backend.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// Held returns what is set up, by every backend that can tell.
func (b *Impairer) Held(ctx context.Context) ([]netfault.Effective, error) {
	var out []netfault.Effective
	var errs []error
	for _, backend := range b.Backends {
		list, err := backend.List(ctx)
		if err != nil && !errors.Is(err, netfault.ErrUnsupported) {
			errs = append(errs, fmt.Errorf("listing by the backend %s: %w", backend.Name(), err))
		}
		out = append(out, list...)
	}
	return out, errors.Join(errs...)
}

// ClearExpired takes back what is ours and past its deadline, and returns whose
// that was.
func (b *Impairer) ClearExpired(ctx context.Context) (owners []string, err error) {
	list, err := b.Held(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.Owner != "" && (netfault.State{Deadline: e.Deadline}).Expired(time.Now()) {
			if err := b.TakeBack(ctx, e.Owner); err != nil {
				return owners, err
			}
			owners = append(owners, e.Owner)
		}
	}
	return owners, nil
}

// Maker makes a backend for a namespace.
type Maker struct {
	Name string
	Open func(vns.NsHandle) netfault.Backend
}

// Backends are all backends, in the order in which auto prefers them.
func Backends() []Maker {
	return []Maker{
		{"tc", func(ns vns.NsHandle) netfault.Backend { return tc.New(ns) }},
		{"emulate", func(ns vns.NsHandle) netfault.Backend { return emulate.New(ns) }},
	}
}
