package behave

import (
	"fmt"
	"math"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func kinds(program []Op) []OpKind {
	var list []OpKind
	for _, op := range program {
		list = append(list, op.Kind)
	}
	return list
}

func work(w topology.Work) topology.Step { return topology.Step{Work: &w} }

func request(i int) Request { return Request{ID: fmt.Sprintf("request-%d", i), Hop: "0.1"} }

// everything is a service with each kind of step.
func everything() topology.Service {
	call := topology.NewCall("b")
	call.Count, call.Endpoint, call.Method = 2, "/x", "POST"
	perhaps := topology.NewCall("c")
	perhaps.Probability = 0.5
	return topology.NewService("a",
		work(topology.Work{
			Sleep: dist.Fixed(time.Millisecond), CPU: dist.Fixed(2 * time.Millisecond), CPUUnits: 3,
			IO: 4096, Memory: 1 << 20,
		}),
		topology.Step{Call: &call},
		topology.Step{Parallel: []topology.Step{topology.CallTo("d"), work(topology.Work{Sleep: dist.Jittered(time.Second, time.Second)})}},
		topology.Step{Call: &perhaps},
	)
}

func TestDecideFollowsTheFile(t *testing.T) {
	system := everything()
	s := New(1, &system)
	e, _ := s.Endpoint("GET", "/")
	for i := range 100 {
		program := e.Decide(nil, request(i), nil)
		want := []OpKind{OpSleep, OpCPU, OpUnits, OpIO, OpAllocate, OpCall, OpCall, OpParallel, OpCall, OpRespond}
		if len(program) == 9 {
			want = append(want[:8], OpRespond)
		}
		if !reflect.DeepEqual(kinds(program), want) {
			t.Fatalf("got %v", kinds(program))
		}
		if program[1].For != 2*time.Millisecond || program[2].Units != 3 || program[3].Bytes != 4096 || program[4].Bytes != 1<<20 {
			t.Fatalf("got %+v", program)
		}
		if c := program[5].Call; c.To != "b" || c.Path != "/x" || c.Method != "POST" || c.OnError != topology.Propagate {
			t.Fatalf("got %+v", c)
		}
		branches := program[7].Branches
		if len(branches) != 2 || branches[0][0].Call.To != "d" || branches[1][0].For > 2*time.Second {
			t.Fatalf("got %+v", branches)
		}
		indexes := []int{program[5].Index, program[6].Index, branches[0][0].Index}
		if !reflect.DeepEqual(indexes, []int{0, 1, 2}) {
			t.Fatalf("calls are numbered %v", indexes)
		}
	}
}

func TestSameSeedDecidesAlikeInAnyOrder(t *testing.T) {
	system := everything()
	system.Endpoints[0].ErrorRate = 0.2
	faults := NewFaultSet(1, []Active{
		{"slow", fault.Fault{Type: fault.Latency, Probability: 0.3, Args: fault.Args{Delay: dist.Fixed(time.Second), Jitter: unit.Duration(time.Second)}}},
		{"bad", fault.Fault{Type: fault.Error, Probability: 0.3}},
	})
	const n = 500
	decide := func(seed uint64, order func(int) int) []string {
		s := New(seed, &system)
		e, _ := s.Endpoint("GET", "/")
		decisions := make([]string, n)
		for i := range n {
			i = order(i)
			decisions[i] = describe(e.Decide(nil, request(i), faults))
		}
		return decisions
	}
	forward := decide(7, func(i int) int { return i })
	backward := decide(7, func(i int) int { return n - 1 - i })
	if !reflect.DeepEqual(forward, backward) {
		t.Error("the order of requests changed decisions")
	}
	if reflect.DeepEqual(forward, decide(8, func(i int) int { return i })) {
		t.Error("another seed decided alike")
	}
	distinct := map[string]bool{}
	for _, d := range forward {
		distinct[d] = true
	}
	if len(distinct) < n/2 {
		t.Errorf("only %d distinct programs of %d", len(distinct), n)
	}
}

func describe(program []Op) string {
	text := ""
	for _, op := range program {
		text += fmt.Sprintf("%d:%v:%d ", op.Kind, op.For, op.Status)
		for _, b := range op.Branches {
			text += "(" + describe(b) + ")"
		}
	}
	return text
}

func TestHopsDecideApart(t *testing.T) {
	system := topology.NewService("a")
	system.Endpoints[0].ErrorRate = 0.5
	s := New(1, &system)
	e := s.Endpoints[0]
	differ := 0
	for i := range 1000 {
		a := e.Decide(nil, Request{ID: request(i).ID, Hop: "0"}, nil)
		b := e.Decide(nil, Request{ID: request(i).ID, Hop: "1"}, nil)
		if a[0].Kind != b[0].Kind {
			differ++
		}
	}
	checkRate(t, "hops that differ", differ, 1000, 0.5)
}

const draws = 20000

func TestRatesAreTrue(t *testing.T) {
	for _, p := range []float64{0, 0.001, 0.1, 0.3, 0.4, 0.6, 0.999, 1} {
		certain := topology.NewCall("b")
		certain.Probability = unit.Share(p)
		calling := topology.NewService("a", topology.Step{Call: &certain})
		failing := topology.NewService("a")
		failing.Endpoints[0].ErrorRate = unit.Share(p)
		checkDraws(t, fmt.Sprintf("call at %v", p), p, OpCall, New(3, &calling).Endpoints[0], nil)
		checkDraws(t, fmt.Sprintf("errorRate %v", p), p, OpFail, New(3, &failing).Endpoints[0], nil)
		plain := topology.NewService("a")
		for kind, f := range oneOfEach() {
			f.Probability = unit.Share(p)
			set := NewFaultSet(1, []Active{{"f", f}})
			checkDraws(t, fmt.Sprintf("%s at %v", f.Type, p), p, kind, New(3, &plain).Endpoints[0], set)
		}
		c := &chain.Chain{Faults: chain.Faults{After: []chain.Fault{{Type: fault.Error, Status: 500, Rate: p}}}}
		hits, s := 0, New(3, &plain)
		for i := range draws {
			if s.DecideChain(nil, c, request(i), nil)[0].Kind == OpFail {
				hits++
			}
		}
		checkRate(t, fmt.Sprintf("chain's error at %v", p), hits, draws, p)
	}
}

// oneOfEach has a fault of every type that acts in a service, by its operation.
func oneOfEach() map[OpKind]fault.Fault {
	return map[OpKind]fault.Fault{
		OpSleep:   {Type: fault.Latency, Args: fault.Args{Delay: dist.Fixed(time.Second)}},
		OpFail:    {Type: fault.Error},
		OpAbort:   {Type: fault.Abort},
		OpHang:    {Type: fault.Hang},
		OpCorrupt: {Type: fault.Corrupt},
		OpLeak:    {Type: fault.MemoryLeak, Args: fault.Args{Size: 1}},
		OpCPU:     {Type: fault.CPU, Args: fault.Args{Hold: 1}},
		OpIO:      {Type: fault.IO, Args: fault.Args{Size: 1}},
		OpPanic:   {Type: fault.Panic},
	}
}

func checkDraws(t *testing.T, what string, p float64, kind OpKind, e *Endpoint, set *FaultSet) {
	t.Helper()
	hits := 0
	var buf []Op
	for i := range draws {
		program := e.Decide(buf[:0], request(i), set)
		if program[0].Kind == kind {
			hits++
		}
		if !ends(program) {
			t.Fatalf("%s: the program %v does not end", what, kinds(program))
		}
	}
	checkRate(t, what, hits, draws, p)
}

func TestEveryServiceFaultActs(t *testing.T) {
	each := oneOfEach()
	for _, entry := range fault.Vocabulary() {
		f := fault.Fault{Type: entry.Type}
		if acts := CanAct(&f) == nil; acts != (entry.Layer == fault.InService) {
			t.Errorf("fault type %q acts in a service: %v", entry.Type, acts)
		}
		found := entry.Type == fault.Unreachable // it acts on calls
		for _, f := range each {
			found = found || f.Type == entry.Type
		}
		if entry.Layer == fault.InService && !found {
			t.Errorf("fault type %q is not tested", entry.Type)
		}
	}
}

func TestFaultsActInTheirOrder(t *testing.T) {
	var active []Active
	for _, f := range oneOfEach() {
		f.Probability = 1
		active = append(active, Active{string(f.Type), f})
	}
	plain := topology.NewService("a")
	e := New(1, &plain).Endpoints[0]
	program := e.Decide(nil, request(0), NewFaultSet(1, active))
	want := []OpKind{OpLeak, OpSleep, OpCPU, OpIO, OpCorrupt, OpHang, OpAbort}
	if !reflect.DeepEqual(kinds(program), want) {
		t.Errorf("got %v, want %v", kinds(program), want)
	}
	for _, op := range program {
		if a := active[op.Fault-1]; faultOp(a.Fault.Type).Kind != op.Kind {
			t.Errorf("operation %d names fault %q", op.Kind, a.ID)
		}
	}
}

func TestFaultsKeepToTheirTarget(t *testing.T) {
	tests := []struct {
		name   string
		target fault.Target
		want   bool
	}{
		{"all", fault.Target{}, true},
		{"this replica", fault.Target{Replica: 2}, true},
		{"another replica", fault.Target{Replica: 1}, false},
		{"this endpoint", fault.Target{Endpoint: "/"}, true},
		{"another endpoint", fault.Target{Endpoint: "/x"}, false},
		{"this caller", fault.Target{From: "web"}, true},
		{"another caller", fault.Target{From: "cron"}, false},
	}
	plain := topology.NewService("a")
	s := New(1, &plain)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := NewFaultSet(2, []Active{{"f", fault.Fault{Type: fault.Abort, Probability: 1, Target: tt.target}}})
			r := Request{ID: "r", From: "web"}
			if got := s.Endpoints[0].Decide(nil, r, set)[0].Kind == OpAbort; got != tt.want {
				t.Errorf("acts on an endpoint: %v", got)
			}
			if got := s.DecideChain(nil, &chain.Chain{}, r, set)[0].Kind == OpAbort; got != tt.want {
				t.Errorf("acts on a chain: %v", got)
			}
		})
	}
}

