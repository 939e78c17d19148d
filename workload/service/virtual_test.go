package service

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// The same system is executed twice: by real services with goroutines, whose
// time is that of a synctest bubble, and by a loop of events that drives the
// machines alone. For the same seed and request ids, both must take the same
// decisions at the same times.

const (
	agreeSeed     = 11
	agreeRequests = 300
	agreeReplicas = 3

	// The times are odd, so that no two things happen at once: what comes first
	// then is not decided by the machine.
	microsecond = unit.Duration(time.Microsecond)
)

// agreeing is a system with retries, hedges, a breaker, fallbacks, parallel
// calls, slow and failing callees, and deadlines that cut.
func agreeing() (a, b topology.Service, faults []behave.Active) {
	steady := topology.NewCall("b")
	steady.Call = policy.Call{
		Timeout: 151713 * microsecond, Retry: &policy.Retry{Attempts: 3, Backoff: 17 * millisecond},
		Hedge:   &policy.Hedge{After: 61371 * microsecond, Max: 2},
		Breaker: &policy.Breaker{Failures: 2, Reset: 400 * millisecond},
	}
	steady.OnError = topology.Ignore
	kept := topology.NewCall("b")
	kept.Call = policy.Call{Retry: &policy.Retry{Attempts: 2}, Fallback: &policy.Fallback{Kind: policy.LastGood, MaxAge: unit.Duration(time.Second)}}
	a = topology.NewService("a", topology.Step{Call: &steady},
		topology.Step{Parallel: []topology.Step{topology.CallTo("b"), {Call: &kept}, {Work: &topology.Work{Sleep: dist.Jittered(40*time.Millisecond, 20*time.Millisecond)}}}})
	a.Endpoints[0].Timeout = 700 * millisecond
	b = topology.NewService("b")
	b.Endpoints[0].ErrorRate = 0.2
	faults = []behave.Active{{ID: "slow", Fault: fault.Fault{Type: fault.Latency, Probability: 0.3, Args: fault.Args{Delay: dist.Fixed(310137 * time.Microsecond)}}}}
	return a, b, faults
}

// A decisionLog gathers what is to agree: for each request its answer and when it
// came, and each attempt as its callee saw it.
type decisionLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *decisionLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *decisionLog) sorted() []string {
	slices.Sort(l.lines)
	return l.lines
}

func requestID(i int) string { return fmt.Sprintf("request-%03d", i) }

// --- real services

// handlers sends requests to the handlers of services in this process.
type handlers struct {
	byHost map[string]*Service
	log    *decisionLog
}

