// Package advise names patterns in an experiment's system that are known to turn
// small failures into outages, before anything is run. It reads what the file says
// and measures nothing: advice is a question to the reader, not a verdict.
package advise

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Rule names a pattern.
type Rule string

// The rules.
const (
	RetryLayers  Rule = "retry-layers"
	NestTimeouts Rule = "nest-timeouts"
	RetryBudget  Rule = "retry-budget"
	RetryJitter  Rule = "retry-jitter"
	BoundQueues  Rule = "bound-queues"
	Idempotent   Rule = "idempotent"
)

// Lesson is the embedded example that shows what a pattern does.
func (r Rule) Lesson() string {
	return map[Rule]string{
		RetryLayers:  "lesson-10-retry-amplification",
		NestTimeouts: "lesson-05-nested-timeouts",
		RetryBudget:  "lesson-12-retry-budget",
		RetryJitter:  "lesson-11-jitter",
		BoundQueues:  "lesson-16-load-shedding",
		Idempotent:   "lesson-18-hedge",
	}[r]
}

// Rules lists the rules in the order in which advice is given.
func Rules() []Rule {
	return []Rule{RetryLayers, NestTimeouts, RetryBudget, RetryJitter, BoundQueues, Idempotent}
}

// Advice is one place where a pattern was found.
type Advice struct {
	Rule Rule
	// Where is a service (cart), a call (web->cart), or a chain of calls.
	Where string
	// What describes the finding, Instead what to write in its place.
	What, Instead string
}

// Of returns advice on an experiment whose load has its defaults, or of one with
// nothing but a system.
func Of(e *experiment.Experiment) []Advice {
	a := adviser{e: e, depth: map[place]*chain{}, writes: map[place]string{}}
	a.findWrites()
	a.layers()
	a.eachCall(a.nesting)
	a.eachCall(a.budget)
	a.eachCall(a.jitter)
	for i := range e.System.Services {
		a.queue(&e.System.Services[i])
	}
	a.eachCall(a.twice)
	var list []Advice
	for _, found := range a.list {
		if !slices.Contains(list, found) { // the same call at several endpoints
			list = append(list, found)
		}
	}
	slices.SortStableFunc(list, func(x, y Advice) int {
		return cmp.Compare(slices.Index(Rules(), x.Rule), slices.Index(Rules(), y.Rule))
	})
	return list
}

type adviser struct {
	e    *experiment.Experiment
	list []Advice
	// depth has the chain with most attempts below an endpoint; nil while it is
	// looked for.
	depth map[place]*chain
	// writes names a store that requests to an endpoint write to, by its own calls or
	// by those of others below.
	writes map[place]string
}

// A place is an endpoint of a service.
type place struct{ service, path, method string }

func (a *adviser) add(r Rule, where, instead, format string, args ...any) {
	a.list = append(a.list, Advice{r, where, fmt.Sprintf(format, args...), instead})
}

// eachCall visits all calls with their service and endpoint.
func (a *adviser) eachCall(visit func(s *topology.Service, c *topology.Call)) {
	for i := range a.e.System.Services {
		s := &a.e.System.Services[i]
		for j := range s.Endpoints {
			eachCall(s.Endpoints[j].Steps, func(c *topology.Call) { visit(s, c) })
		}
	}
}

func eachCall(steps []topology.Step, visit func(c *topology.Call)) {
	for i := range steps {
		if steps[i].Call != nil {
			visit(steps[i].Call)
		}
		eachCall(steps[i].Parallel, visit)
	}
}

func edge(s *topology.Service, c *topology.Call) string { return s.Name + "->" + c.To }

func attempts(c *topology.Call) int {
	if c.Retry == nil {
		return 1
	}
	return max(c.Retry.Attempts, 1)
}

// callee is the endpoint that a call arrives at; nil where there is none.
func (a *adviser) callee(c *topology.Call) (*topology.Service, *topology.Endpoint) {
	s := a.e.System.Service(c.To)
	if s == nil {
		return nil, nil
	}
	return s, s.Endpoint(c.Method, c.Endpoint)
}

// most is where attempts are no longer counted.
const most = 1_000_000_000

func times(n int) string {
	if n >= most {
		return "a billion and more"
	}
	return fmt.Sprint(n)
}

// A chain is retrying calls that lie below each other.
type chain struct {
	attempts int
	edges    []string
}

// below is the chain with most attempts from an endpoint down. A cycle of calls is
// followed once.
func (a *adviser) below(s *topology.Service, e *topology.Endpoint) *chain {
	at := place{s.Name, e.Path, e.Method}
	if c, known := a.depth[at]; known {
		if c == nil {
			return &chain{attempts: 1}
		}
		return c
	}
	a.depth[at] = nil
	best := &chain{attempts: 1}
	eachCall(e.Steps, func(c *topology.Call) {
		rest := &chain{attempts: 1}
		if to, endpoint := a.callee(c); endpoint != nil {
			rest = a.below(to, endpoint)
		}
		if n := attempts(c); n > 1 {
			rest = &chain{min(n*rest.attempts, most), append([]string{fmt.Sprintf("%s (%d)", edge(s, c), n)}, rest.edges...)}
		}
		if rest.attempts > best.attempts {
			best = rest
		}
	})
	a.depth[at] = best
	return best
}

