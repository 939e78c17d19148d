package mock

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
	"time"
)

// A kind says what an operation does.
type kind string

const (
	opSleep    kind = "sleep"
	opCPU      kind = "cpu"
	opUnits    kind = "units"
	opIO       kind = "io"
	opHold     kind = "hold"
	opLeak     kind = "leak"
	opCall     kind = "call"
	opRoute    kind = "route"
	opParallel kind = "parallel"
	opFail     kind = "fail"
	opAbort    kind = "abort"
	opHang     kind = "hang"
	opCorrupt  kind = "corrupt"
	opRespond  kind = "respond"
)

// An op is one thing that is done for a request; which fields count follows from
// the kind.
type op struct {
	kind     kind
	time     time.Duration
	bytes    int64
	units    float64
	cores    float64
	status   int
	index    int
	call     *call
	route    *chain
	fault    *activeFault
	branches [][]op
}

// A call is one of an endpoint of another service.
type call struct {
	To          string            `json:"to"`
	Method      string            `json:"method"`
	Endpoint    string            `json:"endpoint"`
	RequestSize size              `json:"requestSize"`
	Timeout     duration          `json:"timeout"`
	OnError     string            `json:"onError"`
	Answers     map[string]answer `json:"answers"`
	Count       int               `json:"count"`
	Probability *float64          `json:"probability"`

	Retry, Breaker, Bulkhead, RateLimit, Hedge, Fallback given
}

// An answer is what the file says to answer if a call fails.
type answer struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

// stepText is a step as a System has it.
type stepText struct {
	Work *struct {
		Sleep    delay   `json:"sleep"`
		CPU      delay   `json:"cpu"`
		CPUUnits float64 `json:"cpuUnits"`
		IO       size    `json:"io"`
		Memory   size    `json:"memory"`
	} `json:"work"`
	Call     *call      `json:"call"`
	Parallel []stepText `json:"parallel"`
}

// A step is a stepText, or a part of one, with its number.
type step struct {
	op       op
	n        int
	chance   float64
	delay    *delay
	branches [][]step
}

// An Endpoint is one of a System, compiled for deciding.
type Endpoint struct {
	Path   string `json:"path"`
	Method string `json:"method"`

	Response struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
		Size   size   `json:"size"`
	} `json:"response"`
	Timeout     duration   `json:"timeout"`
	ErrorRate   float64    `json:"errorRate"`
	ErrorStatus int        `json:"errorStatus"`
	Require     given      `json:"require"`
	Steps       []stepText `json:"steps"`

	compiled       []step
	nSteps, nCalls int
	callees        []string
}

var inBraces = regexp.MustCompile(`\{[A-Za-z_][A-Za-z0-9_-]*\}`)

// refuse says that this runtime cannot do something, rather than leave it out.
func refuse(where, what string) error {
	return fmt.Errorf("%s: %s needs a runtime of level L3, this one has L2", where, what)
}

func (e *Endpoint) compile() (err error) {
	if e.Path == "" {
		e.Path = "/"
	}
	if e.Response.Status == 0 {
		e.Response.Status = 200
	}
	if e.ErrorStatus == 0 {
		e.ErrorStatus = 500
	}
	where := "endpoint " + e.Path
	switch {
	case bool(e.Require):
		return refuse(where, "require")
	case inBraces.MatchString(e.Path) || inBraces.MatchString(e.Response.Body):
		return refuse(where, "a name in braces")
	}
	e.compiled, err = e.steps(e.Steps)
	return err
}

func (e *Endpoint) steps(list []stepText) (steps []step, err error) {
	add := func(o op, chance float64, d *delay) {
		steps = append(steps, step{op: o, n: e.nSteps, chance: chance, delay: d})
		e.nSteps++
	}
	for i := range list {
		from := &list[i]
		if w := from.Work; w != nil {
			if !w.Sleep.isZero() {
				add(op{kind: opSleep}, 1, &w.Sleep)
			}
			if !w.CPU.isZero() {
				add(op{kind: opCPU, cores: 1}, 1, &w.CPU)
			}
			if w.CPUUnits > 0 {
				add(op{kind: opUnits, units: w.CPUUnits}, 1, nil)
			}
			if w.IO > 0 {
				add(op{kind: opIO, bytes: int64(w.IO)}, 1, nil)
			}
			if w.Memory > 0 {
				add(op{kind: opHold, bytes: int64(w.Memory)}, 1, nil)
			}
		}
		if c := from.Call; c != nil {
			if err := c.check(); err != nil {
				return nil, err
			}
			e.callees = append(e.callees, c.To)
			chance := 1.0
			if c.Probability != nil {
				chance = *c.Probability
			}
			for range max(c.Count, 1) {
				add(op{kind: opCall, call: c, index: e.nCalls}, chance, nil)
				e.nCalls++
			}
		}
		if len(from.Parallel) > 0 {
			parallel := step{op: op{kind: opParallel}, n: e.nSteps, chance: 1}
			e.nSteps++
			for j := range from.Parallel {
				branch, err := e.steps(from.Parallel[j : j+1])
				if err != nil {
					return nil, err
				}
				parallel.branches = append(parallel.branches, branch)
			}
			steps = append(steps, parallel)
		}
	}
	return steps, nil
}

func (c *call) check() error {
	where := "call of " + c.To
	for _, f := range []struct {
		name string
		set  given
	}{{"retry", c.Retry}, {"breaker", c.Breaker}, {"bulkhead", c.Bulkhead}, {"rateLimit", c.RateLimit}, {"hedge", c.Hedge}, {"fallback", c.Fallback}} {
		if f.set {
			return refuse(where, f.name)
		}
	}
	if c.Endpoint == "" {
		c.Endpoint = "/"
	}
	if c.Method == "" {
		c.Method = "GET"
	}
	if inBraces.MatchString(c.Endpoint) {
		return refuse(where, "a name in braces")
	}
	return nil
}

