package netfaulttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Options says how a backend is held against the table.
type Options struct {
	// New makes the backend for a namespace.
	New func(t *testing.T, n *Node) netfault.Backend
	// Supports tells which links the backend can carry out on this kernel; nil is
	// all. The others must be refused, and nothing changed.
	Supports func(netfault.Link) bool
	// Dump returns more of a namespace's state that must be restored; may be nil.
	Dump func(t *testing.T, n *Node) string
}

// Owner is the mark under which the table's rules are applied.
const Owner = "netfaulttest"

// Run measures every case of the table, and checks after each that clearing
// restores the namespace and the traffic.
func Run(t *testing.T, o Options) { RunMatching(t, o, "") }

// RunMatching is Run for the cases whose names contain a text.
func RunMatching(t *testing.T, o Options, text string) {
	for _, c := range Cases() {
		if strings.Contains(c.Name, text) {
			t.Run(c.Name, func(t *testing.T) {
				if c.untimed() {
					t.Parallel()
				}
				o.run(t, c)
			})
		}
	}
}

// untimed tells of cases that count packets and hardly look at the clock, so
// that others beside them do no harm.
func (c Case) untimed() bool {
	for _, r := range c.Rules {
		i := r.Impairment
		i.Loss, i.Partition = netfault.Loss{}, false
		if !i.IsZero() {
			return false
		}
	}
	return true
}

// Snapshot returns the state of a namespace that backends must restore.
func (o Options) Snapshot(t *testing.T, n *Node) string {
	t.Helper()
	out, err := Dump(n)
	if err != nil {
		t.Fatalf("dumping the namespace: %v", err)
	}
	if o.Dump != nil {
		out += o.Dump(t, n)
	}
	return out
}

func (o Options) run(t *testing.T, c Case) {
	lab := NewLab(t)
	before := o.Snapshot(t, lab.Near)
	backend := o.New(t, lab.Near)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	state := netfault.State{Owner: Owner, Deadline: time.Now().Add(time.Minute), Rules: c.Rules}
	effective, err := backend.Apply(ctx, state)
	if !o.supported(t, state) {
		if !errors.Is(err, netfault.ErrUnsupported) {
			t.Errorf("what is not supported here gave the error %v, want ErrUnsupported", err)
		}
		o.restored(t, lab, before, "refusing")
		return
	}
	if err != nil {
		t.Fatalf("applying: %v", err)
	}
	o.clearAfter(t, lab, backend, before)
	if text, err := json.Marshal(effective); err != nil {
		t.Errorf("the effective state as JSON: %v", err)
	} else {
		t.Logf("effective: %s", text)
	}
	for _, w := range c.Want {
		lab.see(t, w.Flow, w.Check)
	}
}

// tries is how often a flow is measured before its check counts as failed: on
// a busy machine one measurement is late now and then, a wrong backend always.
const tries = 5

func (l *Lab) see(t *testing.T, f Flow, check func(Measured) error) {
	t.Helper()
	try(t, fmt.Sprintf("flow %+v:", f), func() error {
		m, err := l.Run(f)
		if err == nil {
			err = check(m)
		}
		if err != nil {
			return fmt.Errorf("%w (%d arrived, median %v)", err, len(m.Arrivals), m.Quantile(.5))
		}
		t.Logf("seen: of %d packets %d lost, %d twice; delay quantiles 0, 0.5, 0.99: %v, %v, %v; %.0f bytes/s",
			m.Sent, m.Lost(), m.Duplicates(), m.Quantile(0), m.Quantile(.5), m.Quantile(.99), m.Rate())
		return nil
	})
}

func (o Options) supported(t *testing.T, s netfault.State) bool {
	links, err := netfault.Compile(s)
	if err != nil {
		t.Fatalf("compiling the case: %v", err)
	}
	for _, l := range links {
		if o.Supports != nil && !o.Supports(l) {
			return false
		}
	}
	return true
}

// clearAfter takes the faults back at the end of the test and checks that
// nothing of them is left, in the kernel or in the traffic.
func (o Options) clearAfter(t *testing.T, lab *Lab, backend netfault.Backend, before string) {
	t.Cleanup(func() {
		if err := backend.Clear(context.WithoutCancel(t.Context()), Owner); err != nil {
			t.Errorf("clearing: %v", err)
		}
		o.restored(t, lab, before, "clearing")
		for _, direction := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
			lab.see(t, Flow{Direction: direction, Count: 50, Interval: ms, Brief: true}, untouched)
		}
	})
}

func (o Options) restored(t *testing.T, lab *Lab, before, doing string) {
	t.Helper()
	if after := o.Snapshot(t, lab.Near); after != before {
		t.Errorf("%s did not leave the namespace as it was; before:\n%s\nafter:\n%s", doing, before, after)
	}
}
