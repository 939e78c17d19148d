package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// describe has a line for each span, children below their parents and siblings by
// their hop.
func describe(spans []span.Span) (lines []string) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span.Span) int { return strings.Compare(a.Hop, b.Hop) })
	var below func(parent span.ID, lead string)
	below = func(parent span.ID, lead string) {
		for i := range spans {
			s := &spans[i]
			if s.Parent != parent {
				continue
			}
			line := fmt.Sprintf("%s%s %s %s%s %d", lead, s.Kind, s.Service, s.Callee, s.Path, s.Status)
			if s.Kind == span.Client {
				line += fmt.Sprintf(" #%d %s", s.Attempt, s.Class)
			}
			for _, e := range s.Events {
				line += fmt.Sprintf(" [%s %s %s]", e.Name, e.Subject, e.Detail)
			}
			lines = append(lines, line)
			below(s.ID, lead+"  ")
		}
	}
	below(span.ID{}, "")
	return lines
}

// traced starts service a, which calls b, with all traces kept.
func traced(t *testing.T, url string, p policy.Call) (*Service, string) {
	t.Helper()
	call := topology.NewCall("b")
	call.Call = p
	step := topology.Step{Call: &call}
	return start(t, Config{Service: topology.NewService("a", step), Seed: 5, TraceSample: 1, Peers: map[string][]string{"b": {url}}, Token: "secret"})
}

func TestSpansOfCallsTellAttempts(t *testing.T) {
	fails := func(n int64) func(i int64, w http.ResponseWriter, r *http.Request) {
		return func(i int64, w http.ResponseWriter, r *http.Request) {
			if i <= n {
				w.WriteHeader(503)
			}
		}
	}
	slowFirst := func(i int64, w http.ResponseWriter, r *http.Request) {
		if i == 1 {
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}
	}
	retry := &policy.Retry{Attempts: 3, Backoff: millisecond, Jitter: policy.NoJitter}
	for name, tt := range map[string]struct {
		b      func(int64, http.ResponseWriter, *http.Request)
		policy policy.Call
		// before are requests that come first.
		before int
		want   []string
	}{
		"retries are siblings": {fails(2), policy.Call{Retry: retry}, 0, []string{
			"server a / 200", "  client a b/ 503 #1 http_error", "  client a b/ 503 #2 http_error", "  client a b/ 200 #3 ok",
		}},
		"hedges are siblings": {slowFirst, policy.Call{Hedge: &policy.Hedge{After: 20 * millisecond}}, 0, []string{
			"server a / 200", "  client a b/ 0 #1 cancelled", "  client a b/ 200 #2 ok",
		}},
		"a fallback is an event": {fails(9), policy.Call{Fallback: &policy.Fallback{Kind: policy.EmptyFallback}}, 0, []string{
			"server a / 200 [fallback b empty]", "  client a b/ 503 #1 http_error",
		}},
		"an open breaker is an event": {fails(9), policy.Call{Breaker: &policy.Breaker{Failures: 1, Reset: unit.Duration(time.Hour)}}, 1, []string{
			"server a / 503 [not_sent b breaker_open]",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := traced(t, callee(t, tt.b), tt.policy)
			for range tt.before {
				get(t, url)
			}
			from := s.tracer.buffer.Fetch(span.Query{}).Next
			get(t, url)
			a := s.tracer.buffer.Fetch(span.Query{From: from, Instance: s.tracer.began})
			if diff := cmp.Diff(tt.want, describe(a.Spans)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFaultsThatActAreEvents(t *testing.T) {
	s, url := traced(t, callee(t, func(int64, http.ResponseWriter, *http.Request) {}), policy.Call{})
	for id, f := range map[string]fault.Fault{
		"slow": {Type: fault.Latency, Probability: 1, Args: fault.Args{Delay: dist.Fixed(time.Millisecond)}}, "cut": {Type: fault.Unreachable, Probability: 1, Target: fault.Target{Service: "b"}},
	} {
		if err := s.AddFault(id, f.WithDefaults(), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	get(t, url)
	want := []string{"server a / 502 [fault slow latency]", "  client a b/ 0 #1 connection_error [fault cut unreachable]"}
	if diff := cmp.Diff(want, describe(s.tracer.buffer.Fetch(span.Query{}).Spans)); diff != "" {
		t.Error(diff)
	}
}

// Two services of one system agree on the ids without a header, and take those of
// a header if there is one.
func TestTraceContextPassesThrough(t *testing.T) {
	leaf, leafURL := start(t, Config{Service: topology.NewService("b"), Seed: 5, TraceSample: 1})
	front, url := traced(t, leafURL, policy.Call{})
	const id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for _, header := range []string{"", "00-" + id + "-" + parent + "-01"} {
		request(t, "GET", url, nil, http.Header{"X-Request-Id": {"r" + header}, "Traceparent": {header}})
		var spans []span.Span
		for _, s := range []*Service{front, leaf} {
			spans = append(spans, s.tracer.buffer.Fetch(span.Query{}).Spans...)
		}
		spans = slices.DeleteFunc(spans, func(s span.Span) bool { return s.Request != "r"+header })
		want := span.NewTraces(5).Of("r").String()
		if header != "" {
			want = id
			for i := range spans {
				if spans[i].Parent.String() == parent {
					spans[i].Parent = span.ID{} // for describe
				}
			}
		}
		if diff := cmp.Diff([]string{"server a / 200", "  client a b/ 200 #1 ok", "    server b / 200"}, describe(spans)); diff != "" {
			t.Errorf("with header %q:\n%s", header, diff)
		}
		for i := range spans {
			if spans[i].Trace.String() != want {
				t.Errorf("span %d has trace %s, want %s", i, spans[i].Trace, want)
			}
		}
	}
}

func TestSpansNeedTheToken(t *testing.T) {
	_, url := traced(t, callee(t, func(int64, http.ResponseWriter, *http.Request) {}), policy.Call{})
	get(t, url)
	if r := request(t, "POST", url+control.SpansPath, strings.NewReader(`{"from":0}`), nil); r.status != 401 {
		t.Errorf("without the token: %d", r.status)
	}
	r := request(t, "POST", url+control.SpansPath, strings.NewReader(`{"from":0}`), http.Header{"Authorization": {"Bearer secret"}})
	var a control.Spans
	if err := json.Unmarshal([]byte(r.body), &a); err != nil || r.status != 200 || len(a.Spans) != 2 || a.Next != 2 {
		t.Errorf("%d %s: %v", r.status, r.body, err)
	}
	if r := request(t, "GET", url+control.SpansPath, nil, http.Header{"Authorization": {"Bearer secret"}}); r.status != 405 || r.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", r.status, r.header.Get("Allow"))
	}
}

// A request whose trace is not kept costs no more garbage than one without a trace.
func TestTraceThatIsNotKeptAllocatesNothing(t *testing.T) {
	cost := func(share float64) float64 {
		s, err := New(Config{System: "test", Service: topology.NewService("leaf"), TraceSample: share})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r, _ := http.NewRequest("GET", "/", nil)
		r.Header.Set("X-Request-Id", "0001") // not sampled at 1e-9
		w := &nullWriter{header: http.Header{}}
		for range 2 * span.MaxRecent {
			s.serveHTTP(w, r)
		}
		return testing.AllocsPerRun(1000, func() { s.serveHTTP(w, r) })
	}
	if without, with := cost(0), cost(1e-9); with > without {
		t.Errorf("%v allocations a request, %v without traces", with, without)
	}
}
