// Package impair breaks the network of one namespace by the first backend that
// can, and takes back what it set up.
package impair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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
	// others are not to be used, but may hold faults of other processes.
	others     []netfault.Backend
	generation string
	acting     map[string]netfault.Effective // by owner
}

// New makes the backends for a namespace, which it closes in the end.
func New(ns *netns.Namespace, makers []Maker) *Impairer {
	b := &Impairer{NS: ns, generation: newGeneration(), acting: map[string]netfault.Effective{}}
	for _, m := range makers {
		b.Backends = append(b.Backends, m.Open(ns.Handle))
	}
	for _, m := range Backends() {
		if !slices.ContainsFunc(makers, func(o Maker) bool { return o.Name == m.Name }) {
			b.others = append(b.others, m.Open(ns.Handle))
		}
	}
	return b
}

// newGeneration names this process among all that may apply for an owner, also
// among those that had its number before.
func newGeneration() string { return fmt.Sprintf("%d-%x", os.Getpid(), time.Now().UnixMilli()) }

// Close closes the backends, which takes back what lives in this process, and
// the namespace.
func (b *Impairer) Close() error {
	var errs []error
	for _, backend := range slices.Concat(b.Backends, b.others) {
		if closer, ok := backend.(io.Closer); ok {
			errs = append(errs, closer.Close())
		}
	}
	return errors.Join(append(errs, b.NS.Close())...)
}

// An Applied state acts, by a backend.
type Applied struct {
	Effective netfault.Effective
	// Why says why no earlier backend was taken.
	Why string
}

// Apply applies the state by the first backend that can do all of it, and takes
// back what others hold for its owner. It refuses an interface that another owner
// holds, by whichever backend. The state acts if what is returned is not nil, even
// if there is an error beside it.
func (b *Impairer) Apply(ctx context.Context, state netfault.State) (*Applied, error) {
	if err := state.Validate(); err != nil {
		return nil, err
	}
	state.Generation = b.generation
	if err := b.NS.Check(); err != nil {
		return nil, err
	}
	if err := b.free(ctx, state); err != nil {
		return nil, err
	}
	var unable []string
	for _, backend := range b.Backends {
		if err := b.NS.Check(); err != nil {
			return nil, err
		}
		effective, err := backend.Apply(ctx, state)
		var foreign *tc.ForeignError
		if errors.Is(err, netfault.ErrUnsupported) || errors.As(err, &foreign) && len(b.Backends) > 1 {
			unable = append(unable, backend.Name()+": "+err.Error())
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("applying by the backend %s: %w", backend.Name(), err)
		}
		b.acting[state.Owner] = effective
		return &Applied{effective, strings.Join(unable, "; ")}, clearBut(ctx, b.holding(ctx, state.Owner), backend, state.Owner)
	}
	return nil, fmt.Errorf("no backend can do this here: %s", strings.Join(unable, "; "))
}

// free returns an error if another owner holds an interface of the state. A backend
// that cannot tell is not an obstacle, because it checks again before it applies.
func (b *Impairer) free(ctx context.Context, state netfault.State) error {
	held, _ := heldBy(ctx, slices.Concat(b.Backends, b.others))
	for _, e := range held {
		for _, l := range e.Links {
			if e.Owner != state.Owner && slices.ContainsFunc(state.Rules, func(r netfault.Rule) bool { return r.Interface == l.Interface }) {
				return &netfault.OwnedError{Interface: l.Interface, Owner: e.Owner, Deadline: e.Deadline}
			}
		}
	}
	return nil
}

// holding returns the backends in use, and those of the others that hold faults
// of an owner. One of the others that cannot tell does not work here.
func (b *Impairer) holding(ctx context.Context, owner string) []netfault.Backend {
	out := slices.Clone(b.Backends)
	for _, other := range b.others {
		held, _ := other.List(ctx)
		if slices.ContainsFunc(held, func(e netfault.Effective) bool { return e.Owner == owner }) {
			out = append(out, other)
		}
	}
	return out
}

