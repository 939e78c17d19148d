package agent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// netCraft breaks the network of one pod.
type netCraft struct {
	machine *machine
	uid     string

	*breaker // nil while the namespace is not open
	current  netfault.State
	acting   *applied // what acts of current
}

func (c *netCraft) takes(t fault.Type) bool {
	entry, _ := fault.Lookup(t)
	return entry.Layer == fault.OnNetwork
}

// set applies one state for the faults of all owners.
func (c *netCraft) set(ctx context.Context, want []wanted) ([]result, error) {
	err := c.open(ctx)
	if errors.Is(err, errNothing) {
		return allFailed(want, err), nil
	}
	if err != nil {
		return allFailed(want, err), err
	}
	if len(want) == 0 {
		return nil, c.close(ctx)
	}
	name, err := c.ns.DefaultInterface()
	if err != nil {
		return allFailed(want, err), c.close(ctx)
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

// open opens the pod's namespace, again if the pod has got another one.
func (c *netCraft) open(ctx context.Context) error {
	if c.breaker != nil {
		if c.ns.Check() == nil {
			return nil
		}
		if err := c.close(ctx); err != nil {
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
	c.breaker = newBreaker(ns, netBackends())
	_, err = c.clearExpired(ctx)
	return err
}

// applyMost applies all rules or, where that cannot be done, those that can be,
// taken one after the other.
func (c *netCraft) applyMost(ctx context.Context, want []wanted, rules []*netfault.Rule, results []result) error {
	var all []int
	for n := range want {
		if rules[n] != nil {
			all = append(all, n)
		} else if results[n].err == nil {
			results[n] = result{effective: "nothing: it has no peers at the moment"}
		}
	}
	taken, err := all, c.apply(ctx, want, rules, all)
	if err != nil && len(all) > 1 {
		taken = nil
		for _, n := range all {
			if results[n].err = c.apply(ctx, want, rules, append(taken[:len(taken):len(taken)], n)); results[n].err == nil {
				taken = append(taken, n)
			}
		}
		err = c.apply(ctx, want, rules, taken)
	}
	for _, n := range taken {
		if err != nil {
			results[n].err = err
		} else {
			results[n] = result{by: c.acting.effective.Backend, effective: describeRule(rules[n], c.acting.effective)}
		}
	}
	if len(taken) == 0 || err != nil {
		return c.takeBackAll(ctx)
	}
	return nil
}

// apply makes the rules of these indexes act, unless they do already.
func (c *netCraft) apply(ctx context.Context, want []wanted, rules []*netfault.Rule, taken []int) error {
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
	c.acting, err = c.breaker.apply(ctx, state)
	c.current = state
	if err != nil {
		c.acting = nil
	}
	return err
}

// takeBackAll takes back everything in the pod's namespace.
func (c *netCraft) takeBackAll(ctx context.Context) error {
	c.acting, c.current = nil, netfault.State{}
	return c.takeBack(ctx, c.machine.owner())
}

// close implements craft. A pod may be without processes and its namespace
// still be there for the next ones, so it is put in order in any case.
func (c *netCraft) close(ctx context.Context) error {
	if c.breaker == nil {
		return nil
	}
	if err := c.takeBackAll(ctx); err != nil && c.ns.Check() == nil {
		return err
	}
	err := c.breaker.close()
	c.breaker = nil
	return err
}

// allFailed says the same of all faults.
func allFailed(want []wanted, err error) []result {
	results := make([]result, len(want))
	for n := range results {
		results[n].err = err
	}
	return results
}
