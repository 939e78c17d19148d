package exec

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// randomSteps makes a program of at most n steps.
func randomSteps(r *rand.Rand, n, depth int) (steps []topology.Step) {
	for range r.IntN(n + 1) {
		switch kind := r.IntN(7); {
		case kind < 2:
			steps = append(steps, work(topology.Work{
				Sleep: dist.Fixed(time.Duration(r.IntN(50)) * ms), CPU: dist.Fixed(time.Duration(r.IntN(2)) * ms),
				IO: 1024, Memory: 40,
			}))
		case kind < 5:
			call := topology.NewCall([]string{"b", "c"}[r.IntN(2)])
			call.Probability, call.Count = unit.Share(r.Float64()), 1+r.IntN(2)
			call.OnError = []topology.OnError{topology.Ignore, topology.Propagate}[r.IntN(2)]
			steps = append(steps, topology.Step{Call: &call})
		case depth > 0:
			if inner := randomSteps(r, 4, depth-1); len(inner) > 0 {
				steps = append(steps, topology.Step{Parallel: inner})
			}
		}
	}
	return steps
}

// randomEvent ends an action in one of the ways in which it can end.
func randomEvent(r *rand.Rand, a Action, now time.Duration) Event {
	e := Event{Kind: Done, Now: now, Gone: r.IntN(60) == 0}
	switch a.Kind {
	case Enter:
		e.Kind = []EventKind{Admitted, Admitted, TurnedAway}[r.IntN(3)]
	case MakeCall:
		e.Kind, e.Class = Called, outcome.OfCalls()[r.IntN(len(outcome.OfCalls()))]
	case Work, Hold, Leak:
		if r.IntN(5) == 0 {
			return broken(now)
		}
	}
	return e
}

// play drives a branch with random events to its end.
func play(t *testing.T, r *rand.Rand, b *Branch, a Action, now *time.Duration) {
	t.Helper()
	for steps := 0; a.Kind != End; steps++ {
		if steps > 1000 {
			t.Fatal("it does not end")
		}
		*now += time.Duration(r.IntN(int(20 * ms)))
		broken := a.Kind == BreakOff
		if a.Kind == Fork {
			branches := b.Branches()
			for i := range branches {
				play(t, r, &branches[i], branches[i].Start(*now), now)
			}
			a = b.Next(Event{Kind: Joined, Now: *now})
			continue
		}
		if !broken && r.IntN(20) == 0 {
			next := b.Next(Event{Kind: Left, Now: *now})
			switch next.Kind {
			case End:
				if a.Kind == Leak { // it goes on beside the request
					b.request.replica.Memory.Release(a.Op.Bytes)
				}
				return
			case Wait:
			case BreakOff:
				a = b.Next(Event{Kind: Called, Now: *now, Class: outcome.Cancelled})
				continue
			default:
				t.Fatalf("an interruption leads to %s", say(next))
			}
		}
		e := randomEvent(r, a, *now)
		if a.Kind == Leak && e.Err == nil {
			b.request.replica.Memory.Release(a.Op.Bytes) // at once
		}
		a = b.Next(e)
	}
}

// With any program and any events, a request ends with an answer, an abort or a
// panic, and gives back the memory that it reserved.
func TestRequestsEnd(t *testing.T) {
	types := []fault.Type{fault.Latency, fault.Error, fault.Abort, fault.Hang, fault.Corrupt, fault.MemoryLeak, fault.CPU, fault.IO, fault.Panic}
	endings := map[behave.OpKind]int{}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 5))
		s := topology.NewService("a", randomSteps(r, 6, 3)...)
		if r.IntN(2) == 0 {
			s.OnCancel = topology.Stop
		}
		if r.IntN(3) == 0 {
			s.Workers, s.Shed = 2, &topology.Shed{Queue: 2, Deadline: true}
		}
		var active []behave.Active
		for range r.IntN(3) {
			kind := types[r.IntN(len(types))]
			active = append(active, behave.Active{ID: string(kind), Fault: fault.Fault{Type: kind, Probability: 0.5,
				Args: fault.Args{Size: 50, Delay: dist.Fixed(ms), Hold: 1}}})
		}
		replica := NewReplica(behave.New(seed, &s), &s, 100)
		now := time.Duration(0)
		var req Request
		for i := range 5 {
			faults := behave.NewFaultSet(1, active)
			if len(active) == 0 {
				faults = nil
			}
			timeLeft := []time.Duration{Never, 0, 30 * ms, time.Second}[r.IntN(4)]
			a := req.Begin(replica, Arrival{Endpoint: replica.Plan.Endpoints[0], Faults: faults, Left: timeLeft}, now)
			if a.Kind == Enter {
				a = req.Next(randomEvent(r, a, now))
			}
			if a.Kind == Identify {
				a = req.Identify(&Identity{Request: behave.Request{ID: string(rune('a' + i))}, Left: timeLeft}, now)
			}
			play(t, r, req.Root(), a, &now)
			kind := req.Ending().Kind
			endings[kind]++
			if kind != behave.OpRespond && kind != behave.OpFail && kind != behave.OpAbort && kind != behave.OpPanic {
				t.Fatalf("seed %d: ended as %d", seed, kind)
			}
			if f := req.Ending().Failure; kind == behave.OpFail && (f.Status < 400 || f.Text(&req) == "") {
				t.Fatalf("seed %d: failed with %+v", seed, f)
			}
			req.Release()
			if n := replica.Memory.Reserved(); n != 0 {
				t.Fatalf("seed %d: %d bytes are still reserved", seed, n)
			}
		}
	}
	if len(endings) != 4 {
		t.Errorf("the endings were %v", endings)
	}
}

// A good request allocates nothing once the machine has its buffers, so an event
// kernel can drive many.
func TestGoodRequestsDoNotAllocate(t *testing.T) {
	s := topology.NewService("a", work(topology.Work{Sleep: dist.Fixed(ms)}), topology.CallTo("b"))
	s.Endpoints[0].ErrorRate = 0.001
	replica := NewReplica(behave.New(1, &s), &s, 0)
	var r Request
	id := Identity{Request: behave.Request{ID: "r", Hop: "0"}, Left: Never}
	cycle := func() {
		r.Begin(replica, Arrival{Endpoint: replica.Plan.Endpoints[0]}, 0)
		r.Identify(&id, 0)
		a := r.Next(done(ms))
		var c Call
		c.Begin(r.Root(), a.Op, ms)
		c.Attempt(1, "b", "/", 3)
		c.Next(answered(2*ms, 200))
		if a = r.Next(c.Called()); a.Kind != End || r.Ending().Kind != behave.OpRespond {
			t.Fatal(say(a), ended(&r))
		}
		r.Release()
	}
	cycle()
	if n := testing.AllocsPerRun(100, cycle); n > 1 { // the body of answered
		t.Errorf("%v allocations", n)
	}
}
