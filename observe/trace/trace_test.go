package trace

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

const ms = int64(time.Millisecond)

// shop is a request of the load to web, which calls cart twice, of which the
// first attempt fails.
func shop(request string) []span.Span {
	base := span.Span{Trace: span.NewTraces(1).Of(request), Request: request, Method: "GET", Path: "/", Sampled: true}
	at := func(change func(*span.Span), start, took int64) span.Span {
		s := base
		change(&s)
		s.Start, s.Duration = 1e18+start*ms, time.Duration(took*ms)
		s.SetIDs()
		return s
	}
	return []span.Span{
		at(func(s *span.Span) {
			s.Kind, s.Service, s.Replica, s.Hop, s.Caller, s.Status = span.Server, "cart", 2, "0~2", "web", 200
		}, 21, 8),
		at(func(s *span.Span) {
			s.Kind, s.Service, s.Replica, s.Hop, s.Callee, s.Attempt, s.Status, s.Class = span.Client, "web", 1, "0~2", "cart", 2, 200, outcome.OK
		}, 20, 10),
		at(func(s *span.Span) {
			s.Kind, s.Service, s.Replica, s.Hop, s.Callee, s.Attempt, s.Class, s.Error = span.Client, "web", 1, "0", "cart", 1, outcome.Timeout, "no answer came in time"
		}, 2, 15),
		at(func(s *span.Span) {
			s.Kind, s.Service, s.Replica, s.Status = span.Server, "web", 1, 200
			s.Events = []span.Event{{At: 1e18 + 3*ms, Name: span.FaultActed, Subject: "slow", Detail: "latency"}}
		}, 1, 31),
		at(func(s *span.Span) {
			s.Kind, s.Path, s.Callee, s.Status, s.Class = span.Root, "buy", "web", 200, outcome.OK
		}, 0, 33),
	}
}

func stored(spans ...[]span.Span) *Store {
	s := NewStore(nil)
	for _, each := range spans {
		s.Add(each)
	}
	return s
}

