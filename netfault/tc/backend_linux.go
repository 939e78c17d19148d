package tc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Backend applies states in one namespace by traffic control.
type Backend struct {
	ns     netns.NsHandle
	kernel *Kernel           // once probed
	acting map[string]acting // by owner, what this process applied last
}

// acting is a state as it was applied: with the features that were used.
type acting struct {
	state  netfault.State
	kernel Kernel
}

var _ netfault.Backend = (*Backend)(nil)

// New returns a backend for the namespace, whose handle must stay open while
// the backend is used. The kernel is not asked yet.
func New(ns netns.NsHandle) *Backend {
	return &Backend{ns: ns, acting: map[string]acting{}}
}

// NewWithKernel is New with given kernel features instead of probed ones, so
// that tests on a modern kernel can stand in for an older one.
func NewWithKernel(ns netns.NsHandle, k Kernel) *Backend {
	b := New(ns)
	b.kernel = &k
	return b
}

// Name is "tc".
func (b *Backend) Name() string { return "tc" }

// Kernel returns what the kernel has.
func (b *Backend) Kernel() (Kernel, error) {
	if b.kernel == nil {
		k, err := probe()
		if err != nil {
			return k, err
		}
		b.kernel = &k
	}
	return *b.kernel, nil
}

// Check says why some faults cannot be applied here. A kernel without netem
// still supports rates and partitions, and Apply accepts those.
func (b *Backend) Check(context.Context) error {
	k, err := b.Kernel()
	if err != nil {
		return fmt.Errorf("asking the kernel for its queueing disciplines: %w", err)
	}
	if err := b.mayChange(); err != nil {
		return err
	}
	if !k.Netem {
		return unsupported("the kernel has no netem (CONFIG_NET_SCH_NETEM): of the network faults tc can do only a rate and a partition here")
	}
	if !k.Prio && !k.HTB || !k.BPF && !k.U32 {
		return unsupported("the kernel cannot sort packets by peers (it needs prio or htb, and cls_bpf or cls_u32)")
	}
	if !k.IFB || !k.Mirred {
		return unsupported("the kernel cannot impair what arrives (it needs ifb and act_mirred)")
	}
	return nil
}

// mayChange tests for the right to change links with a harmless request: it
// sets the loopback's alias to its current value.
func (b *Backend) mayChange() error {
	c, err := dial(b.ns)
	if err != nil {
		return err
	}
	defer c.Close()
	lo, err := c.links.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding interface \"lo\": %w", err)
	}
	if err := c.links.LinkSetAlias(lo, lo.Attrs().Alias); errors.Is(err, unix.EPERM) {
		return fmt.Errorf("changing interfaces of the namespace needs CAP_NET_ADMIN in it: run as root: %w", err)
	} else if err != nil {
		return fmt.Errorf("asking whether interfaces may be changed: %w", err)
	}
	return nil
}

// Plan returns what Apply would do, and changes nothing.
func (b *Backend) Plan(s netfault.State) ([]Op, error) {
	ops, _, err := b.with(func(c *conn, k Kernel) ([]Op, []netfault.Link, error) {
		if err := s.Validate(); err != nil {
			return nil, nil, err
		}
		facts, err := c.facts(k)
		if err != nil {
			return nil, nil, err
		}
		return Plan(s, facts)
	})
	return ops, err
}

// Describe is Plan as text for people: one line per operation.
func (b *Backend) Describe(s netfault.State) ([]string, error) {
	ops, err := b.Plan(s)
	var out []string
	for _, op := range ops {
		out = append(out, op.String())
	}
	return out, err
}

func (b *Backend) with(f func(*conn, Kernel) ([]Op, []netfault.Link, error)) ([]Op, []netfault.Link, error) {
	k, err := b.Kernel()
	if err != nil {
		return nil, nil, err
	}
	c, err := dial(b.ns)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	return f(c, k)
}