// layers finds retries below retries.
func (a *adviser) layers() {
	for _, name := range a.e.System.Entries() {
		s := a.e.System.Service(name)
		if s == nil {
			continue
		}
		for i := range s.Endpoints {
			c := a.below(s, &s.Endpoints[i])
			if len(c.edges) < 2 {
				continue
			}
			a.add(RetryLayers, strings.Join(c.edges, ", "), "retry at one layer: the one nearest to what fails, or the one that knows whether it is worth it",
				"retries at %d layers multiply: one request becomes up to %s at the last", len(c.edges), times(c.attempts))
		}
	}
}

// longest is how long a call may take with all its attempts; 0 where nothing bounds
// it.
func longest(c *topology.Call) time.Duration {
	if c.Timeout == 0 {
		return 0
	}
	total := time.Duration(attempts(c)) * c.Timeout.Std()
	if r := c.Retry; r != nil {
		wait, factor, limit := float64(r.Backoff), cmp.Or(r.Factor, policy.DefaultFactor), float64(cmp.Or(r.Cap, policy.DefaultCap))
		for range attempts(c) - 1 {
			total += time.Duration(min(wait, limit))
			wait *= factor
		}
	}
	return total * time.Duration(max(c.Count, 1))
}

// nesting finds calls that give up before what is called does.
func (a *adviser) nesting(s *topology.Service, c *topology.Call) {
	to, endpoint := a.callee(c)
	if endpoint == nil || c.Timeout == 0 {
		return
	}
	eachCall(endpoint.Steps, func(inner *topology.Call) {
		if all := longest(inner); all >= c.Timeout.Std() {
			a.add(NestTimeouts, edge(s, c), fmt.Sprintf("give %s more than %s, or %s less than %s", edge(s, c), short(all), edge(to, inner), c.Timeout),
				"%s waits %s for %s, which waits up to %s for %s: it works for a caller that has left", s.Name, c.Timeout, c.To, short(all), inner.To)
		}
	})
}

// budget finds retries that multiply the load when everything fails.
func (a *adviser) budget(s *topology.Service, c *topology.Call) {
	if n := attempts(c); n > 1 && c.Retry.Budget == nil {
		a.add(RetryBudget, edge(s, c), "add a budget to the retry: {ratio: 0.1, burst: 10}",
			"%d attempts without a budget: when all calls fail, %s gets %d times its load", n, c.To, n)
	}
}

// jitter finds retries that come back together.
func (a *adviser) jitter(s *topology.Service, c *topology.Call) {
	switch n := attempts(c); {
	case n < 2:
	case c.Retry.Backoff == 0:
		a.add(RetryJitter, edge(s, c), "add a backoff to the retry, such as 50ms; its jitter is full where nothing else is said",
			"retries follow at once, so calls that failed together are sent again together")
	case c.Retry.Jitter == policy.NoJitter:
		a.add(RetryJitter, edge(s, c), "write jitter: full", "retries have no jitter, so calls that failed together are sent again together, %s later", c.Retry.Backoff)
	}
}

// systemQueue is how many connections wait where the file leaves it to the system
// (net.core.somaxconn of Linux 5.4 and later).
const systemQueue = 4096

// queue finds queues in which requests wait longer than their callers do.
func (a *adviser) queue(s *topology.Service) {
	if s.Workers == 0 || s.Shed != nil {
		return
	}
	length, bounded := s.Backlog, s.Backlog > 0
	if !bounded {
		length = systemQueue
	}
	work := fixedWork(s)
	drain := time.Duration(float64(length) / float64(s.Workers) * float64(work))
	patience := a.patience(s.Name)
	instead := "add shed, such as {queue: 8, deadline: true}, or a shorter backlog"
	if work > 0 && patience > 0 {
		if fits := int(float64(patience) / float64(work) * float64(s.Workers)); fits < length {
			instead = fmt.Sprintf("add shed, such as {queue: 8, deadline: true}, or a backlog under %d", max(fits, 1))
		}
	}
	switch {
	case !bounded:
		a.add(BoundQueues, s.Name, instead, "its queue has no bound but that of the system, %d connections%s", systemQueue, inTime(drain))
	case patience > 0 && drain > patience:
		a.add(BoundQueues, s.Name, instead, "its queue of %d takes %s to work off, but callers wait %s: once full, it serves requests that nobody waits for", length, short(drain), short(patience))
	}
}

