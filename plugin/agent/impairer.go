package agent

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

// A breaker breaks the network of one namespace by the first backend that can.
// Its methods are called one at a time.
type breaker struct {
	ns       *netns.Namespace
	backends []netfault.Backend
}

// newBreaker makes the backends for a namespace, which it closes in the end.
func newBreaker(ns *netns.Namespace, makers []backendMaker) *breaker {
	b := &breaker{ns: ns}
	for _, m := range makers {
		b.backends = append(b.backends, m.open(ns.Handle))
	}
	return b
}

// close closes the backends, which takes back what lives in this process, and
// the namespace.
func (b *breaker) close() error {
	var errs []error
	for _, backend := range b.backends {
		if closer, ok := backend.(io.Closer); ok {
			errs = append(errs, closer.Close())
		}
	}
	return errors.Join(append(errs, b.ns.Close())...)
}

// An applied state acts, by a backend.
type applied struct {
	effective netfault.Effective
	// why tells why no earlier backend was taken.
	why string
}

// apply applies the state by the first backend that can do all of it, and takes
// back what others hold for its owner. The state acts if what is returned is not
// nil, even if there is an error beside it.
func (b *breaker) apply(ctx context.Context, state netfault.State) (*applied, error) {
	if err := state.Validate(); err != nil {
		return nil, err
	}
	var unable []string
	for _, backend := range b.backends {
		if err := b.ns.Check(); err != nil {
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
		return &applied{effective, strings.Join(unable, "; ")}, b.clearBut(ctx, backend, state.Owner)
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

// takeBack clears what an owner has in every backend.
func (b *breaker) takeBack(ctx context.Context, owner string) error {
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
func (b *breaker) clearBut(ctx context.Context, but netfault.Backend, owner string) error {
	var errs []error
	for _, backend := range b.backends {
		if backend == but {
			continue
		}
		if err := backend.Clear(ctx, owner); err != nil && !errors.Is(err, netfault.ErrUnsupported) {
			errs = append(errs, fmt.Errorf("backend %s: %w", backend.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// held returns what is set up, by every backend that can tell.
func (b *breaker) held(ctx context.Context) ([]netfault.Effective, error) {
	var out []netfault.Effective
	var errs []error
	for _, backend := range b.backends {
		list, err := backend.List(ctx)
		if err != nil && !errors.Is(err, netfault.ErrUnsupported) {
			errs = append(errs, fmt.Errorf("listing by the backend %s: %w", backend.Name(), err))
		}
		out = append(out, list...)
	}
	return out, errors.Join(errs...)
}

// clearExpired takes back what is ours and past its deadline, and returns whose
// that was.
func (b *breaker) clearExpired(ctx context.Context) (owners []string, err error) {
	list, err := b.held(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.Owner != "" && (netfault.State{Deadline: e.Deadline}).Expired(time.Now()) {
			if err := b.takeBack(ctx, e.Owner); err != nil {
				return owners, err
			}
			owners = append(owners, e.Owner)
		}
	}
	return owners, nil
}

// backendMaker makes a backend for a namespace.
type backendMaker struct {
	name string
	open func(vns.NsHandle) netfault.Backend
}

// netBackends are all backends, in the order in which auto prefers them.
func netBackends() []backendMaker {
	return []backendMaker{
		{"tc", func(ns vns.NsHandle) netfault.Backend { return tc.New(ns) }},
		{"emulate", func(ns vns.NsHandle) netfault.Backend { return emulate.New(ns) }},
	}
}