func TestOneFaultDoesNotChangeAnother(t *testing.T) {
	slow := Active{"slow", fault.Fault{Type: fault.Latency, Probability: 0.5, Args: fault.Args{Delay: dist.Fixed(time.Second)}}}
	other := Active{"leak", fault.Fault{Type: fault.MemoryLeak, Probability: 0.5, Args: fault.Args{Size: 1}}}
	plain := topology.NewService("a")
	e := New(1, &plain).Endpoints[0]
	sleeps := func(i int, active ...Active) bool {
		for _, op := range e.Decide(nil, request(i), NewFaultSet(1, active)) {
			if op.Kind == OpSleep {
				return true
			}
		}
		return false
	}
	for i := range 500 {
		if sleeps(i, slow) != sleeps(i, other, slow) {
			t.Fatal("a second fault changed what the first does")
		}
	}
}

func TestDecideChain(t *testing.T) {
	plain := topology.NewService("a")
	s := New(1, &plain)
	c, err := chain.Parse([]byte(`{"designation":"a","faults":{"before":[{"type":"latency","args":{"delay":600}}],"after":[{"type":"memory-leak","args":{"size":250,"duration":10000}}]},
		"routes":[{"designation":"b"},{"designation":"c"}]}`), chain.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	program := s.DecideChain(nil, c, request(0), nil)
	if want := []OpKind{OpSleep, OpCall, OpCall, OpLeak, OpRespond}; !reflect.DeepEqual(kinds(program), want) {
		t.Fatalf("got %v", kinds(program))
	}
	if program[2].Route != c.Routes[1] || program[2].Index != 1 || program[3].For != 10*time.Second {
		t.Errorf("got %+v", program)
	}
}

func TestDecisionsAreIndependent(t *testing.T) {
	perhaps := topology.NewCall("b")
	perhaps.Probability, perhaps.Count = 0.5, 2
	calling, plain := topology.NewService("a", topology.Step{Call: &perhaps}), topology.NewService("a")
	both := NewFaultSet(1, []Active{
		{"x", fault.Fault{Type: fault.IO, Probability: 0.5, Args: fault.Args{Size: 1}}},
		{"y", fault.Fault{Type: fault.IO, Probability: 0.5, Args: fault.Args{Size: 1}}},
	})
	for what, program := range map[string]func(Request) []Op{
		"calls":  func(r Request) []Op { return New(1, &calling).Endpoints[0].Decide(nil, r, nil) },
		"faults": func(r Request) []Op { return New(1, &plain).Endpoints[0].Decide(nil, r, both) },
	} {
		twice := 0
		for i := range 5000 {
			if len(program(request(i))) == 3 {
				twice++
			}
		}
		checkRate(t, "both "+what, twice, 5000, 0.25)
	}
}

func TestEndpointFindsItsPath(t *testing.T) {
	list := topology.NewEndpoint("/list")
	get, put := topology.NewEndpoint("/item"), topology.NewEndpoint("/item")
	get.Method, put.Method = "GET", "PUT"
	s := New(1, &topology.Service{Name: "a", Endpoints: []topology.Endpoint{list, get, put}})
	for _, tt := range []struct {
		method, path string
		want         int
		known        bool
	}{
		{"GET", "/list", 0, true}, {"DELETE", "/list", 0, true}, {"GET", "/item", 1, true}, {"PUT", "/item", 2, true},
		{"POST", "/item", -1, true}, {"GET", "/", 0, true}, {"GET", "/none", -1, false},
	} {
		e, known := s.Endpoint(tt.method, tt.path)
		var want *Endpoint
		if tt.want >= 0 {
			want = s.Endpoints[tt.want]
		}
		if e != want || known != tt.known {
			t.Errorf("%s %s: got %v, %v", tt.method, tt.path, e, known)
		}
	}
}

func TestBindCompletesCalls(t *testing.T) {
	b := topology.NewEndpoint("/items")
	b.Method = "POST"
	system := &topology.System{Services: []topology.Service{
		topology.NewService("a", topology.CallTo("b"), topology.Step{Parallel: []topology.Step{topology.CallTo("b"), topology.CallTo("gone")}}),
		{Name: "b", Endpoints: []topology.Endpoint{b}},
	}}
	bound := Bind(system, &system.Services[0])
	steps := bound.Endpoints[0].Steps
	for _, call := range []*topology.Call{steps[0].Call, steps[1].Parallel[0].Call} {
		if call.Endpoint != "/items" || call.Method != "POST" {
			t.Errorf("got %+v", call)
		}
	}
	if c := steps[1].Parallel[1].Call; c.Endpoint != "" {
		t.Errorf("a call to an unknown service became %+v", c)
	}
	if c := system.Services[0].Endpoints[0].Steps[0].Call; c.Endpoint != "" {
		t.Error("binding changed the system")
	}
}

func TestCallsOfStoresHaveOperations(t *testing.T) {
	plain, own := topology.NewCall("db"), topology.NewCall("db")
	own.Reads, own.Query = 1, []topology.Operation{topology.OpTransaction}
	db := topology.NewService("db")
	db.Kind, db.Store = topology.MySQL, &topology.Store{Reads: 1, Writes: 2}
	system := &topology.System{Services: []topology.Service{topology.NewService("a", topology.Step{Call: &plain}, topology.Step{Call: &own}), db}}
	bound := Bind(system, &system.Services[0])
	s := New(1, &bound)
	for i, want := range []string{"1 read, 2 writes", "1 read, 1 transaction"} {
		if c := s.Sites[i]; !c.ToStore() || c.Path != want || c.Method != MethodStore {
			t.Errorf("call %d is %+v", i, c)
		}
	}
	seen := map[int]bool{}
	for i := range 200 {
		item := s.OperationItem(request(i), 0, 0, 10)
		if item != s.OperationItem(request(i), 0, 0, 10) || item < 0 || item > 9 {
			t.Fatalf("request %d is on item %d", i, item)
		}
		seen[item] = true
	}
	if len(seen) != 10 {
		t.Errorf("only %d of 10 items are drawn", len(seen))
	}
}

func TestConsequence(t *testing.T) {
	want := map[outcome.Class]int{
		outcome.OK: 0, outcome.HTTPError: 502, outcome.StoreError: 502, outcome.ConnectionError: 502, outcome.Malformed: 502, outcome.Timeout: 504, outcome.BreakerOpen: 503, outcome.Rejected: 503, outcome.Cancelled: 503,
	}
	propagate, ignore := &Call{OnError: topology.Propagate}, &Call{OnError: topology.Ignore}
	for _, class := range outcome.OfCalls() {
		if got, fails := propagate.Consequence(class, 500); got.Status != want[class] || fails != (class != outcome.OK) {
			t.Errorf("%s propagates as %v", class, got)
		}
		if got, fails := ignore.Consequence(class, 500); fails {
			t.Errorf("%s is not ignored: %v", class, got)
		}
	}
	told := &Call{OnError: topology.Ignore, Answers: map[string]topology.Answer{
		"404": {Status: 404, Body: "none"}, "http_error": {Status: 500}, "timeout": {Status: 503}}}
	for _, c := range []struct {
		class  outcome.Class
		status int
		want   int
	}{{outcome.HTTPError, 404, 404}, {outcome.HTTPError, 503, 500}, {outcome.Timeout, 0, 503}, {outcome.ConnectionError, 0, 0}, {outcome.OK, 200, 0}} {
		if got, fails := told.Consequence(c.class, c.status); got.Status != c.want || fails != (c.want != 0) {
			t.Errorf("%s %d: got %v", c.class, c.status, got)
		}
	}
	told.Answers[topology.Other] = topology.Answer{Status: 418}
	if got, _ := told.Consequence(outcome.ConnectionError, 0); got.Status != 418 {
		t.Errorf("the rest is answered %v", got)
	}
}

func TestHop(t *testing.T) {
	if got := Hop(Hop(Hop("", 0), 12), 3); got != "0.12.3" {
		t.Errorf("got %q", got)
	}
}

func TestDecidingACertainEndpointAllocatesNothing(t *testing.T) {
	s := topology.NewService("a", work(topology.Work{CPUUnits: 1}), topology.CallTo("b"))
	e := New(1, &s).Endpoints[0]
	r := request(1)
	faults := NewFaultSet(1, []Active{{"f", fault.Fault{Type: fault.Error, Probability: 0.5}}})
	buf := make([]Op, 0, 16)
	if n := testing.AllocsPerRun(100, func() {
		e.Decide(nil, r, nil)
		e.Decide(buf, r, faults)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	static := topology.NewService("a", work(topology.Work{CPUUnits: 1}), topology.CallTo("b"))
	random := everything()
	for name, s := range map[string]*topology.Service{"certain": &static, "random": &random} {
		b.Run(name, func(b *testing.B) {
			e := New(1, s).Endpoints[0]
			r := request(1)
			buf := make([]Op, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(buf, r, nil)
			}
		})
	}
}

func TestPathsWithNames(t *testing.T) {
	exact, pattern := topology.NewEndpoint("/users/1"), topology.NewEndpoint("/users/{id}")
	post := topology.NewEndpoint("/orders/{shop}")
	post.Method, post.Response.Body = "POST", `{"id": 3, "product": {product}}`
	call := topology.NewCall("users")
	call.Endpoint = "/users/{user_id}/of/{shop}"
	post.Steps = []topology.Step{{Call: &call}}
	s := New(1, &topology.Service{Name: "a", Endpoints: []topology.Endpoint{pattern, exact, post}})
	for path, want := range map[string]string{"/users/1": "/users/1", "/users/2": "/users/{id}", "/users/": "", "/users/1/2": "", "/users": ""} {
		got := ""
		if e, _ := s.Endpoint("GET", path); e != nil {
			got = e.Path
		}
		if got != want {
			t.Errorf("%s goes to %q", path, got)
		}
	}
	e, known := s.Endpoint("POST", "/orders/north sea")
	if other, knownGet := s.Endpoint("GET", "/orders/x"); other != nil || !knownGet || !known {
		t.Error("a method too many is answered")
	}
	values, err := e.Values("/orders/north sea", []byte(`{"user_id": 7, "product": "Book"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := values.Fill(e.Body, nil); got != `{"id": 3, "product": "Book"}` {
		t.Errorf("got %s", got)
	}
	if got := values.FillPath(s.Sites[0].Path, url.PathEscape); got != "/users/7/of/north%20sea" {
		t.Errorf("got %s", got)
	}
	for _, body := range []string{"", "[]", "null", `{"user_id": 7}`} {
		if _, err := e.Values("/orders/x", []byte(body)); err == nil {
			t.Errorf("a body %q is enough", body)
		}
	}
}

func TestUnreachableActsInCallers(t *testing.T) {
	set := NewFaultSet(1, []Active{
		{"l", fault.Fault{Type: fault.Latency, Probability: 1}},
		{"u", fault.Fault{Type: fault.Unreachable, Probability: 1, Target: fault.Target{Service: "b", From: "a", Endpoint: "/x", Replica: 2}}},
	})
	for _, c := range []struct {
		from, to, path string
		replica, want  int
	}{{"a", "b", "/x", 2, 2}, {"a", "c", "/x", 2, 0}, {"z", "b", "/x", 2, 0}, {"a", "b", "/y", 2, 0}, {"a", "b", "/x", 1, 0}} {
		if got := set.Unreachable(0, c.from, c.to, c.path, c.replica, 0, 1); got != c.want {
			t.Errorf("%+v: fault %d", c, got)
		}
	}
	half := NewFaultSet(1, []Active{{"u", fault.Fault{Type: fault.Unreachable, Probability: 0.5, Target: fault.Target{Service: "b"}}}})
	hits := 0
	for i := range 2000 {
		hits += half.Unreachable(dist.Seed(1).WithInt(i), "a", "b", "/", 1, 0, 1)
	}
	if hits < 900 || hits > 1100 {
		t.Errorf("half of 2000 calls are %d", hits)
	}
	var none *FaultSet
	if none.Unreachable(0, "a", "b", "/", 1, 0, 1) != 0 {
		t.Error("no fault acts")
	}
}

// checkRate holds a count of hits to the binomial distribution: within five
// standard deviations, and exact where nothing is random.
func checkRate(t *testing.T, what string, hits, n int, p float64) {
	t.Helper()
	mean, sd := float64(n)*p, math.Sqrt(float64(n)*p*(1-p))
	if math.Abs(float64(hits)-mean) > 5*sd {
		t.Errorf("%s: %d hits of %d, want %.0f±%.0f", what, hits, n, mean, 5*sd)
	}
}
