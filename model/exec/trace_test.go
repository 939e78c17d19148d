package exec

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const ms = time.Millisecond

var kindNames = [...]string{"", "wait", "enter", "identify", "sleep", "work", "hold", "leak", "hang", "mark", "call", "fork", "send", "await", "break off", "coalesce", "pause", "end"}

// say describes an action as the tables below write it.
func say(a Action) string {
	text := kindNames[a.Kind]
	if a.Kind == Send {
		text += fmt.Sprint(" ", a.Number)
	}
	if a.For != 0 || a.Kind == Sleep {
		text += " " + a.For.String()
	}
	if a.Kind == Enter && a.Until != Never {
		text += " until " + a.Until.String()
	}
	return text
}

// ended describes how a request has ended.
func ended(r *Request) string {
	end := r.Ending()
	switch end.Kind {
	case behave.OpRespond:
		return "respond"
	case behave.OpFail:
		return fmt.Sprintf("%d %s", end.Failure.Status, end.Failure.Text(r))
	case behave.OpAbort:
		return "abort"
	case behave.OpPanic:
		return "panic"
	}
	return "goes on"
}

func done(at time.Duration) Event { return Event{Kind: Done, Now: at} }
func gone(at time.Duration) Event { return Event{Kind: Done, Now: at, Gone: true} }
func left(at time.Duration) Event { return Event{Kind: Left, Now: at} }
func broken(at time.Duration) Event {
	return Event{Kind: Done, Now: at, Err: errors.New("broken")}
}
func called(at time.Duration, class outcome.Class, status int) Event {
	return Event{Kind: Called, Now: at, Class: class, Status: status, Err: errors.New("so")}
}

func work(w topology.Work) topology.Step { return topology.Step{Work: &w} }

func acts(list ...fault.Fault) *behave.FaultSet {
	var active []behave.Active
	for i, f := range list {
		f.Probability = 1
		active = append(active, behave.Active{ID: fmt.Sprint("f", i+1), Fault: f})
	}
	return behave.NewFaultSet(1, active)
}

// A traceTest tells a request events and reads its actions. The request comes at
// 10 ms with a request id, unless the test begins otherwise.
type traceTest struct {
	name    string
	service func(*topology.Service)
	steps   []topology.Step
	faults  *behave.FaultSet
	chain   string
	arrival Arrival
	left    time.Duration
	has     bool // the required header
	body    string
	events  []Event
	actions string // separated by commas
	end     string
}

