package span

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

func TestParseParent(t *testing.T) {
	const valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for text, want := range map[string]bool{
		valid: true, "": false, valid[:54]: false, valid + "x": false, valid + "-x": false, "01" + valid[2:] + "-x": true,
		"ff" + valid[2:]: false, strings.ToUpper(valid): false, "00-00000000000000000000000000000000-00f067aa0ba902b7-01": false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false, strings.Replace(valid, "4b", "zz", 1): false,
	} {
		p, ok := ParseParent(text)
		if ok != want {
			t.Errorf("%q is valid: %v", text, ok)
		}
		if ok && p.String()[3:] != text[3:ParentLength] {
			t.Errorf("%q comes back as %q", text, p)
		}
	}
	if p, _ := ParseParent(strings.TrimSuffix(valid, "1") + "2"); p.Sampled || !strings.HasSuffix(p.String(), "-00") {
		t.Errorf("flags 02 are read as sampled, or written back: %s", p)
	}
}

func FuzzParseParent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := ParseParent(text); ok {
			if again, ok := ParseParent(p.String()); !ok || again != p {
				t.Errorf("%q is read as %v, which is written as %q", text, p, p)
			}
		}
	})
}

// The same seed and request lead to the same ids, and nothing else does.
func TestIdsFollowFromSeedRequestAndHop(t *testing.T) {
	a := NewTraces(7).Of("r1")
	if a != NewTraces(7).Of("r1") || a == NewTraces(8).Of("r1") || a == NewTraces(7).Of("r2") {
		t.Error("a trace does not follow from seed and request alone")
	}
	seen := map[ID]string{}
	for _, request := range []string{"r1", "r2"} {
		ids := IdsOf(a, request)
		for _, hop := range []string{"", "0", "0.0", "0~2", "1"} {
			for what, id := range map[string]ID{"attempt": ids.Attempt(hop), "served": ids.Served(hop)} {
				name := fmt.Sprint(request, what, hop)
				if other := seen[id]; other != "" {
					t.Errorf("%s and %s have one id", name, other)
				}
				seen[id] = name
			}
		}
	}
}

// The share of traces that are kept is the one asked for, and a larger share
// keeps all that a smaller one does.
func TestSamplerKeepsItsShare(t *testing.T) {
	const n = 100_000
	traces := NewTraces(1)
	kept := map[float64]int{}
	shares := []float64{0, 0.01, 0.3, 1}
	for i := range n {
		id, before := traces.Of(fmt.Sprint(i)), false
		for _, share := range shares {
			keeps := NewSampler(share).Keeps(id)
			if before && !keeps {
				t.Fatalf("share %v drops a trace that a smaller one keeps", share)
			}
			if before = keeps; keeps {
				kept[share]++
			}
		}
	}
	for _, share := range shares {
		if bound := 4.5*math.Sqrt(n*share*(1-share)) + 0; math.Abs(float64(kept[share])-n*share) > bound {
			t.Errorf("share %v keeps %d of %d", share, kept[share], n)
		}
	}
}