// Apply implements [netfault.Backend]. The faults outlive the process. If the
// classes or peers change, and not only parameters, the disciplines are
// rebuilt, and packets that wait in them are lost.
func (b *Backend) Apply(ctx context.Context, s netfault.State) (netfault.Effective, error) {
	e := netfault.Effective{Backend: b.Name(), Owner: s.Owner, Generation: s.Generation, Deadline: s.Deadline}
	if err := s.Validate(); err != nil {
		return e, err
	}
	if s.Expired(time.Now()) {
		return e, fmt.Errorf("the deadline %s has passed; give a later one", s.Deadline.Format(time.RFC3339))
	}
	_, links, err := b.with(func(c *conn, k Kernel) ([]Op, []netfault.Link, error) {
		facts, err := c.facts(k)
		if err != nil {
			return nil, nil, err
		}
		ops, links, err := Plan(s, facts)
		if err != nil {
			return nil, nil, err
		}
		if err := c.all(ctx, ops); err != nil {
			return nil, nil, errors.Join(err, b.rollBack(ctx, c, s.Owner))
		}
		if links, err = c.verify(s, k, links); err != nil {
			return nil, nil, errors.Join(err, b.rollBack(ctx, c, s.Owner))
		}
		b.acting[s.Owner] = acting{s, k}
		return nil, links, nil
	})
	e.Links = links
	return e, err
}

// rollBack sets up again what this process applied before for the owner; there may
// be nothing. It clears a state that another process applied, because that state is
// not known in full: the kernel does not show distributions.
func (b *Backend) rollBack(ctx context.Context, c *conn, owner string) error {
	before, ok := b.acting[owner]
	if !ok || before.state.Expired(time.Now()) {
		delete(b.acting, owner)
		return c.clear(owner)
	}
	facts, err := c.facts(before.kernel)
	if err == nil {
		var ops []Op
		if ops, _, err = Plan(before.state, facts); err == nil {
			err = c.all(context.WithoutCancel(ctx), ops)
		}
	}
	if err == nil {
		return nil
	}
	delete(b.acting, owner)
	return errors.Join(fmt.Errorf("setting up again what acted before: %w; it is cleared", err), c.clear(owner))
}

// all runs operations until one fails or the context ends.
func (c *conn) all(ctx context.Context, ops []Op) error {
	for _, op := range ops {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("before %q: %w", op, err)
		}
		if err := c.do(op); err != nil {
			return err
		}
	}
	return nil
}

// verify reads everything back, checks that a new plan would be empty, and
// returns the values that the kernel shows.
func (c *conn) verify(s netfault.State, k Kernel, links []netfault.Link) ([]netfault.Link, error) {
	facts, err := c.facts(k)
	if err != nil {
		return nil, fmt.Errorf("reading back: %w", err)
	}
	missing, _, err := Plan(s, facts)
	if err != nil {
		return nil, fmt.Errorf("reading back: %w", err)
	}
	for _, op := range missing {
		q, ok := op.Object.(Qdisc)
		if there := find(facts.Links, q); ok && op.Verb == Change && there != nil {
			if same(there, q.discipline) {
				continue // sent again only for its table
			}
			return nil, fmt.Errorf("the kernel took other parameters of %s than were asked (%s): %w", q.discipline.kind(), difference(there, q.discipline), netfault.ErrUnsupported)
		}
		return nil, fmt.Errorf("the kernel does not show what was set up; still to do: %s", op)
	}
	for n := range links {
		l := &links[n]
		t := facts.treeOf(l.Interface, l.Direction)
		if err := t.remember(k, facts.Links[l.Interface].MTU, *l); err != nil {
			return nil, err
		}
		if err := t.effective(l); err != nil {
			return nil, fmt.Errorf("reading back %s of interface %q: %w", l.Direction, l.Interface, err)
		}
	}
	return links, nil
}