func inTime(drain time.Duration) string {
	if drain == 0 {
		return ""
	}
	return ", which take " + short(drain) + " to work off"
}

// fixedWork is the shortest work of the endpoints of a service that sleep or use a
// processor for a fixed time; 0 where none does.
func fixedWork(s *topology.Service) (least time.Duration) {
	for i := range s.Endpoints {
		var work time.Duration
		for _, step := range s.Endpoints[i].Steps {
			if w := step.Work; w != nil {
				work += w.Sleep.Fixed.Std() + w.CPU.Fixed.Std()
			}
		}
		if work > 0 && (least == 0 || work < least) {
			least = work
		}
	}
	return least
}

// patience is how long the most patient caller of a service waits for one attempt;
// 0 where one waits without a bound.
func (a *adviser) patience(name string) (longest time.Duration) {
	unbounded := false
	a.eachCall(func(_ *topology.Service, c *topology.Call) {
		if c.To == name {
			longest, unbounded = max(longest, c.Timeout.Std()), unbounded || c.Timeout == 0
		}
	})
	if unbounded {
		return 0
	}
	if slices.Contains(a.e.System.Entries(), name) || a.loaded(name) {
		return max(longest, a.e.Load.Timeout.Std())
	}
	return longest
}

func (a *adviser) loaded(name string) bool {
	for _, r := range a.e.Load.Requests {
		if r.Service == name {
			return true
		}
	}
	return false
}

// writtenBy is the store that a call itself writes to; empty where it writes to none.
// To fill a cache with the item that it missed is no write: twice is the same as once.
func (a *adviser) writtenBy(c *topology.Call) string {
	to := a.e.System.Service(c.To)
	if to == nil || !to.Kind.IsStore() || c.IfMissed != "" {
		return ""
	}
	whole := c.WithOperations(to)
	if slices.ContainsFunc(whole.Operations(), topology.Operation.Writes) {
		return to.Name
	}
	return ""
}

// findWrites finds the endpoints that write to stores, from the stores up.
func (a *adviser) findWrites() {
	callers := map[place][]place{}
	var found []place
	for i := range a.e.System.Services {
		s := &a.e.System.Services[i]
		for j := range s.Endpoints {
			e := &s.Endpoints[j]
			here := place{s.Name, e.Path, e.Method}
			eachCall(e.Steps, func(c *topology.Call) {
				if store := a.writtenBy(c); store != "" && a.writes[here] == "" {
					a.writes[here] = store
					found = append(found, here)
				}
				if to, endpoint := a.callee(c); endpoint != nil {
					below := place{to.Name, endpoint.Path, endpoint.Method}
					callers[below] = append(callers[below], here)
				}
			})
		}
	}
	for len(found) > 0 {
		at := found[0]
		found = found[1:]
		for _, caller := range callers[at] {
			if a.writes[caller] == "" {
				a.writes[caller] = a.writes[at]
				found = append(found, caller)
			}
		}
	}
}

// whatTwice names the requests of a call that do not leave the same if they are done
// twice as if once (RFC 9110, 9.2.2); empty where they do. The method promises that of
// PUT and DELETE, whatever is below.
func (a *adviser) whatTwice(c *topology.Call) string {
	if store := a.writtenBy(c); store != "" {
		return "writes to " + store
	}
	switch method := a.method(c); method {
	case "POST", "PATCH":
		return "requests with " + method
	case "PUT", "DELETE":
		return ""
	}
	if to, endpoint := a.callee(c); endpoint != nil {
		if store := a.writes[place{to.Name, endpoint.Path, endpoint.Method}]; store != "" {
			return "requests that write to " + store + " further down"
		}
	}
	return ""
}

// twice finds requests that are sent again, or twice, although doing them twice is
// not the same as once.
func (a *adviser) twice(s *topology.Service, c *topology.Call) {
	what := a.whatTwice(c)
	if what == "" {
		return
	}
	if h := c.Hedge; h != nil {
		a.add(Idempotent, edge(s, c), "hedge what only reads, or let the callee know a request again by its id",
			"%s are sent again after %s while the first is under way: both are done", what, h.After)
	}
	if attempts(c) > 1 && (len(c.Retry.On) == 0 || slices.Contains(c.Retry.On, policy.Trigger(outcome.Timeout))) {
		a.add(Idempotent, edge(s, c), "retry connection_error and rejected only (on:), or let the callee know a request again by its id",
			"%s are retried after a timeout, when the first may have been done", what)
	}
}

func (a *adviser) method(c *topology.Call) string {
	if c.Method != "" {
		return c.Method
	}
	if _, e := a.callee(c); e != nil && e.Method != "" {
		return e.Method
	}
	return "GET"
}

// short prints a time with three digits.
func short(d time.Duration) string { return experiment.FormatSeconds(d.Seconds()) }
