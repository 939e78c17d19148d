package emulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/engine"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/nfqueue"
)

// Backend carries out desired states in one network namespace. Faults act as
// long as the Backend is open, at the longest until their deadline.
type Backend struct {
	ns netns.NsHandle

	mu      sync.Mutex
	loop    *loop // nil while nothing is applied
	inject  *injector
	applied map[string]*applied
	takes   []variant // of the rules, those that the kernel may take, the best first
}

var _ netfault.Backend = (*Backend)(nil)

// applied is what this process does for one owner.
type applied struct {
	effective netfault.Effective
	stages    []*stage
	channels  []*channel
	originals *originals
	expiry    *time.Timer
}

// New returns a backend for the namespace, whose handle must stay open until the
// caller closes the backend.
func New(ns netns.NsHandle) *Backend {
	return &Backend{ns: ns, applied: map[string]*applied{}, takes: variants()}
}

// Name returns "emulate".
func (b *Backend) Name() string { return "emulate" }

// Check tries whether queues can be bound, and rules made that fill them.
func (b *Backend) Check(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := inNamespace(b.ns, func() error {
		s, err := nfqueue.Open(nil, 0, 1, nfqueue.FailOpen)
		if err != nil {
			return err
		}
		return s.Close()
	})
	if err != nil {
		return fmt.Errorf("emulating network faults: %w", err)
	}
	if err := tryQueueing(b.ns); err != nil {
		return fmt.Errorf("emulating network faults: %w", err)
	}
	return nil
}

// Apply implements [netfault.Backend]. Packets that wait while a state is
// replaced leave when the old one meant them to.
func (b *Backend) Apply(ctx context.Context, s netfault.State) (netfault.Effective, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return netfault.Effective{}, err
	}
	links, named, err := b.plan(s)
	if err != nil {
		return netfault.Effective{}, fmt.Errorf("emulating the faults of owner %q: %w", s.Owner, err)
	}
	if err := b.start(); err != nil {
		return netfault.Effective{}, err
	}
	if err := b.apply(s, links, named); err != nil {
		return netfault.Effective{}, errors.Join(fmt.Errorf("emulating the faults of owner %q: %w", s.Owner, err), b.stopIfIdle())
	}
	return b.applied[s.Owner].effective, nil
}

// plan refuses what cannot be done, before anything is changed. It also returns
// the queues that rules name already.
func (b *Backend) plan(s netfault.State) (links []linkPlan, named []uint16, err error) {
	if err := s.Validate(); err != nil {
		return nil, nil, err
	}
	if s.Expired(time.Now()) {
		return nil, nil, fmt.Errorf("the deadline %s has passed", s.Deadline.Format(time.RFC3339))
	}
	compiled, err := netfault.Compile(s)
	if err != nil {
		return nil, nil, err
	}
	existing, err := find(b.ns)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range existing {
		named = append(named, f.queues...)
		if f.owner == s.Owner {
			continue
		}
		for _, l := range f.links {
			if slices.ContainsFunc(compiled, func(c netfault.Link) bool { return c.Interface == l.Interface }) {
				return nil, nil, &netfault.OwnedError{Interface: l.Interface, Owner: f.owner, Deadline: f.deadline}
			}
		}
	}
	err = inNamespace(b.ns, func() error {
		for _, l := range compiled {
			d, err := findDevice(l.Interface)
			if err != nil {
				return err
			}
			links = append(links, linkPlan{Link: l, device: d})
		}
		return nil
	})
	return links, named, err
}

// start starts what all owners share.
func (b *Backend) start() error {
	if b.loop != nil {
		return nil
	}
	inject := &injector{v4: -1, v6: -1}
	l, err := startLoop()
	if err != nil {
		return err
	}
	b.loop, b.inject = l, inject
	return nil
}