func (h *handlers) RoundTrip(r *http.Request) (*http.Response, error) {
	httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
	w, done := httptest.NewRecorder(), make(chan bool)
	at := h.byHost[r.URL.Host].now()
	in := r.Clone(context.WithoutCancel(r.Context()))
	go func() {
		h.byHost[r.URL.Host].Handler().ServeHTTP(w, in)
		h.log.add("%s at %s of %v: %d after %v", in.Header.Get(control.HopHeader), in.URL.Host, in.Header.Get(control.RequestIDHeader), w.Code, h.byHost[in.URL.Host].now()-at)
		close(done)
	}()
	select {
	case <-done:
		return w.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func playReal(t *testing.T) (log *decisionLog, attempts string) {
	log = &decisionLog{}
	synctest.Test(t, func(t *testing.T) {
		a, b, faults := agreeing()
		transport := &handlers{byHost: map[string]*Service{}, log: log}
		peers := map[string][]string{}
		start := func(cfg Config) *Service {
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for i := range agreeReplicas {
			host := fmt.Sprint("b-", i)
			peers["b"] = append(peers["b"], "http://"+host)
			s := start(Config{Service: b, Seed: agreeSeed, Replica: i + 1})
			defer s.Close()
			transport.byHost[host] = s
			if err := s.AddFault(faults[0].ID, faults[0].Fault, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		front := start(Config{Service: a, Seed: agreeSeed, Peers: peers, Transport: transport})
		defer front.Close()
		for i := range agreeRequests {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			r.Header[control.RequestIDHeader] = []string{requestID(i)}
			front.Handler().ServeHTTP(w, r)
			log.add("%s: %d at %v, %s", requestID(i), w.Code, front.now(), strings.Join(w.Header()[control.FallbackHeader], ","))
		}
		attempts = attemptCounts(t, front)
		time.Sleep(time.Second) // what b still works on
	})
	return log, attempts
}

func attemptCounts(t *testing.T, s *Service) (text string) {
	for _, class := range outcome.OfAttempts() {
		text += fmt.Sprintf("%s %d, ", class, counted(t, s, "call_attempts", class))
	}
	return text
}

// --- virtual time

// A loop runs events in the order of their time.
type loop struct {
	now    time.Duration
	events []event
}

type event struct {
	at time.Duration
	do func()
}

func (l *loop) after(d time.Duration, do func()) {
	at := l.now + d
	i, _ := slices.BinarySearchFunc(l.events, at, func(e event, at time.Duration) int {
		return cmp.Or(cmp.Compare(e.at, at), -1) // behind those of the same time
	})
	l.events = slices.Insert(l.events, i, event{at, do})
}

func (l *loop) runUntil(stop func() bool) {
	for len(l.events) > 0 && !stop() {
		e := l.events[0]
		l.events = l.events[1:]
		l.now = e.at
		e.do()
	}
}

// virtual executes machines on a loop, without a goroutine.
type virtual struct {
	loop
	front    *exec.Replica
	backs    []*exec.Replica
	faults   *behave.FaultSet
	log      *decisionLog
	attempts map[outcome.Class]int
}

// serve plays a request at a replica and tells its machine at the end.
func (v *virtual) serve(replica *exec.Replica, who behave.Request, faults *behave.FaultSet, timeLeft time.Duration, end func(r *exec.Request)) {
	r := &exec.Request{}
	a := r.Begin(replica, exec.Arrival{Endpoint: replica.Plan.Endpoints[0], Faults: faults}, v.now)
	if a.Kind == exec.Identify {
		a = r.Identify(&exec.Identity{Request: who, Left: timeLeft}, v.now)
	}
	v.drive(r.Root(), a, func() { end(r) })
}

func (v *virtual) drive(b *exec.Branch, a exec.Action, end func()) {
	next := func() { v.drive(b, b.Next(exec.Event{Kind: exec.Done, Now: v.now}), end) }
	switch a.Kind {
	case exec.End:
		end()
	case exec.Sleep:
		v.after(a.For, next)
	case exec.MakeCall:
		v.call(b, a, func(e exec.Event) { v.drive(b, b.Next(e), end) })
	case exec.Fork:
		branches := b.Branches()
		running := len(branches)
		for i := range branches {
			v.drive(&branches[i], branches[i].Start(v.now), func() {
				if running--; running == 0 {
					v.drive(b, b.Next(exec.Event{Kind: exec.Joined, Now: v.now}), end)
				}
			})
		}
	default:
		panic(fmt.Sprint("action ", a.Kind))
	}
}

// call plays a call and its attempts.
func (v *virtual) call(b *exec.Branch, made exec.Action, end func(exec.Event)) {
	c := &exec.Call{}
	under := map[int]bool{}
	timer := 0 // the one that counts
	var step func(a exec.Action)
	answer := func(n int, e exec.Event) {
		if under[n] {
			delete(under, n)
			v.attempts[e.Class]++
			e.Kind, e.Now = exec.Answered, v.now
			step(c.Next(e))
		}
	}
	step = func(a exec.Action) {
		switch a.Kind {
		case exec.End:
			end(c.Called())
		case exec.Pause:
			timer++
			v.after(a.For, func() { step(c.Next(exec.Event{Kind: exec.Done, Now: v.now})) })
		case exec.BreakOff:
			timer++
			for n := range under {
				v.after(0, func() { answer(n, exec.Event{Class: outcome.Cancelled}) })
			}
		case exec.Send:
			n := a.Number
			under[n] = true
			attempt := c.Attempt(n, made.Op.Call.To, made.Op.Call.Path, len(v.backs))
			who := behave.Request{ID: b.Request().Who().ID, Hop: c.Hop(n), From: v.front.Plan.Name}
			if attempt.Until != exec.Never {
				v.after(attempt.Until-v.now, func() { answer(n, exec.Event{Class: outcome.Timeout}) })
			}
			at, timeLeft := v.now, time.Duration(exec.MillisLeft(attempt.Told-v.now))*time.Millisecond
			v.serve(v.backs[attempt.Replica], who, v.faults, timeLeft, func(r *exec.Request) {
				status := 200
				if r.Ending().Kind == behave.OpFail {
					status = r.Ending().Failure.Status
				}
				v.log.add("%s at b-%d of %v: %d after %v", who.Hop, attempt.Replica, who.ID, status, v.now-at)
				v.after(0, func() { answer(n, exec.Event{Class: outcome.OfStatus(status), Status: status}) })
			})
			if timer++; a.For > 0 {
				mine := timer
				v.after(a.For, func() {
					if timer == mine {
						step(c.Next(exec.Event{Kind: exec.Done, Now: v.now}))
					}
				})
			}
		}
	}
	step(c.Begin(b, made.Op, v.now))
}

func playVirtual() (log *decisionLog, attempts string) {
	log = &decisionLog{}
	a, b, faults := agreeing()
	v := virtual{front: exec.NewReplica(behave.New(agreeSeed, &a), &a, 0), log: log, attempts: map[outcome.Class]int{}}
	plan := behave.New(agreeSeed, &b)
	for range agreeReplicas {
		v.backs = append(v.backs, exec.NewReplica(plan, &b, 0))
	}
	v.faults = behave.NewFaultSet(1, faults)
	for i := range agreeRequests {
		over := false
		v.serve(v.front, behave.Request{ID: requestID(i)}, nil, exec.Never, func(r *exec.Request) {
			over = true
			status := 200
			if r.Ending().Kind == behave.OpFail {
				status = r.Ending().Failure.Status
			}
			var texts []string
			for _, f := range r.Fallbacks() {
				texts = append(texts, f.To+" "+string(f.Kind)+" "+strconv.FormatInt(f.Age.Milliseconds(), 10))
			}
			log.add("%s: %d at %v, %s", requestID(i), status, v.now, strings.Join(texts, ","))
		})
		v.runUntil(func() bool { return over })
	}
	for _, class := range outcome.OfAttempts() {
		attempts += fmt.Sprintf("%s %d, ", class, v.attempts[class])
	}
	v.runUntil(func() bool { return false })
	return log, attempts
}

func TestVirtualTimeTakesTheSameDecisions(t *testing.T) {
	actual, realAttempts := playReal(t)
	virtual, virtualAttempts := playVirtual()
	got, want := virtual.sorted(), actual.sorted()
	if realAttempts != virtualAttempts {
		t.Errorf("attempts: real %s\n      virtual %s", realAttempts, virtualAttempts)
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%d and %d decisions, the first that differs:\nreal    %s\nvirtual %s", len(want), len(got), want[min(i, len(want)-1)], got[min(i, len(got)-1)])
		}
	}
	// The system must have shown what it is made for.
	text := strings.Join(want, "\n")
	for _, part := range []string{"~3 ", ": 500", ": 504", ": 200", "last-good"} {
		if !strings.Contains(text, part) {
			t.Errorf("nothing was seen of %q", part)
		}
	}
	t.Logf("%d decisions agree; attempts: %s", len(want), realAttempts)
}
