// Package trace gathers the spans of a run, puts them together to traces, and
// writes them for others: as OTLP's JSON, as a Chrome trace, and as a waterfall
// for people.
package trace

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// MaxSpans is how many spans a Store holds.
const MaxSpans = 200_000

// A Store has the traces of one run. It may be used by several goroutines.
type Store struct {
	// passage says that spans are passed on and not kept.
	passage bool

	mu     sync.Mutex
	traces map[span.TraceID]*Trace
	spans  int
	lost   int64
	// failed are traces that are kept because a request failed, in the order in
	// which that became known: others may have spans of them. forgotten is how many
	// before them are no longer known.
	failed    []span.TraceID
	forgotten int
	// clocks are the offsets of the replicas' clocks, each as exact as was measured.
	clocks map[replicaKey]result.Clock
	// more is told of all spans that come; it may be nil.
	more func([]span.Span)
}

// A Trace is the spans of one request, the earliest first.
type Trace struct {
	ID     span.TraceID
	Spans  []span.Span
	failed bool
}

// NewStore returns an empty store. more is told of all spans that are taken in,
// and must not keep the slice; it may be nil.
func NewStore(more func([]span.Span)) *Store {
	return &Store{traces: map[span.TraceID]*Trace{}, more: more}
}

// maxFailed is how many failed traces a passage remembers: replicas have the spans of
// others for some seconds only.
const maxFailed = 1 << 14

// NewPassage returns a store that keeps no spans: it hands them over, and remembers
// which of the last traces failed. A system that runs for days fits into it.
func NewPassage(to func([]span.Span)) *Store {
	s := NewStore(to)
	s.passage = true
	return s
}

// Add takes spans in. A store that is full takes in no further traces, and counts
// what it does not take.
func (s *Store) Add(spans []span.Span) {
	if s.more != nil && len(spans) > 0 {
		s.more(spans)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range spans {
		if s.passage {
			s.pass(&spans[i])
		} else {
			s.add(&spans[i])
		}
	}
}

// pass notes whether the trace of a span that is passed on failed.
func (s *Store) pass(sp *span.Span) {
	if !sp.Failed() || sp.Sampled || s.traces[sp.Trace] != nil {
		return
	}
	s.traces[sp.Trace] = &Trace{ID: sp.Trace, failed: true}
	s.failed = append(s.failed, sp.Trace)
	if len(s.failed) < 2*maxFailed {
		return
	}
	old := len(s.failed) - maxFailed
	for _, id := range s.failed[:old] {
		delete(s.traces, id)
	}
	s.failed, s.forgotten = append([]span.TraceID(nil), s.failed[old:]...), s.forgotten+old
}

func (s *Store) add(sp *span.Span) {
	t := s.traces[sp.Trace]
	// A trace that has begun may grow by another half of the bound.
	if t == nil && s.spans >= MaxSpans || s.spans >= MaxSpans*3/2 {
		s.lost++
		return
	}
	if t == nil {
		t = &Trace{ID: sp.Trace}
		s.traces[sp.Trace] = t
	}
	t.Spans = append(t.Spans, *sp)
	s.spans++
	if sp.Failed() && !sp.Sampled && !t.failed {
		t.failed = true
		s.failed = append(s.failed, sp.Trace)
	}
}

// Lose counts spans that did not come.
func (s *Store) Lose(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost += n
}

// compare takes in that the clock of a replica is ahead by an offset, as far as it is
// known: the answer was made at some time while it was waited for.
func (s *Store) compare(r runner.Replica, offset, within time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clocks == nil {
		s.clocks = map[replicaKey]result.Clock{}
	}
	key := replicaKey{r.Service, r.Index}
	if best, known := s.clocks[key]; !known || within.Seconds() < best.Within {
		s.clocks[key] = result.Clock{Service: r.Service, Replica: r.Index, Offset: offset.Seconds(), Within: within.Seconds()}
	}
}

// Clocks lists what is known of the replicas' clocks.
func (s *Store) Clocks() []result.Clock {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.clocks), func(a, b result.Clock) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Replica, b.Replica))
	})
}

// failedFrom returns the first of the traces that failed, most of them at most, from a
// place on, and the place of the first of them: those before may have been forgotten.
func (s *Store) failedFrom(place, most int) (failed []span.TraceID, first int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = min(max(place, s.forgotten), s.forgotten+len(s.failed))
	failed = s.failed[first-s.forgotten:]
	return slices.Clone(failed[:min(most, len(failed))]), first
}

// Lost is how many spans are known to be missing.
func (s *Store) Lost() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Summary says what there is of a run that was to keep a share of its traces.
func (s *Store) Summary(sample float64) *result.Traces {
	sum := &result.Traces{Sample: sample, Lost: s.Lost(), Clocks: s.Clocks()}
	for _, t := range s.Traces() {
		sum.Traces++
		sum.Spans += len(t.Spans)
		if t.Failed() {
			sum.Failed++
		}
	}
	return sum
}

// Traces returns what there is, the earliest trace first.
func (s *Store) Traces() []Trace {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passage {
		return nil
	}
	traces := make([]Trace, 0, len(s.traces))
	for _, t := range s.traces {
		traces = append(traces, Trace{ID: t.ID, Spans: order(t.Spans)})
	}
	slices.SortFunc(traces, func(a, b Trace) int {
		return cmp.Or(cmp.Compare(a.Spans[0].Start, b.Spans[0].Start), slices.Compare(a.ID[:], b.ID[:]))
	})
	return traces
}

// order returns the spans of a trace, the earliest first and parents before their
// children, each once, with the first hop below the root that sent it.
func order(spans []span.Span) []span.Span {
	spans = slices.Clone(spans)
	roots := map[string]span.ID{}
	for i := range spans {
		if spans[i].Kind == span.Root {
			roots[spans[i].Request] = spans[i].ID
		}
	}
	for i := range spans {
		if s := &spans[i]; s.Kind == span.Server && s.Parent.IsZero() {
			s.Parent = roots[s.Request]
		}
	}
	slices.SortFunc(spans, func(a, b span.Span) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(rank(&a), rank(&b)), cmp.Compare(b.Duration, a.Duration), slices.Compare(a.ID[:], b.ID[:]))
	})
	return slices.CompactFunc(spans, func(a, b span.Span) bool { return a.ID == b.ID && a.Start == b.Start && a.Service == b.Service })
}

// rank puts the spans of one moment in the order in which they must have begun:
// by the depth of their hop, the caller's side first.
func rank(s *span.Span) int {
	depth := 0
	if s.Hop != "" {
		depth = 1
	}
	for _, c := range s.Hop {
		if c == '.' {
			depth++
		}
	}
	depth = 2*depth + 1
	if s.Kind == span.Client || s.Kind == span.Root {
		depth--
	}
	return depth
}

// Failed reports whether a span of the trace failed.
func (t *Trace) Failed() bool {
	return slices.ContainsFunc(t.Spans, func(s span.Span) bool { return s.Failed() })
}

// Root is the span that has no parent in the trace; the earliest, if there are
// several because spans are missing.
func (t *Trace) Root() *span.Span {
	known := map[span.ID]bool{}
	for i := range t.Spans {
		known[t.Spans[i].ID] = true
	}
	for i := range t.Spans {
		if !known[t.Spans[i].Parent] {
			return &t.Spans[i]
		}
	}
	return &t.Spans[0]
}
