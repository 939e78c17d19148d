package behave

import (
	"cmp"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An Endpoint is an endpoint compiled for deciding.
type Endpoint struct {
	Method, Path string
	// Timeout bounds the whole request; 0 means without bound.
	Timeout time.Duration
	// Status and Bytes are those of the answer when all went well.
	Status int
	Bytes  int64
	// Body is a text to answer in place of Bytes; Names are those in braces that
	// Fill fills in.
	Body  string
	Names []string
	// ErrorStatus is that of the share of requests that fails.
	ErrorStatus int
	// Require is a header that requests must have, or "" where they need none;
	// others are answered with RequireStatus.
	Require       string
	RequireStatus int
	// Fields are the top-level fields of the request's JSON body that its calls
	// and its answer use; Segments are the names in braces of its path.
	Fields, Segments []string

	uses      bool
	service   *Service
	errorRate float64
	steps     []step
	// certain is the program of an endpoint where nothing is random; else nil.
	certain []Op
}

// A step is one operation before its random decisions. n numbers the steps of
// an endpoint in the order of the file, so that each draws from its own key.
type step struct {
	op    Op
	n     int
	delay dist.Delay
	// chance is how likely the step is done.
	chance   float64
	branches [][]step
}

func (s *step) random() bool {
	if s.chance < 1 || s.delay.Fixed == 0 && !s.delay.IsZero() {
		return true
	}
	for _, branch := range s.branches {
		for i := range branch {
			if branch[i].random() {
				return true
			}
		}
	}
	return false
}

func compile(s *Service, t *topology.Endpoint) *Endpoint {
	e := &Endpoint{
		Method: t.Method, Path: t.Path, Timeout: t.Timeout.Std(), service: s, errorRate: float64(t.ErrorRate),
		Status: cmp.Or(t.Response.Status, topology.DefaultStatus), Bytes: int64(t.Response.Size),
		ErrorStatus: cmp.Or(t.ErrorStatus, topology.DefaultErrorStatus),
	}
	e.Body, e.Segments, e.Names = t.Response.Body, topology.PathNames(t.Path), topology.PathNames(t.Response.Body)
	if r := t.Require; r != nil {
		e.Require, e.RequireStatus = r.Header, cmp.Or(r.Status, topology.DefaultRequireStatus)
	}
	c := compiler{endpoint: e, lookups: map[string]*Lookup{}}
	for i := range t.Steps {
		e.steps = c.step(e.steps, &t.Steps[i])
	}
	c.uses(e.Names)
	e.steps = append(e.steps, step{op: Op{Kind: OpRespond, Status: e.Status, Bytes: e.Bytes}, chance: 1})
	random := e.errorRate > 0
	for i := range e.steps {
		random = random || e.steps[i].random()
	}
	if !random {
		e.certain = decide(nil, e.steps, 0)
	}
	return e
}

// A compiler numbers the steps and the calls of an endpoint, and gathers the
// fields of requests that they use.
type compiler struct {
	endpoint     *Endpoint
	steps, calls int
	// callees are the services that the answer tells the answers of.
	callees []string
	// lookups are the latest of each data store.
	lookups map[string]*Lookup
}

// uses notes names that are neither in the endpoint's path nor of a service that
// it calls, so in the body.
func (c *compiler) uses(names []string) {
	c.endpoint.uses = c.endpoint.uses || len(names) > 0
	for _, name := range names {
		if e := c.endpoint; !slices.Contains(c.callees, name) && !slices.Contains(e.Segments, name) && !slices.Contains(e.Fields, name) {
			e.Fields = append(e.Fields, name)
		}
	}
}

// call compiles a call and gives it the next site of the service.
func (c *compiler) call(t *topology.Call) *Call {
	s := c.endpoint.service
	call := &Call{
		From: c.endpoint, To: t.To, Method: cmp.Or(t.Method, "GET"), Path: cmp.Or(t.Endpoint, topology.DefaultPath), Site: len(s.Sites),
		RequestBytes: int64(t.RequestSize), Policy: t.Call, OnError: cmp.Or(t.OnError, topology.Propagate), Answers: t.Answers,
		Names: topology.PathNames(t.Endpoint), Operations: t.Operations(), OnMiss: c.lookups[t.IfMissed], Coalesce: t.Coalesce,
	}
	if len(call.Operations) > 0 {
		call.Method, call.Path = MethodStore, topology.DescribeOperations(call.Operations)
		if t.IfMissed == "" {
			c.lookups[t.To] = &Lookup{Store: t.To, Index: c.calls}
		}
	}
	c.uses(call.Names)
	if call.Kept = slices.Contains(c.endpoint.Names, t.To); call.Kept {
		c.callees = append(c.callees, t.To)
	}
	s.Sites = append(s.Sites, call)
	return call
}

func (c *compiler) step(list []step, t *topology.Step) []step {
	add := func(op Op, delay dist.Delay, chance float64) {
		list = append(list, step{op: op, n: c.steps, delay: delay, chance: chance})
		c.steps++
	}
	if w := t.Work; w != nil {
		if !w.Sleep.IsZero() {
			add(Op{Kind: OpSleep}, w.Sleep, 1)
		}
		if !w.CPU.IsZero() {
			add(Op{Kind: OpCPU, Cores: 1}, w.CPU, 1)
		}
		if w.CPUUnits > 0 {
			add(Op{Kind: OpUnits, Units: w.CPUUnits}, dist.Delay{}, 1)
		}
		if w.IO > 0 {
			add(Op{Kind: OpIO, Bytes: int64(w.IO)}, dist.Delay{}, 1)
		}
		if w.Memory > 0 {
			add(Op{Kind: OpAllocate, Bytes: int64(w.Memory)}, dist.Delay{}, 1)
		}
	}
	if t.Call != nil {
		call := c.call(t.Call)
		for range max(t.Call.Count, 1) {
			add(Op{Kind: OpCall, Call: call, Index: c.calls}, dist.Delay{}, float64(t.Call.Probability))
			c.calls++
		}
	}
	if len(t.Parallel) > 0 {
		parallel := step{op: Op{Kind: OpParallel}, chance: 1, n: c.steps}
		c.steps++
		for i := range t.Parallel {
			parallel.branches = append(parallel.branches, c.step(nil, &t.Parallel[i]))
		}
		list = append(list, parallel)
	}
	return list
}

// Plain reports whether the endpoint does nothing but answer, always alike. Its
// requests need no identity while no fault acts.
func (e *Endpoint) Plain() bool { return len(e.certain) == 1 && e.Require == "" && len(e.Names) == 0 }

// UsesRequest reports whether calls or the answer use something of a request,
// which Values reads.
func (e *Endpoint) UsesRequest() bool { return e.uses }

// Certain reports whether nothing is random: without faults, Decide returns the
// same program for all requests.
func (e *Endpoint) Certain() bool { return e.certain != nil }

// Decide appends to buf the program of one request: what the faults that act
// do, then either an error by the endpoint's error rate or its steps. The
// program of a request without faults and randomness is returned as it is, and
// not copied; so programs must not be changed. They always end with an OpFail,
// OpAbort, OpPanic or OpRespond.
func (e *Endpoint) Decide(buf []Op, r Request, faults *FaultSet) []Op {
	if faults.Empty() && e.certain != nil {
		return e.certain
	}
	key := e.service.Key(r)
	buf = faults.decide(buf, key, r.From, e.Path)
	switch {
	case ends(buf):
	case e.certain != nil:
		buf = append(buf, e.certain...)
	case key.With("error").Chance(e.errorRate):
		buf = append(buf, Op{Kind: OpFail, Status: e.ErrorStatus})
	default:
		buf = decide(buf, e.steps, key.With("step"))
	}
	return buf
}

// ends reports whether nothing is done after the program.
func ends(program []Op) bool {
	if len(program) == 0 {
		return false
	}
	switch program[len(program)-1].Kind {
	case OpFail, OpAbort, OpPanic, OpRespond:
		return true
	default:
		return false
	}
}

func decide(buf []Op, steps []step, key dist.Key) []Op {
	for i := range steps {
		s := &steps[i]
		k := key.WithInt(s.n)
		if s.chance < 1 && !k.With("chance").Chance(s.chance) {
			continue
		}
		op := s.op
		switch {
		case !s.delay.IsZero():
			op.For = s.delay.Draw(k)
		case s.branches != nil:
			op.Branches = make([][]Op, len(s.branches))
			for j, branch := range s.branches {
				op.Branches[j] = decide(nil, branch, key)
			}
		}
		buf = append(buf, op)
	}
	return buf
}

// DecideChain appends to buf the program of one chain at this service: the
// faults that act, the chain's faults before, a call for each route, the faults
// after. It ends with an OpFail, OpAbort, OpPanic or OpRespond of status 200.
func (s *Service) DecideChain(buf []Op, c *chain.Chain, r Request, faults *FaultSet) []Op {
	key := s.Key(r)
	if !faults.Empty() {
		if buf = faults.decide(buf, key, r.From, topology.DefaultPath); ends(buf) {
			return buf
		}
	}
	if buf = chainFaults(buf, c.Faults.Before, key.With("before")); ends(buf) {
		return buf
	}
	for i, route := range c.Routes {
		buf = append(buf, Op{Kind: OpCall, Route: route, Index: i})
	}
	if buf = chainFaults(buf, c.Faults.After, key.With("after")); ends(buf) {
		return buf
	}
	return append(buf, Op{Kind: OpRespond, Status: 200})
}