func (b *Backend) apply(s netfault.State, links []linkPlan, named []uint16) error {
	next, err := b.open(s, links, named)
	if err != nil {
		return err
	}
	b.loop.do(func() {
		b.loop.stages = append(b.loop.stages, next.stages...)
		b.loop.channels = append(b.loop.channels, next.channels...)
		b.loop.originals = append(b.loop.originals, next.originals)
	})
	_, statErr := os.Stat("/proc/net/if_inet6")
	about, err := json.Marshal(next.effective.Links)
	if err != nil {
		return errors.Join(err, b.retire(next, true))
	}
	p := plan{owner: s.Owner, by: s.Generation, deadline: s.Deadline, links: links, originals: next.originals.sock.Queue(), ipv6: statErr == nil, about: string(about)}
	v, err := install(b.ns, p, b.takes)
	if err != nil {
		return errors.Join(err, b.retire(next, true))
	}
	b.takes = p.proven(v, b.takes)
	b.loop.do(func() { next.originals.marked = v.egress })
	old := b.applied[s.Owner]
	b.applied[s.Owner] = next
	if !s.Deadline.IsZero() {
		next.expiry = time.AfterFunc(time.Until(s.Deadline), func() { b.expire(s.Owner, next) })
	}
	if old == nil {
		return nil
	}
	return b.retire(old, false)
}

// open binds a queue for each class, and one for originals.
func (b *Backend) open(s netfault.State, links []linkPlan, named []uint16) (*applied, error) {
	a := &applied{effective: netfault.Effective{Backend: b.Name(), Owner: s.Owner, Generation: s.Generation, Deadline: s.Deadline}}
	err := inNamespace(b.ns, func() error {
		for n := range links {
			l := &links[n]
			if err := b.openLink(a, l, named); err != nil {
				return err
			}
			a.effective.Links = append(a.effective.Links, l.Link)
		}
		sock, err := nfqueue.Open(named, 0, netfault.MaxLimit, nfqueue.FailOpen|nfqueue.WholeGSO)
		if err != nil {
			return err
		}
		a.originals = &originals{sock: sock}
		return nil
	})
	if err != nil {
		for _, c := range a.channels {
			err = errors.Join(err, c.sock.Close())
		}
		return nil, err
	}
	return a, nil
}

// openLink makes the stages of a link, and a channel for each of its classes.
// It settles in the link's plan how many packets may wait.
func (b *Backend) openLink(a *applied, l *linkPlan, named []uint16) error {
	var stages []*stage
	for n := range l.Stages {
		s := &l.Stages[n]
		s.Impairment = withLimit(s.Impairment)
		stages = append(stages, newStage(s.Impairment, stream(l.Link, "stage", s.Rules), b.loop.now()))
	}
	a.stages = append(a.stages, stages...)
	for n := range l.Classes {
		class := &l.Classes[n]
		if !class.Impairment.IsZero() {
			class.Impairment = withLimit(class.Impairment)
		}
		c, err := b.openChannel(named, l, n)
		if err != nil {
			return err
		}
		for _, place := range class.Stages {
			c.stages = append(c.stages, stages[place])
		}
		a.channels = append(a.channels, c)
		l.queues = append(l.queues, c.sock.Queue())
	}
	return nil
}

func (b *Backend) openChannel(named []uint16, l *linkPlan, class int) (*channel, error) {
	met := parts(l.Parts(class))
	i := l.Classes[class].Impairment
	if i.Duplicate.Probability > 0 && b.inject.v4 < 0 && b.inject.v6 < 0 {
		opened, err := openInjector()
		if err != nil {
			return nil, err
		}
		*b.inject = *opened
	}
	copyRange, maxLength, flags := met.queueOptions()
	sock, err := nfqueue.Open(named, copyRange, maxLength, flags)
	if err != nil {
		return nil, err
	}
	return &channel{
		sock: sock, device: l.device, whole: met.needPayload(), ingress: l.Direction == netfault.Ingress, inject: b.inject,
		engine: engine.New(i, stream(l.Link, "", l.Classes[class].Rules), b.loop.now()),
	}, nil
}

// stream names the random numbers of a class or stage, so that those of one
// rule do not depend on the other rules.
func stream(l netfault.Link, kind string, rules []string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s %s%s", l.Interface, l.Direction, strings.Join(rules, " "), kind)
	return h.Sum64()
}