// Why what a process applied acts no more, though its deadline has not come.
var (
	// ErrRemoved says that another program removed it, or a part of it. The rest
	// must still be cleared.
	ErrRemoved = errors.New("the faults act no more")
	// ErrReplaced says that another process applied faults for the same owner.
	// There is nothing to take back, since what is set up is the other's.
	ErrReplaced = errors.New("the faults were replaced")
)

// Lost returns nil as long as what this process applied for an owner is set up,
// else an [ErrRemoved] or [ErrReplaced] that says what became of it.
func (b *Impairer) Lost(ctx context.Context, owner string) error {
	want, ok := b.acting[owner]
	if !ok {
		return nil
	}
	held, err := b.Held(ctx)
	if err != nil {
		return nil //nolint:nilerr // nothing is known, and the next look may tell
	}
	more, _ := heldBy(ctx, b.others) // one that cannot tell does not work here
	held = slices.DeleteFunc(append(held, more...), func(e netfault.Effective) bool { return e.Owner != owner })
	for _, e := range held {
		if e.Generation != b.generation {
			return fmt.Errorf("%w: another process (%s) has applied faults for the owner %q since; give each process an owner of its own (--owner) to keep both", ErrReplaced, e.Generation, owner)
		}
	}
	if (netfault.State{Deadline: want.Deadline}).Expired(time.Now()) {
		return nil // anyone may have cleared them since then
	}
	return removed(want, held)
}

// removed returns an [ErrRemoved] if a link that was applied is not held any more.
func removed(want netfault.Effective, held []netfault.Effective) error {
	if len(held) == 0 {
		return fmt.Errorf("%w: another program has cleared or removed those of owner %q, or their interface is gone", ErrRemoved, want.Owner)
	}
	for _, l := range want.Links {
		same := func(o netfault.Link) bool { return o.Interface == l.Interface && o.Direction == l.Direction }
		there := slices.ContainsFunc(held, func(e netfault.Effective) bool { return slices.ContainsFunc(e.Links, same) })
		if !there && len(l.Classes) > 0 {
			return fmt.Errorf("%w: another program has removed those on %s of interface %q", ErrRemoved, l.Direction, l.Interface)
		}
	}
	return nil
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
	return b.takeBack(ctx, owner, b.Backends)
}

func (b *Impairer) takeBack(ctx context.Context, owner string, backends []netfault.Backend) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackLimit)
	defer cancel()
	if owner == "" {
		clear(b.acting)
	}
	delete(b.acting, owner)
	var err error
	for try := range takeBackTries {
		if try > 0 {
			select {
			case <-time.After(takeBackPause):
			case <-ctx.Done():
			}
		}
		if err = clearBut(ctx, backends, nil, owner); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: taking back the network faults of owner %q: %w", ErrCleanup, owner, err)
}

// clearBut clears what an owner has in all backends but one, which has just
// replaced it.
func clearBut(ctx context.Context, backends []netfault.Backend, but netfault.Backend, owner string) error {
	var errs []error
	for _, backend := range backends {
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
	return heldBy(ctx, b.Backends)
}

func heldBy(ctx context.Context, backends []netfault.Backend) ([]netfault.Effective, error) {
	var out []netfault.Effective
	var errs []error
	for _, backend := range backends {
		list, err := backend.List(ctx)
		if err != nil && !errors.Is(err, netfault.ErrUnsupported) {
			errs = append(errs, fmt.Errorf("listing by the backend %s: %w", backend.Name(), err))
		}
		out = append(out, list...)
	}
	return out, errors.Join(errs...)
}

// ClearStale takes back what is ours and past its deadline, or without the
// process that carried it out. It returns what that was.
func (b *Impairer) ClearStale(ctx context.Context) (cleared []netfault.Effective, err error) {
	list, err := b.Held(ctx)
	if err != nil {
		return nil, err
	}
	more, _ := heldBy(ctx, b.others) // only to make way, if they can tell
	list = append(list, more...)
	all := slices.Concat(b.Backends, b.others)
	for _, e := range list {
		expired := (netfault.State{Deadline: e.Deadline}).Expired(time.Now())
		if e.Owner != "" && (expired || e.Orphaned) {
			if err := b.takeBack(ctx, e.Owner, all); err != nil {
				return cleared, err
			}
			cleared = append(cleared, e)
		}
	}
	return cleared, nil
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