// remember copies the requested distributions into a tree that was read back,
// because the kernel does not report them.
func (t tree) remember(k Kernel, mtu int, l netfault.Link) error {
	want, err := k.build("", mtu, l)
	if err != nil {
		return err
	}
	for n, q := range t.qdiscs {
		there, ok := q.discipline.(netem)
		asked, wasNetem := want.at(q.Handle).(netem)
		if ok && wasNetem {
			there.distribution, there.slotDistribution = asked.distribution, asked.slotDistribution
			t.qdiscs[n].discipline = there
		}
	}
	return nil
}

// difference names the parameters that differ, as they are there and as they
// were asked.
func difference(there, asked discipline) string {
	switch a := asked.(type) {
	case netem:
		if n, ok := there.(netem); ok {
			there = n.canonical(a)
		}
	case tbf:
		if q, ok := there.(tbf); ok {
			there = q.canonical(a)
		}
	}
	x, y := reflect.ValueOf(there), reflect.ValueOf(asked)
	if x.Type() != y.Type() || x.Kind() != reflect.Struct {
		return fmt.Sprintf("%s %s instead of %s %s", there.kind(), there, asked.kind(), asked)
	}
	var out []string
	for n := range x.NumField() {
		if name := x.Type().Field(n).Name; !x.Field(n).Equal(y.Field(n)) {
			out = append(out, fmt.Sprintf("%s %v instead of %v", name, x.Field(n), y.Field(n)))
		}
	}
	return strings.Join(out, ", ")
}

func find(links map[string]LinkFacts, q Qdisc) discipline {
	for _, there := range links[q.Dev].Qdiscs {
		if there.Handle == q.Handle && there.Parent == q.Parent {
			return there.discipline
		}
	}
	return nil
}

// treeOf returns the tree that impairs one direction of an interface.
func (f Facts) treeOf(name string, d netfault.Direction) tree {
	if d == netfault.Ingress {
		name = ifbName(f.Links[name].Index)
	}
	return f.Links[name].ourTree(atRoot)
}

// List implements [netfault.Backend].
func (b *Backend) List(context.Context) ([]netfault.Effective, error) {
	c, err := dial(b.ns)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	facts, err := c.facts(Kernel{})
	if err != nil {
		return nil, err
	}
	var out []netfault.Effective
	for _, h := range holdings(facts, "") {
		n := slices.IndexFunc(out, func(e netfault.Effective) bool { return e.Owner == h.mark.owner })
		if n < 0 {
			n = len(out)
			out = append(out, netfault.Effective{Backend: b.Name(), Owner: h.mark.owner, Generation: h.mark.by, Deadline: h.mark.deadline})
		}
		for _, d := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
			l := netfault.Link{Interface: h.name, Direction: d}
			facts.treeOf(h.name, d).shown(&l)
			if len(l.Classes)+len(l.Stages) > 0 {
				out[n].Links = append(out[n].Links, l)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b netfault.Effective) int { return strings.Compare(a.Owner, b.Owner) })
	return out, nil
}

// Clear implements [netfault.Backend]. It continues after an error, and names
// everything that could not be removed.
func (b *Backend) Clear(_ context.Context, owner string) error {
	c, err := dial(b.ns)
	if err != nil {
		return err
	}
	defer c.Close()
	if owner == "" {
		clear(b.acting)
	} else {
		delete(b.acting, owner)
	}
	return c.clear(owner)
}

func (c *conn) clear(owner string) error {
	facts, err := c.facts(Kernel{})
	if err != nil {
		return fmt.Errorf("looking for what is to be cleared: %w", err)
	}
	var errs []error
	for _, h := range holdings(facts, owner) {
		var failed error
		for _, op := range planClear(facts, h.name) {
			if _, isMark := op.Object.(Alias); isMark && failed != nil {
				break // keep the mark while something of ours is left
			}
			if err := c.do(op); err != nil {
				failed = errors.Join(failed, fmt.Errorf("clearing interface %q: %w; `tc qdisc del dev %s root` (or `ingress`) removes it by hand", h.name, err, h.name))
			}
		}
		errs = append(errs, failed)
	}
	return errors.Join(errs...)
}
