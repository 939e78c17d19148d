package span

import (
	"slices"
	"sync"
	"time"
)

// A Buffer keeps the spans of one replica, or of one generator of load, until
// they are fetched. Spans of traces that are kept wait for it; those of all
// others stay for a while, because only later it may turn out that the request
// failed at another place. All it holds is bounded. It may be used by several
// goroutines.
type Buffer struct {
	mu     sync.Mutex
	kept   ring
	recent ring
	// wanted are traces that were asked for: their spans that come later are
	// kept. The older half is forgotten when the newer is full.
	wanted, wantedBefore map[TraceID]bool
	// instance tells this buffer from the one of an earlier life of the replica.
	instance int64
}

// DefaultShare is the share of traces that are kept if nobody says another.
const DefaultShare = 0.01

// The bounds of a Buffer.
const (
	// MaxKept is how many spans wait to be fetched.
	MaxKept = 8192
	// MaxRecent is how many spans of other traces stay.
	MaxRecent = 4096
	// KeptFor and RecentFor are how long they stay.
	KeptFor   = time.Minute
	RecentFor = 15 * time.Second
	// MaxWanted is how many traces that were asked for are remembered, at least.
	MaxWanted = 4096
	// MaxAnswer is how many spans one answer has.
	MaxAnswer = 4096
)

// NewBuffer returns an empty buffer. An instance, such as the time of the start,
// tells it from those before it.
func NewBuffer(instance int64) *Buffer {
	return &Buffer{instance: instance, kept: ring{most: MaxKept, age: int64(KeptFor)}, recent: ring{most: MaxRecent, age: int64(RecentFor)}}
}

// Add takes in spans of one trace that have ended. They are kept if the trace is
// sampled, one of them failed, or the trace was asked for. Their ids are set when
// they are fetched. The slice may be used again afterwards.
func (b *Buffer) Add(spans []Span) {
	if len(spans) == 0 {
		return
	}
	first := &spans[0]
	keep := first.Sampled
	for i := 0; i < len(spans) && !keep; i++ {
		keep = spans[i].Failed()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !keep && len(b.wanted)+len(b.wantedBefore) > 0 {
		keep = b.wanted[first.Trace] || b.wantedBefore[first.Trace]
	}
	to := &b.recent
	if keep {
		to = &b.kept
	}
	for i := range spans {
		to.add(&spans[i])
	}
}

// A Query asks a Buffer for spans.
type Query struct {
	// From is the number of the first kept span that is wanted, of the buffer
	// with this instance; that of another begins at 0. A negative one asks for
	// none but those of Traces.
	From     int64 `json:"from"`
	Instance int64 `json:"instance,string,omitempty"`
	// Traces are wanted, too, however they ended: the spans that are still there,
	// and those that come later.
	Traces []TraceID `json:"traces,omitempty"`
}

// An Answer has the spans that a Query asks for.
type Answer struct {
	Instance int64 `json:"instance,string"`
	// Next is From of the next query.
	Next int64 `json:"next"`
	// Lost counts kept spans from From on that are not there any more.
	Lost int64 `json:"lost,omitempty"`
	// Now is the time of the replica's clock when it answered, in nanoseconds since
	// 1970; 0 if it does not say.
	Now   int64  `json:"now,omitempty,string"`
	Spans []Span `json:"spans"`
}

// Fetch answers a query. It removes nothing, so several clients may ask. If the
// answer has MaxAnswer spans, there may be more.
func (b *Buffer) Fetch(q Query) Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := Answer{Instance: b.instance, Next: q.From, Spans: []Span{}}
	if q.Instance != b.instance && q.From > 0 {
		q.From = 0
	}
	for _, t := range q.Traces {
		b.want(t)
	}
	if len(q.Traces) > 0 {
		asked := make(map[TraceID]bool, len(q.Traces))
		for _, t := range q.Traces {
			asked[t] = true
		}
		collect := func(s *Span) {
			if asked[s.Trace] && len(a.Spans) < MaxAnswer {
				a.take(s)
			}
		}
		b.recent.each(0, collect)
		if q.From < 0 { // otherwise they come by their number
			b.kept.each(0, collect)
		}
	}
	if q.From >= 0 {
		oldest := b.kept.next - int64(b.kept.n)
		a.Lost = max(oldest-q.From, 0)
		a.Next = max(q.From, oldest)
		b.kept.each(a.Next, func(s *Span) {
			if len(a.Spans) < MaxAnswer {
				a.take(s)
				a.Next++
			}
		})
	}
	return a
}

// take copies a span out of the buffer, which uses its events again.
func (a *Answer) take(s *Span) {
	taken := *s
	taken.Events = slices.Clone(s.Events)
	if len(taken.Events) == 0 {
		taken.Events = nil
	}
	taken.SetIDs()
	a.Spans = append(a.Spans, taken)
}

func (b *Buffer) want(t TraceID) {
	if len(b.wanted) >= MaxWanted {
		b.wantedBefore, b.wanted = b.wanted, nil
	}
	if b.wanted == nil {
		b.wanted = map[TraceID]bool{}
	}
	b.wanted[t] = true
}

// A ring has the newest spans. It grows up to a bound, and lets go of those that
// are too old.
type ring struct {
	items   []Span
	head, n int
	most    int
	age     int64
	// next is the number of the next span.
	next int64
}

func (r *ring) add(s *Span) {
	for now := s.End(); r.n > 0 && r.items[r.head].End() < now-r.age; {
		r.drop()
	}
	if r.n == len(r.items) {
		if r.n == r.most {
			r.drop()
		} else {
			r.grow()
		}
	}
	at := &r.items[(r.head+r.n)%len(r.items)]
	events := at.Events[:0]
	*at = *s
	// The buffer of events is used again, so that spans with events cost no
	// garbage.
	at.Events = append(events, s.Events...)
	r.n++
	r.next++
}

func (r *ring) drop() {
	r.items[r.head] = Span{Events: r.items[r.head].Events[:0]}
	r.head = (r.head + 1) % len(r.items)
	r.n--
}

func (r *ring) grow() {
	items := make([]Span, min(max(2*len(r.items), 64), r.most))
	for i := range r.n {
		items[i] = r.items[(r.head+i)%len(r.items)]
	}
	r.items, r.head = items, 0
}

// each calls do for the spans from a number on, the oldest first.
func (r *ring) each(from int64, do func(*Span)) {
	for i := max(0, int(from-(r.next-int64(r.n)))); i < r.n; i++ {
		do(&r.items[(r.head+i)%len(r.items)])
	}
}