// decide returns the program of one request.
func (e *Endpoint) decide(k key, from string, faults *faultSet) []op {
	ops := faults.decide(k, from, e.Path)
	switch {
	case ends(ops):
		return ops
	case e.ErrorRate > 0 && k.with("error").chance(e.ErrorRate):
		return append(ops, op{kind: opFail, status: e.ErrorStatus})
	}
	ops = append(ops, decideSteps(e.compiled, k.with("step"))...)
	return append(ops, op{kind: opRespond, status: e.Response.Status})
}

func decideSteps(steps []step, k key) (ops []op) {
	for i := range steps {
		s := &steps[i]
		if s.chance < 1 && !k.withInt(s.n).with("chance").chance(s.chance) {
			continue
		}
		o := s.op
		if s.delay != nil {
			o.time = s.delay.draw(k.withInt(s.n))
		}
		for _, branch := range s.branches {
			o.branches = append(o.branches, decideSteps(branch, k))
		}
		ops = append(ops, o)
	}
	return ops
}

func ends(ops []op) bool {
	if len(ops) == 0 {
		return false
	}
	last := ops[len(ops)-1].kind
	return last == opFail || last == opAbort || last == opRespond
}

// decideChain returns the program of a chain at one service.
func decideChain(c *chain, k key, from string, faults *faultSet) []op {
	ops := faults.decide(k, from, "/")
	if ends(ops) {
		return ops
	}
	ops = append(ops, chainFaults(c.before, k.with("before"))...)
	if ends(ops) {
		return ops
	}
	for i := range c.routes {
		ops = append(ops, op{kind: opRoute, route: &c.routes[i], index: i})
	}
	ops = append(ops, chainFaults(c.after, k.with("after"))...)
	if !ends(ops) {
		ops = append(ops, op{kind: opRespond, status: 200})
	}
	return ops
}

func chainFaults(faults []chainFault, k key) (ops []op) {
	for i, f := range faults {
		if f.kind == "error" && !k.withInt(i).chance(f.rate) {
			continue
		}
		ops = append(ops, op{kind: kindOf(f.kind), time: max(f.delay, f.duration), bytes: f.size, cores: f.cores, status: f.status})
		if ends(ops) {
			break
		}
	}
	return ops
}

// faultOrder is the order in which faults act. From abort on, the first ends the
// request.
var faultOrder = []string{"memory-leak", "latency", "cpu", "io", "corrupt", "hang", "abort", "panic", "error"}

// unreachable is the type of fault that acts on calls.
const unreachable = "unreachable"

func faultTypes() []string { return append(slices.Clone(faultOrder), unreachable) }

func kindOf(fault string) kind {
	switch fault {
	case "latency":
		return opSleep
	case "memory-leak":
		return opLeak
	case "error":
		return opFail
	case "panic":
		return opAbort
	}
	return kind(fault)
}

// A target is what a fault acts on.
type target struct {
	Service   string `json:"service,omitempty"`
	Replica   int    `json:"replica,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"`
	From      string `json:"from,omitempty"`
	Direction string `json:"direction,omitempty"`
}

// An activeFault is one that acts, with what is counted and told of it.
type activeFault struct {
	id, kind    string
	told        map[string]any
	target      target
	delay       delay
	hold        time.Duration
	size        int64
	cores       float64
	status      int
	probability float64
	since       time.Time
	deadline    string
	hits        atomic.Int64
	timer       *time.Timer
	// cleared is done when the fault has ended.
	cleared context.Context
	clear   context.CancelFunc
}

// A faultSet has the faults that act on one replica, in the order in which they act.
type faultSet struct{ here, calls []*activeFault }

func newFaultSet(replica int, active []*activeFault) *faultSet {
	s := &faultSet{}
	for _, f := range active {
		switch {
		case f.kind == unreachable:
			s.calls = append(s.calls, f)
		case f.target.Replica == 0 || f.target.Replica == replica:
			s.here = append(s.here, f)
		}
	}
	slices.SortStableFunc(s.here, func(a, b *activeFault) int {
		return slices.Index(faultOrder, a.kind) - slices.Index(faultOrder, b.kind)
	})
	return s
}

func (s *faultSet) decide(k key, from, path string) (ops []op) {
	for _, f := range s.here {
		if f.target.From != "" && f.target.From != from || f.target.Endpoint != "" && f.target.Endpoint != path {
			continue
		}
		k := k.with("fault").with(f.id)
		if !k.chance(f.probability) {
			continue
		}
		o := op{kind: kindOf(f.kind), time: f.hold, bytes: f.size, cores: f.cores, status: f.status, fault: f}
		if o.kind == opSleep {
			o.time = f.delay.draw(k.with("delay"))
		}
		ops = append(ops, o)
		if ends(ops) {
			break
		}
	}
	return ops
}

// unreachableBy returns the fault that lets a call fail at once, if one does.
func (s *faultSet) unreachableBy(k key, from, to, path string, replica, index int) *activeFault {
	for _, f := range s.calls {
		t := &f.target
		if t.Service == to && (t.From == "" || t.From == from) && (t.Endpoint == "" || t.Endpoint == path) && (t.Replica == 0 || t.Replica == replica) &&
			k.with("fault").with(f.id).withInt(index).withInt(1).chance(f.probability) {
			return f
		}
	}
	return nil
}