func (tt *traceTest) run(t *testing.T) {
	s := topology.NewService("a", tt.steps...)
	if tt.service != nil {
		tt.service(&s)
	}
	replica := NewReplica(behave.New(1, &s), &s, 100)
	arrival := tt.arrival
	arrival.Endpoint, arrival.Faults = replica.Plan.Endpoints[0], tt.faults
	if tt.left == 0 {
		tt.left = Never
	}
	arrival.Left = tt.left
	id := Identity{Request: behave.Request{ID: "r"}, Left: tt.left, HasRequired: tt.has, Path: s.Endpoints[0].Path, Body: []byte(tt.body)}
	if tt.chain != "" {
		c, err := chain.Parse([]byte(tt.chain), chain.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		arrival.Chain, id.Chain = true, c
	}
	var r Request
	var actions []string
	a := r.Begin(replica, arrival, 10*ms)
	events := tt.events
	for {
		if a.Kind == Identify {
			a = r.Identify(&id, 10*ms)
			continue
		}
		actions = append(actions, say(a))
		if a.Kind == End {
			break
		}
		if len(events) == 0 {
			t.Fatalf("%s waits for an event", strings.Join(actions, ", "))
		}
		a = r.Next(events[0])
		events = events[1:]
	}
	if len(events) > 0 {
		t.Errorf("%d events came too late", len(events))
	}
	if got := strings.Join(actions, ", "); got != tt.actions {
		t.Errorf("actions %s\n   want %s", got, tt.actions)
	}
	end := ended(&r)
	for i := range r.Noted() {
		end += "; " + r.Noted()[i].Text(&r)
	}
	if r.Corrupt() {
		end += ", corrupt"
	}
	if after := r.RetryAfter(); after > 0 {
		end += fmt.Sprint(", retry after ", after)
	}
	if end != tt.end {
		t.Errorf("ends %q, want %q", end, tt.end)
	}
	r.Release()
	if n := replica.Memory.Reserved(); n != 0 {
		t.Errorf("%d bytes are still reserved", n)
	}
}

func timeout(d time.Duration) func(*topology.Service) {
	return func(s *topology.Service) { s.Endpoints[0].Timeout = unit.Duration(d) }
}

func stops(s *topology.Service) { s.OnCancel = topology.Stop }

func shedding(shed topology.Shed) func(*topology.Service) {
	return func(s *topology.Service) {
		s.Workers, s.Shed, s.Endpoints[0].Timeout = 1, &shed, unit.Duration(100*ms)
	}
}

func TestRequest(t *testing.T) {
	sleep := work(topology.Work{Sleep: dist.Fixed(50 * ms)})
	call, ignored := topology.CallTo("b"), topology.NewCall("b")
	ignored.OnError = topology.Ignore
	told := topology.NewCall("b")
	told.Answers = map[string]topology.Answer{"404": {Status: 410, Body: "gone"}}
	both := topology.Step{Parallel: []topology.Step{sleep, call}}
	const route = `{"designation":"a","routes":[{"designation":"b"},{"designation":"c"}]}`
	faulty := func(list string) string { return `{"designation":"a","faults":{"before":[` + list + `]}}` }
	for _, tt := range []traceTest{
		// Admission.
		{name: "a plain endpoint is answered at once", actions: "end", end: "respond"},
		{name: "who asks for an identity gets it", arrival: Arrival{Identify: true}, actions: "end", end: "respond"},
		{name: "admitted from the queue", service: shedding(topology.Shed{Queue: 1}),
			events: []Event{{Kind: Admitted, Now: 20 * ms, Worker: 0}}, actions: "enter, end", end: "respond"},
		{name: "a deadline sheds", service: shedding(topology.Shed{Queue: 1, Deadline: true}),
			events: []Event{{Kind: TurnedAway, Now: 110 * ms}}, actions: "enter until 110ms, end", end: `503 service "a" has too much to do, retry after 1`},
		{name: "the caller's deadline sheds earlier", service: shedding(topology.Shed{Queue: 1, Deadline: true}), left: 5 * ms,
			events: []Event{{Kind: TurnedAway, Now: 15 * ms}}, actions: "enter until 15ms, end", end: `503 service "a" has too much to do, retry after 1`},
		{name: "one that left does not leave the queue", service: shedding(topology.Shed{Queue: 1}),
			events: []Event{left(20 * ms), {Kind: Admitted, Now: 30 * ms}}, actions: "enter, wait, end", end: "respond"},
		{name: "one that left leaves the queue where work stops", service: func(s *topology.Service) { shedding(topology.Shed{Queue: 1})(s); stops(s) },
			events: []Event{left(20 * ms)}, actions: "enter, end", end: `503 service "a" has too much to do, retry after 1`},
		// Required headers.
		{name: "a required header is missing", service: func(s *topology.Service) { s.Endpoints[0].Require = &topology.Require{Header: "X"} }, faults: acts(fault.Fault{Type: fault.Abort}),
			actions: "end", end: "401 the header X is missing"},
		{name: "a required header", service: func(s *topology.Service) { s.Endpoints[0].Require = &topology.Require{Header: "X"} }, has: true, actions: "end", end: "respond"},
		{name: "values are missing", service: func(s *topology.Service) { s.Endpoints[0].Response.Body = "{x}" }, body: "{}",
			actions: "end", end: `400 the request's body has no "x"`},
		// Time.
		{name: "a sleep", steps: []topology.Step{sleep}, events: []Event{done(60 * ms)}, actions: "sleep 50ms, end", end: "respond"},
		{name: "the endpoint's time cuts a sleep", steps: []topology.Step{sleep}, service: timeout(30 * ms), left: time.Second,
			events: []Event{done(40 * ms)}, actions: "sleep 30ms, end", end: "504 the time of the request is over"},
		{name: "the caller's time cuts a sleep", steps: []topology.Step{sleep}, service: timeout(time.Second), left: 20 * ms,
			events: []Event{done(30 * ms)}, actions: "sleep 20ms, end", end: "504 the time of the request is over"},
		{name: "time is over after work", steps: []topology.Step{work(topology.Work{CPU: dist.Fixed(ms)}), call}, service: timeout(30 * ms),
			events: []Event{done(40 * ms)}, actions: "work, end", end: "504 the time of the request is over"},
		{name: "a second sleep has no time", steps: []topology.Step{sleep, sleep}, service: timeout(50 * ms),
			events: []Event{done(60 * ms), done(60 * ms)}, actions: "sleep 50ms, sleep 0s, end", end: "504 the time of the request is over"},
		{name: "time is over after a call that went well", steps: []topology.Step{call, call}, service: timeout(30 * ms),
			events: []Event{called(40*ms, outcome.OK, 200)}, actions: "call, end", end: "504 the time of the request is over"},
		// Work that goes wrong.
		{name: "io that fails", steps: []topology.Step{work(topology.Work{IO: 1}), sleep}, events: []Event{broken(20 * ms)}, actions: "work, end", end: "500 io: broken"},
		{name: "io of a fault that fails", faults: acts(fault.Fault{Type: fault.IO, Args: fault.Args{Size: 1}}), events: []Event{broken(20 * ms)}, actions: "work, end", end: "respond"},
		{name: "memory", steps: []topology.Step{work(topology.Work{Memory: 60}), work(topology.Work{Memory: 60})}, events: []Event{done(20 * ms)},
			actions: "hold, end", end: "503 memory: 60 more would exceed the 100 that requests and leaks may hold at once"},
		{name: "memory that the system does not give", steps: []topology.Step{work(topology.Work{Memory: 60})}, events: []Event{broken(20 * ms)}, actions: "hold, end", end: "503 memory: broken"},
		{name: "a leak over the limit", faults: acts(fault.Fault{Type: fault.MemoryLeak, Args: fault.Args{Size: 200}}), events: []Event{done(20 * ms)}, actions: "mark, end", end: "respond"},
		// Faults.
		{name: "an error", faults: acts(fault.Fault{Type: fault.Error, Args: fault.Args{Status: 418}}), actions: "end", end: "418 418 by fault f1"},
		{name: "an error rate", service: func(s *topology.Service) { s.Endpoints[0].ErrorRate = 1 }, actions: "end", end: "500 500 by the service's error rate"},
		{name: "an abort after a latency", faults: acts(fault.Fault{Type: fault.Abort}, fault.Fault{Type: fault.Latency, Args: fault.Args{Delay: dist.Fixed(ms)}}),
			events: []Event{done(11 * ms)}, actions: "sleep 1ms, end", end: "abort"},
		{name: "a panic", faults: acts(fault.Fault{Type: fault.Panic}), actions: "end", end: "panic"},
		{name: "a corrupt answer", faults: acts(fault.Fault{Type: fault.Corrupt}), events: []Event{done(10 * ms)}, actions: "mark, end", end: "respond, corrupt"},
		{name: "a hang that is cleared", faults: acts(fault.Fault{Type: fault.Hang}), events: []Event{done(20 * ms)}, actions: "hang, end", end: "respond"},
		{name: "a hang that is cleared too late", faults: acts(fault.Fault{Type: fault.Hang}), service: timeout(30 * ms), events: []Event{done(50 * ms)}, actions: "hang, end", end: "504 the time of the request is over"},
		{name: "who hangs waits for the client alone", faults: acts(fault.Fault{Type: fault.Hang}), events: []Event{left(20 * ms)}, actions: "hang, end", end: "abort"},
		// Calls.
		{name: "a call fails", steps: []topology.Step{call}, events: []Event{called(20*ms, outcome.HTTPError, 500)}, actions: "call, end", end: "502 calling b: http_error: so"},
		{name: "a call times out", steps: []topology.Step{call}, events: []Event{called(20*ms, outcome.Timeout, 0)}, actions: "call, end", end: "504 calling b: timeout: so"},
		{name: "a call is not sent", steps: []topology.Step{call}, events: []Event{called(20*ms, outcome.BreakerOpen, 0)}, actions: "call, end", end: "503 calling b: breaker_open: so"},
		{name: "a failure is ignored", steps: []topology.Step{{Call: &ignored}}, events: []Event{called(20*ms, outcome.Timeout, 0)}, actions: "call, end", end: "respond"},
		{name: "an answer by what happened", steps: []topology.Step{{Call: &told}}, events: []Event{called(20*ms, outcome.HTTPError, 404)}, actions: "call, end", end: "410 calling b: http_error: so"},
		{name: "a fallback", steps: []topology.Step{call}, events: []Event{{Kind: Called, Now: 20 * ms, Class: outcome.Timeout, Fallback: &policy.Fallback{}}}, actions: "call, end", end: "respond"},
		{name: "a fallback does not make time", steps: []topology.Step{call}, service: timeout(5 * ms), events: []Event{{Kind: Called, Now: 20 * ms, Class: outcome.Timeout, Fallback: &policy.Fallback{}}}, actions: "call, end", end: "504 the time of the request is over"},
		{name: "parallel branches are joined", steps: []topology.Step{both, sleep}, events: []Event{{Kind: Joined, Now: 60 * ms}, done(110 * ms)}, actions: "fork, sleep 50ms, end", end: "respond"},
		// The client leaves.
		{name: "work is finished", steps: []topology.Step{sleep}, events: []Event{left(20 * ms), done(60 * ms)}, actions: "sleep 50ms, wait, end", end: "respond"},
		{name: "a sleep is abandoned", steps: []topology.Step{sleep}, service: stops, events: []Event{left(20 * ms)}, actions: "sleep 50ms, end", end: "abort"},
		{name: "work is abandoned", steps: []topology.Step{work(topology.Work{CPU: dist.Fixed(ms)})}, service: stops, events: []Event{gone(20 * ms)}, actions: "work, end", end: "abort"},
		{name: "a call is broken off", steps: []topology.Step{call}, service: stops, events: []Event{left(20 * ms), called(20*ms, outcome.Cancelled, 0)}, actions: "call, break off, end", end: "abort"},
		{name: "branches are broken off", steps: []topology.Step{both}, service: stops, events: []Event{left(20 * ms), {Kind: Joined, Now: 20 * ms}}, actions: "fork, break off, end", end: "abort"},
		// Chains.
		{name: "a chain's routes fail", chain: route, events: []Event{called(20*ms, outcome.HTTPError, 500), called(30*ms, outcome.Timeout, 0)}, actions: "call, call, end", end: "respond; calling b: so; calling c: so"},
		{name: "a chain's time is not looked at after routes", chain: route, left: 5 * ms, events: []Event{called(20*ms, outcome.Timeout, 0), called(30*ms, outcome.Timeout, 0)}, actions: "call, call, end", end: "respond; calling b: so; calling c: so"},
		{name: "a chain's error", chain: faulty(`{"type":"error","args":{"status":503}}`), actions: "end", end: "503 503 by the chain's fault"},
		{name: "a chain's leak over the limit", chain: faulty(`{"type":"memory-leak","args":{"size":1,"duration":1}}`), events: []Event{done(20 * ms)},
			actions: "mark, end", end: "respond; memory-leak: 1Mi more would exceed the 100 that requests and leaks may hold at once"},
		{name: "a chain's io that fails", chain: faulty(`{"type":"io","args":{"size":1}}`), events: []Event{broken(20 * ms)}, actions: "work, end", end: "respond; io: broken"},
		{name: "a chain's time cuts a latency", chain: faulty(`{"type":"latency","args":{"delay":50}}`), left: 5 * ms, events: []Event{done(15 * ms)}, actions: "sleep 5ms, end", end: "504 the time of the request is over"},
		{name: "a chain is abandoned", chain: route, service: stops, events: []Event{left(15 * ms), called(20*ms, outcome.Cancelled, 0)}, actions: "call, break off, end", end: "abort"},
	} {
		t.Run(tt.name, tt.run)
	}
}

// TestTheFirstFailedInOrderDecides ends the branches in the other order.
func TestTheFirstFailedInOrderDecides(t *testing.T) {
	s := topology.NewService("a", topology.Step{Parallel: []topology.Step{topology.CallTo("b"), topology.CallTo("c"), topology.CallTo("d")}})
	replica := NewReplica(behave.New(1, &s), &s, 0)
	var r Request
	r.Begin(replica, Arrival{Endpoint: replica.Plan.Endpoints[0]}, 0)
	if a := r.Identify(&Identity{Left: Never}, 0); a.Kind != Fork {
		t.Fatal(say(a))
	}
	branches := r.Root().Branches()
	classes := []outcome.Class{outcome.OK, outcome.Timeout, outcome.ConnectionError}
	for i := range branches {
		branches[i].Start(0)
	}
	for i := len(branches) - 1; i >= 0; i-- {
		if a := branches[i].Next(called(time.Duration(10-i)*ms, classes[i], 0)); a.Kind != End {
			t.Fatal(say(a))
		}
	}
	if a := r.Next(Event{Kind: Joined, Now: 10 * ms}); a.Kind != End || ended(&r) != "504 calling c: timeout: so" {
		t.Errorf("%s: %s", say(a), ended(&r))
	}
}

func TestDeadline(t *testing.T) {
	for _, tt := range []struct{ left, timeout, want time.Duration }{
		{Never, 0, Never}, {Never, 5, 15}, {3, 5, 13}, {7, 5, 15}, {3, 0, 13}, {0, 5, 10}, {0, 0, 10},
		{MaxLeft, 0, Never}, {MaxLeft - 1, 0, MaxLeft + 9}, {MaxLeft, 2 * MaxLeft, 2*MaxLeft + 10},
	} {
		if got := Deadline(10, tt.left, tt.timeout); got != tt.want {
			t.Errorf("%v left, timeout %v: %v, want %v", tt.left, tt.timeout, got, tt.want)
		}
	}
	for left, want := range map[time.Duration]int64{-5: 0, 0: 0, 1: 1, ms: 1, ms + 1: 2, time.Second: 1000} {
		if got := MillisLeft(left); got != want {
			t.Errorf("%v is told as %d ms, want %d", left, got, want)
		}
	}
}