// retire ends what an owner had applied before; its rules are gone.
func (b *Backend) retire(a *applied, atOnce bool) error {
	if a.expiry != nil {
		a.expiry.Stop()
	}
	var err error
	b.loop.do(func() {
		err = a.originals.receive(b.loop)
		b.loop.retire(a.stages, a.channels, atOnce)
		b.loop.originals = slices.DeleteFunc(b.loop.originals, func(o *originals) bool { return o == a.originals })
		err = errors.Join(err, a.originals.sock.Close())
	})
	return err
}

// expire clears at the deadline, unless the owner has applied anew since.
func (b *Backend) expire(owner string, a *applied) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.applied[owner] == a {
		_ = b.release(owner) // List and Clear tell of what is left
	}
}

// release clears what this process applied for an owner, but not what another
// process has applied for the same owner since.
func (b *Backend) release(owner string) error {
	by := b.applied[owner].effective.Generation
	return b.clearThose(func(name string) bool { return name == owner }, func(f *found) bool { return f.owner == owner && f.by == by })
}

// List implements [netfault.Backend].
func (b *Backend) List(context.Context) ([]netfault.Effective, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all, err := find(b.ns)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	var read map[uint16]bool
	if err := inNamespace(b.ns, func() (err error) { read, err = readQueues(); return err }); err != nil {
		return nil, err
	}
	var out []netfault.Effective
	for _, f := range all {
		if a := b.applied[f.owner]; a != nil && a.effective.Generation == f.by {
			out = append(out, a.effective)
			continue
		}
		out = append(out, netfault.Effective{Backend: b.Name(), Owner: f.owner, Generation: f.by, Deadline: f.deadline, Orphaned: f.orphaned(read), Links: f.links})
	}
	return out, nil
}

// Clear implements [netfault.Backend]. Packets that this process holds back for
// the owner leave at once.
func (b *Backend) Clear(_ context.Context, owner string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clear(owner)
}

func (b *Backend) clear(owner string) error {
	named := func(name string) bool { return owner == "" || name == owner }
	return b.clearThose(named, func(f *found) bool { return named(f.owner) })
}

// clearThose ends what this process does for some owners, and removes rules.
func (b *Backend) clearThose(owners func(string) bool, rules func(*found) bool) error {
	all, err := find(b.ns)
	all = slices.DeleteFunc(all, func(f *found) bool { return !rules(f) })
	errs := []error{err}
	for _, f := range all {
		// First only the rules: a hook that goes away takes with it what waits.
		errs = append(errs, f.remove(b.ns, true))
	}
	for name, a := range b.applied {
		if owners(name) {
			errs = append(errs, b.retire(a, true))
			delete(b.applied, name)
		}
	}
	for _, f := range all {
		errs = append(errs, f.remove(b.ns, false))
	}
	return errors.Join(append(errs, b.stopIfIdle())...)
}

// stopIfIdle stops the loop if nothing is applied.
func (b *Backend) stopIfIdle() error {
	if b.loop == nil || len(b.applied) > 0 {
		return nil
	}
	b.loop.do(func() { b.loop.retire(slices.Clone(b.loop.stages), slices.Clone(b.loop.channels), true) })
	err := errors.Join(b.loop.stop(), b.inject.close())
	b.loop = nil
	return err
}

// Close clears what this backend has applied.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for owner := range b.applied {
		errs = append(errs, b.release(owner))
	}
	return errors.Join(errs...)
}

// Stats returns what the classes that are applied have done so far.
func (b *Backend) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out Stats
	if b.loop == nil {
		return out
	}
	b.loop.do(func() {
		out.CPU = threadTime()
		for _, a := range b.applied {
			n := 0
			for _, l := range a.effective.Links {
				for _, class := range l.Classes {
					c := a.channels[n]
					n++
					out.Classes = append(out.Classes, ClassStats{
						Interface: l.Interface, Direction: l.Direction, Rules: class.Rules,
						Counts: c.count, Decided: c.engine.Stats(), Held: c.held(), Err: c.err,
					})
				}
			}
		}
	})
	return out
}
