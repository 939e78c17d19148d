package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/impair"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// netActuator breaks the network of one pod.
type netActuator struct {
	machine *machine
	uid     string

	*impair.Impairer // nil while the namespace is not open
	current          netfault.State
	acting           *impair.Applied // what acts of current
}

func (c *netActuator) takes(t fault.Type) bool {
	entry, _ := fault.Lookup(t)
	return entry.Layer == fault.OnNetwork
}

// set applies one state for the faults of all owners.
func (c *netActuator) set(ctx context.Context, want []desiredFault) ([]result, error) {
	err := c.Open(ctx)
	if errors.Is(err, errNothing) {
		return allFailed(want, err), nil
	}
	if err != nil {
		return allFailed(want, err), err
	}
	if len(want) == 0 {
		return nil, c.Close(ctx)
	}
	name, err := c.NS.DefaultInterface()
	if err != nil {
		return allFailed(want, err), c.Close(ctx)
	}
	results := make([]result, len(want))
	rules := make([]*netfault.Rule, len(want)) // nil where there is nothing to do
	for n := range want {
		rules[n], results[n].err = ruleOf(&want[n].fault, name, strconv.Itoa(n))
	}
	return results, c.applyMost(ctx, want, rules, results)
}

// errNothing is wrapped by the error of a pod that has no network to break, so
// that there is nothing to take back either.
var errNothing = errors.New("the pod has no network of its own here")

// Open opens the pod's namespace, again if the pod has got another one.
func (c *netActuator) Open(ctx context.Context) error {
	if c.Impairer != nil {
		if c.NS.Check() == nil {
			return nil
		}
		if err := c.Close(ctx); err != nil {
			return err
		}
	}
	processes, err := c.machine.of(c.uid, time.Now())
	if err != nil {
		return err
	}
	if len(processes) == 0 {
		return fmt.Errorf("%w: no process of the pod runs on this node: it has ended, or starts later", errNothing)
	}
	ns, err := c.machine.finder.OpenPod(c.uid, processes)
	if errors.Is(err, netns.ErrHost) {
		return fmt.Errorf("%w: %w", errNothing, err)
	}
	if err != nil {
		return err
	}
	c.Impairer = impair.New(ns, impair.Backends())
	_, err = c.ClearStale(ctx)
	return err
}

// applyMost applies all rules or, where that cannot be done, those that can be,
// taken one after the other.
func (c *netActuator) applyMost(ctx context.Context, want []desiredFault, rules []*netfault.Rule, results []result) error {
	var all []int
	for n := range want {
		if rules[n] != nil {
			all = append(all, n)
		} else if results[n].err == nil {
			results[n] = result{effective: "nothing: it has no peers at the moment"}
		}
	}
	taken, err := all, c.Apply(ctx, want, rules, all)
	if err != nil && len(all) > 1 {
		taken = nil
		for _, n := range all {
			if results[n].err = c.Apply(ctx, want, rules, append(taken[:len(taken):len(taken)], n)); results[n].err == nil {
				taken = append(taken, n)
			}
		}
		err = c.Apply(ctx, want, rules, taken)
	}
	for _, n := range taken {
		if err != nil {
			results[n].err = err
		} else {
			results[n] = result{by: c.acting.Effective.Backend, effective: describeRule(rules[n], c.acting.Effective)}
		}
	}
	if len(taken) == 0 || err != nil {
		return c.takeBackAll(ctx)
	}
	return nil
}

// Apply makes the rules of these indexes act, unless they do already.
func (c *netActuator) Apply(ctx context.Context, want []desiredFault, rules []*netfault.Rule, taken []int) error {
	state := netfault.State{Owner: c.machine.owner()}
	forever := false
	for _, n := range taken {
		state.Rules = append(state.Rules, *rules[n])
		deadline := want[n].fault.Deadline
		forever = forever || deadline.IsZero()
		if deadline.After(state.Deadline) {
			state.Deadline = deadline
		}
	}
	if forever {
		state.Deadline = time.Time{}
	}
	if len(taken) == 0 || c.acting != nil && reflect.DeepEqual(state, c.current) {
		return nil
	}
	var err error
	c.acting, err = c.Impairer.Apply(ctx, state)
	c.current = state
	if err != nil {
		c.acting = nil
	}
	return err
}

// takeBackAll takes back everything in the pod's namespace.
func (c *netActuator) takeBackAll(ctx context.Context) error {
	c.acting, c.current = nil, netfault.State{}
	return c.TakeBack(ctx, c.machine.owner())
}

// Close implements actuator. A pod may be without processes and its namespace
// still be there for the next ones, so it is put in order in any case.
func (c *netActuator) Close(ctx context.Context) error {
	if c.Impairer == nil {
		return nil
	}
	if err := c.takeBackAll(ctx); err != nil && c.NS.Check() == nil {
		return err
	}
	err := c.Impairer.Close()
	c.Impairer = nil
	return err
}

// allFailed says the same of all faults.
func allFailed(want []desiredFault, err error) []result {
	results := make([]result, len(want))
	for n := range results {
		results[n].err = err
	}
	return results
}