func TestSpanComesBackFromJSON(t *testing.T) {
	want := Span{
		Trace: NewTraces(1).Of("r"), Kind: Client, Service: "web", Replica: 1, Request: "r", Hop: "0~2", Callee: "cart", Attempt: 2,
		Start: math.MaxInt64, Duration: time.Second, Status: 503, Class: outcome.HTTPError, Error: "x",
		Events: []Event{{At: 1 << 60, Name: FaultActed, Subject: "f", Detail: "latency"}},
	}
	want.SetIDs()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Span
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s comes back changed:\n%s", text, diff)
	}
	for _, bad := range []string{`{"trace":"00"}`, `{"kind":"internal"}`, `{"id":"zzzzzzzzzzzzzzzz"}`} {
		if json.Unmarshal([]byte(bad), &got) == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

// served is a span of a request that was answered with a status.
func served(request string, status int, at time.Duration) []Span {
	return []Span{{Trace: NewTraces(1).Of(request), Kind: Server, Request: request, Status: status, Start: int64(at)}}
}

func requests(a Answer) (names []string) {
	for i := range a.Spans {
		names = append(names, a.Spans[i].Request)
	}
	return names
}

func TestBufferKeepsFailedSampledAndWanted(t *testing.T) {
	b := NewBuffer(1)
	b.Add(served("good", 200, 0))
	b.Add(served("failed", 500, 0))
	sampled := served("sampled", 200, 0)
	sampled[0].Sampled = true
	b.Add(sampled)
	b.Add(append(served("retried", 200, 0), Span{Trace: NewTraces(1).Of("retried"), Kind: Client, Request: "retried", Class: outcome.Timeout}))
	b.Add(append(served("hedged", 200, 0), Span{Trace: NewTraces(1).Of("hedged"), Kind: Client, Request: "hedged", Class: outcome.Cancelled}))
	a := b.Fetch(Query{})
	if diff := cmp.Diff([]string{"failed", "sampled", "retried", "retried"}, requests(a)); diff != "" {
		t.Error(diff)
	}
	if a.Next != 4 || a.Lost != 0 || a.Instance != 1 {
		t.Errorf("next %d, lost %d, instance %d", a.Next, a.Lost, a.Instance)
	}
	// A request that failed elsewhere: what is here, and what comes later.
	a = b.Fetch(Query{From: a.Next, Instance: 1, Traces: []TraceID{NewTraces(1).Of("good"), NewTraces(1).Of("later")}})
	if diff := cmp.Diff([]string{"good"}, requests(a)); diff != "" {
		t.Error(diff)
	}
	b.Add(served("later", 200, 0))
	if a = b.Fetch(Query{From: a.Next, Instance: 1}); !slices.Equal(requests(a), []string{"later"}) {
		t.Errorf("%v", requests(a))
	}
	// Another life of the replica counts from 0.
	if a = b.Fetch(Query{From: a.Next, Instance: 2}); len(a.Spans) != 5 {
		t.Errorf("%d spans for who knew an earlier instance", len(a.Spans))
	}
	if a = b.Fetch(Query{From: -1, Traces: []TraceID{NewTraces(1).Of("failed")}}); !slices.Equal(requests(a), []string{"failed"}) {
		t.Errorf("%v", requests(a))
	}
}

func TestBufferIsBounded(t *testing.T) {
	b := NewBuffer(1)
	for i := range MaxKept + 10 {
		b.Add(served(fmt.Sprint("failed", i), 500, 0))
		b.Add(served(fmt.Sprint("good", i), 200, 0))
	}
	a := b.Fetch(Query{})
	if a.Lost != 10 || len(a.Spans) != MaxAnswer || a.Spans[0].Request != "failed10" {
		t.Errorf("lost %d, %d spans from %s", a.Lost, len(a.Spans), a.Spans[0].Request)
	}
	if a = b.Fetch(Query{From: a.Next, Instance: 1}); a.Lost != 0 || len(a.Spans) != MaxKept-MaxAnswer {
		t.Errorf("then lost %d, %d spans", a.Lost, len(a.Spans))
	}
	if b.recent.n != MaxRecent {
		t.Errorf("%d recent spans", b.recent.n)
	}
	b.Add(served("much later", 200, RecentFor+1))
	if b.recent.n != 1 {
		t.Errorf("%d recent spans are left after their time", b.recent.n)
	}
	for i := range 3 * MaxWanted {
		b.want(NewTraces(1).Of(fmt.Sprint(i)))
	}
	if n := len(b.wanted) + len(b.wantedBefore); n > 2*MaxWanted {
		t.Errorf("%d traces are remembered", n)
	}
}

// A request that nobody asks for costs no garbage.
func TestAddAllocatesNothing(t *testing.T) {
	b := NewBuffer(1)
	spans := served("good", 200, 0)
	spans[0].Events = []Event{{Name: FaultActed}}
	for range 2 * MaxRecent {
		b.Add(spans)
	}
	if n := testing.AllocsPerRun(100, func() { b.Add(spans) }); n != 0 {
		t.Errorf("a span that is not kept allocates %v times", n)
	}
}