func TestTracesAreTrees(t *testing.T) {
	s := stored(shop("b")[:2], shop("a"), shop("b")[2:], shop("b")[:1]) // one comes twice
	var text bytes.Buffer
	for _, tr := range s.Traces() {
		if tr.ID != span.NewTraces(1).Of("a") {
			continue
		}
		if err := tr.WriteWaterfall(&text, 80); err != nil {
			t.Fatal(err)
		}
	}
	want := `trace ` + span.NewTraces(1).Of("a").String() + `, 5 spans
load buy                      ████████████████████████  33.00 ms  200
  web/1 GET /                 ███████████████████████   31.00 ms  200
    ! fault slow acted (latency)
    -> cart GET /              ▒▒▒▒▒▒▒▒▒▒▒              15.00 ms  timeout
      ! no answer came in time
    -> cart GET /, attempt 2                ───────     10.00 ms  200
      cart/2 GET /                           ██████      8.00 ms  200
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Error(diff)
	}
	if all := s.Traces(); len(all) != 2 || len(all[0].Spans) != 5 || len(all[1].Spans) != 5 {
		t.Errorf("%d traces", len(all))
	}
	slow, failed := Pick(s.Traces())
	if slow == nil || failed != nil {
		t.Errorf("slow %v, failed %v", slow, failed)
	}
}

// toBase64 rewrites the ids of OTLP's JSON, which are hexadecimal there, to what
// the JSON of protocol buffers has.
func toBase64(line []byte) []byte {
	ids := regexp.MustCompile(`"(traceId|spanId|parentSpanId)":"([0-9a-f]*)"`)
	return ids.ReplaceAllFunc(line, func(field []byte) []byte {
		m := ids.FindSubmatch(field)
		id, _ := hex.DecodeString(string(m[2]))
		return fmt.Appendf(nil, "%q:%q", m[1], base64.StdEncoding.EncodeToString(id))
	})
}

// The official types read each line, unknown fields being an error.
func TestLinesAreOTLP(t *testing.T) {
	var text bytes.Buffer
	origin := &Origin{System: "shop", Target: "local", Version: "v1"}
	if err := origin.WriteOTLP(&text, stored(shop("a"), shop("b")).Traces()); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text.Bytes()), []byte("\n"))
	if len(lines) != 2 {
		t.Fatalf("%d lines of 2 traces", len(lines))
	}
	var got []string
	for _, line := range lines {
		var request collector.ExportTraceServiceRequest
		if err := protojson.Unmarshal(toBase64(line), &request); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for _, r := range request.ResourceSpans {
			for _, s := range r.ScopeSpans[0].Spans {
				got = append(got, fmt.Sprintf("%s %s %v %d-%d %v %d", r.Resource.Attributes[0].Value.GetStringValue(), s.Name, s.Kind,
					(int64(s.StartTimeUnixNano)-1e18)/ms, (int64(s.EndTimeUnixNano)-1e18)/ms, s.Status.Code, len(s.Events)))
				if len(s.TraceId) != 16 || len(s.SpanId) != 8 {
					t.Errorf("ids of %d and %d bytes", len(s.TraceId), len(s.SpanId))
				}
			}
		}
	}
	want := []string{
		"microsim-load buy SPAN_KIND_CLIENT 0-33 STATUS_CODE_UNSET 0",
		"web GET / SPAN_KIND_SERVER 1-32 STATUS_CODE_UNSET 1",
		"web GET / SPAN_KIND_CLIENT 2-17 STATUS_CODE_ERROR 0",
		"web GET / SPAN_KIND_CLIENT 20-30 STATUS_CODE_UNSET 0",
		"cart GET / SPAN_KIND_SERVER 21-29 STATUS_CODE_UNSET 0",
	}
	if diff := cmp.Diff(append(want, want...), got); diff != "" {
		t.Error(diff)
	}
}

// Each event has the fields that its phase needs, stretches on one row lie inside
// each other, and arrows have two ends.
func TestChromeTrace(t *testing.T) {
	var spans [][]span.Span
	for i := range 20 { // at the same time
		spans = append(spans, shop(fmt.Sprint(i)))
	}
	var text bytes.Buffer
	if err := WriteChrome(&text, stored(spans...).Traces()); err != nil {
		t.Fatal(err)
	}
	checkChrome(t, text.Bytes(), 100)
}

// checkChrome holds a document against the format.
func checkChrome(t *testing.T, text []byte, spans int) {
	t.Helper()
	var doc struct {
		DisplayTimeUnit string
		TraceEvents     []struct {
			Name, Ph, ID, S, Bp string
			Ts, Dur             *float64
			Pid, Tid            *int
			Args                map[string]any
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	type row struct{ pid, tid int }
	open, arrows, found := map[row][]float64{}, map[string]string{}, 0
	last := -1.0
	for _, e := range doc.TraceEvents {
		if e.Name == "" || e.Ts == nil || e.Pid == nil || e.Tid == nil {
			t.Fatalf("an event lacks a field: %+v", e)
		}
		switch e.Ph {
		case "X":
			found++
			if e.Dur == nil || *e.Dur < 0 || *e.Ts < last {
				t.Fatalf("a stretch without a length, or not in order: %+v", e)
			}
			last = *e.Ts
			r := row{*e.Pid, *e.Tid}
			ends := open[r]
			for len(ends) > 0 && ends[len(ends)-1] <= *e.Ts {
				ends = ends[:len(ends)-1]
			}
			if len(ends) > 0 && ends[len(ends)-1] < *e.Ts+*e.Dur {
				t.Fatalf("%+v reaches over the end of what it lies in", e)
			}
			open[r] = append(ends, *e.Ts+*e.Dur)
		case "M":
			if e.Name != "process_name" || e.Args["name"] == "" {
				t.Fatalf("%+v", e)
			}
		case "i":
			if e.S != "t" {
				t.Fatalf("%+v", e)
			}
		case "s", "f":
			arrows[e.ID] += e.Ph
		default:
			t.Fatalf("phase %q", e.Ph)
		}
	}
	for id, ends := range arrows {
		if ends != "sf" {
			t.Errorf("arrow %s has the ends %q", id, ends)
		}
	}
	if found != spans || len(arrows) == 0 {
		t.Errorf("%d stretches, want %d; %d arrows", found, spans, len(arrows))
	}
}

// A system answers questions for spans from buffers.
type system struct {
	buffers map[string]*span.Buffer
	// fails is set while web does not answer.
	fails atomic.Bool
}

func (s *system) replicas(context.Context) (all []runner.Replica, err error) {
	for name := range s.buffers {
		all = append(all, runner.Replica{Service: name, Index: 1, State: runner.Ready})
	}
	return all, nil
}

func (s *system) Spans(_ context.Context, r runner.Replica, q control.SpanQuery) (control.Spans, error) {
	if r.Service == "web" && s.fails.Load() {
		return control.Spans{}, errors.New("no answer")
	}
	return s.buffers[r.Service].Fetch(q), nil
}

// generators send a load together, elsewhere.
type generators []*span.Buffer

func (g generators) Generators() int { return len(g) }

func (g generators) Spans(_ context.Context, i int, q control.SpanQuery) (control.Spans, error) {
	return g[i].Fetch(q), nil
}

// A request that failed at one place is kept at all, though none of its other
// spans is sampled or failed, and though one ends after it was asked for.
func TestCollectorAsksForFailedRequests(t *testing.T) {
	loaded := span.NewBuffer(3)
	t.Run("of a load in this process", func(t *testing.T) {
		checkFailedRequests(t, loaded, Options{Load: loaded})
	})
	elsewhere := span.NewBuffer(4)
	t.Run("of a load elsewhere", func(t *testing.T) {
		checkFailedRequests(t, elsewhere, Options{Loads: generators{span.NewBuffer(5), elsewhere}})
	})
}

// checkFailedRequests sends requests whose roots are in a buffer.
func checkFailedRequests(t *testing.T, loaded *span.Buffer, options Options) {
	synctest.Test(t, func(t *testing.T) {
		world := &system{buffers: map[string]*span.Buffer{"web": span.NewBuffer(1), "cart": span.NewBuffer(2)}}
		store := NewStore(nil)
		options.Into = func() *Store { return store }
		c := New(options)
		c.Start(t.Context(), world.replicas, world)
		unsampled := func(request string) []span.Span {
			spans := shop(request)
			for i := range spans {
				spans[i].Sampled = false
			}
			return spans
		}
		one, good := unsampled("one"), unsampled("good")
		good[2].Class = outcome.OK
		for _, spans := range [][]span.Span{one, good} {
			world.buffers["web"].Add(spans[1:4])
			loaded.Add(spans[4:])
		}
		world.buffers["cart"].Add(good[:1])
		time.Sleep(1500 * time.Millisecond)
		world.fails.Store(true) // for a while
		time.Sleep(2 * time.Second)
		world.fails.Store(false)
		world.buffers["cart"].Add(one[:1])
		time.Sleep(time.Second)
		c.Stop()
		all := store.Traces()
		if len(all) != 1 || all[0].ID != one[0].Trace || len(all[0].Spans) != 5 {
			t.Errorf("%d traces: %+v", len(all), all)
		}
		if store.Lost() != 0 {
			t.Errorf("%d spans were lost", store.Lost())
		}
	})
}

// The offset of a clock is that of the shortest round trip, which bounds its error.
func TestClocksAreCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewStore(nil)
		world := &skewed{ahead: -70 * time.Millisecond}
		c := New(Options{Clocks: true, Into: func() *Store { return store }})
		c.Start(t.Context(), world.replicas, world)
		time.Sleep(4500 * time.Millisecond)
		c.Stop()
		got := store.Summary(1).Clocks
		if len(got) != 1 || got[0].Service != "web" || got[0].Replica != 1 || got[0].Within != 0.01 || math.Abs(got[0].Offset+0.07) > got[0].Within {
			t.Errorf("the clocks are %+v", got)
		}
	})
}

// A skewed system has one replica, whose clock is ahead. It answers at once and the
// answer takes long, the second one less long than others.
type skewed struct {
	ahead time.Duration
	asked int
}

func (s *skewed) replicas(context.Context) ([]runner.Replica, error) {
	return []runner.Replica{{Service: "web", Index: 1, State: runner.Ready}, {Service: "db", Index: 1, State: runner.Ready}}, nil
}

func (s *skewed) Spans(_ context.Context, r runner.Replica, _ control.SpanQuery) (control.Spans, error) {
	if r.Service == "db" {
		return control.Spans{}, nil // it does not say
	}
	now := time.Now().Add(s.ahead)
	s.asked++
	if s.asked == 2 {
		time.Sleep(20 * time.Millisecond)
	} else {
		time.Sleep(200 * time.Millisecond)
	}
	return control.Spans{Now: now.UnixNano()}, nil
}

func TestStoreIsBounded(t *testing.T) {
	s := NewStore(nil)
	for i := range MaxSpans/5 + 10 {
		s.Add(shop(fmt.Sprint(i)))
	}
	if len(s.traces) != MaxSpans/5 || s.Lost() != 50 {
		t.Errorf("%d traces, %d spans lost", len(s.traces), s.Lost())
	}
}

// A passage hands every span over, keeps none, and remembers the last failed traces for
// those who have not asked for them yet, however far back they are.
func TestPassageIsBounded(t *testing.T) {
	handed := 0
	s := NewPassage(func(spans []span.Span) { handed += len(spans) })
	const all = 5 * maxFailed
	nameOf := func(i int) span.TraceID { return span.NewTraces(1).Of(fmt.Sprint(i)) }
	prompt, late := &asked{}, &asked{}
	for i := range all {
		failed := span.Span{Trace: nameOf(i), Kind: span.Server, Status: 500}
		s.Add([]span.Span{failed, failed, {Trace: span.NewTraces(2).Of(fmt.Sprint(i)), Kind: span.Server, Status: 200}})
		q := prompt.query(s)
		if len(q.Traces) != 1 || q.Traces[0] != nameOf(i) {
			t.Fatalf("after failure %d, a replica is asked for %d traces", i, len(q.Traces))
		}
		prompt.take(s, &q, &control.Spans{})
	}
	if handed != 3*all || len(s.failed) >= 2*maxFailed || len(s.traces) != len(s.failed) || len(s.Traces()) != 0 {
		t.Errorf("%d of %d spans are handed over, %d failed traces are known by %d", handed, 3*all, len(s.failed), len(s.traces))
	}
	var last span.TraceID
	n := 0
	for q := late.query(s); len(q.Traces) > 0; q = late.query(s) {
		n += len(q.Traces)
		last = q.Traces[len(q.Traces)-1]
		late.take(s, &q, &control.Spans{})
	}
	if n < maxFailed || n != len(s.failed) || last != nameOf(all-1) {
		t.Errorf("a replica that is new is asked for %d traces of %d, up to %s", n, len(s.failed), last)
	}
}

func TestWaterfallOfNarrowTerminals(t *testing.T) {
	for _, width := range []int{0, 20, 40, 200} {
		var text strings.Builder
		if err := stored(shop("a")).Traces()[0].WriteWaterfall(&text, width); err != nil || strings.Count(text.String(), "\n") != 8 {
			t.Errorf("width %d: %v\n%s", width, err, text.String())
		}
	}
}

// ReadOTLP hands over the spans that were written.
func TestOTLPIsReadAgain(t *testing.T) {
	events := []span.Event{
		{At: 1e18, Name: span.FaultActed, Subject: "slow", Detail: "latency"}, {At: 1e18 + 1, Name: span.FellBack, Subject: "cart", Detail: "empty"},
		{At: 1e18 + 2, Name: span.NotSent, Subject: "cart", Detail: "breaker_open"}, {At: 1e18 + 3, Name: span.Opened, Subject: "cart"}, {At: 1e18 + 4, Name: span.Sent},
	}
	odd := shop("odd")
	odd[2].Events, odd[2].Degraded = events, 3
	odd[3].Status, odd[3].Error, odd[3].Sampled = 0, "it was aborted", false
	odd[4].Path, odd[4].Class, odd[4].Error = "GET me", outcome.HTTPError, "503"
	for _, want := range []*Store{stored(shop("a"), shop("b")), stored(odd), NewStore(nil)} {
		var text bytes.Buffer
		origin := &Origin{System: "shop", Target: "local", Version: "v1"}
		if err := origin.WriteOTLP(&text, want.Traces()); err != nil {
			t.Fatal(err)
		}
		got := NewStore(nil)
		if err := ReadOTLP(&text, got.Add); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Traces(), got.Traces(), cmp.AllowUnexported(Trace{})); diff != "" {
			t.Error(diff)
		}
	}
	if err := ReadOTLP(strings.NewReader(`{"resourceSpans":[]}`+"\n"+`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xy`), func([]span.Span) {}); err == nil || !strings.Contains(err.Error(), "line 2: ") {
		t.Errorf("a line that is cut off is read: %v", err)
	}
}
