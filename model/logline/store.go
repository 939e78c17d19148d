package logline

import (
	"bufio"
	"io"
	"slices"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// The bounds of a Store.
const (
	MaxLines = 400_000
	MaxBytes = 128 << 20
)

// leastShare is the smallest share of requests whose lines a Store keeps.
const leastShare = 1.0 / (1 << 20)

// A Store has the lines of one run. One that is full keeps the lines of every second
// request, then of every fourth, and so on, so that what it has is spread over the
// whole run; lines that are about no request are kept as long as there is room. The
// trace of a request decides, as it does about spans: the lines that are kept belong
// to the traces that a smaller sample would keep. A Store may be used by several
// goroutines.
type Store struct {
	mu      sync.Mutex
	lines   []Line
	bytes   int
	share   float64
	sampler span.Sampler
	dropped int64
	trouble string
	most    int
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{share: 1, sampler: span.NewSampler(1), most: MaxLines}
}

// Add takes a line in, and reports whether it is kept, for the time being.
func (s *Store) Add(l Line) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.keeps(&l) {
		s.dropped++
		return false
	}
	s.lines = append(s.lines, l)
	s.bytes += len(l.Text)
	for s.full() && s.share > leastShare {
		s.thin()
	}
	if s.full() {
		last := len(s.lines) - 1
		s.bytes -= len(s.lines[last].Text)
		s.lines = s.lines[:last]
		s.dropped++
		return false
	}
	return true
}

func (s *Store) full() bool { return len(s.lines) > s.most || s.bytes > MaxBytes }

func (s *Store) keeps(l *Line) bool { return l.Trace.IsZero() || s.sampler.Keeps(l.Trace) }

// thin keeps half of the requests.
func (s *Store) thin() {
	s.share /= 2
	s.sampler = span.NewSampler(s.share)
	before := len(s.lines)
	s.lines = slices.DeleteFunc(s.lines, func(l Line) bool {
		if s.keeps(&l) {
			return false
		}
		s.bytes -= len(l.Text)
		return true
	})
	s.dropped += int64(before - len(s.lines))
}

// Fail notes why lines are missing whose number nobody knows.
func (s *Store) Fail(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = why
}

// A Summary says what a Store has.
type Summary struct {
	Lines int
	// Dropped counts lines that came and were not kept; Share is that of the requests
	// whose lines were.
	Dropped int64
	Share   float64
	// Trouble says why more are missing; empty where no reason is known.
	Trouble string
}

// Summary says what there is.
func (s *Store) Summary() Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Summary{len(s.lines), s.dropped, s.share, s.trouble}
}

// Lines returns what there is, the earliest first.
func (s *Store) Lines() []Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := slices.Clone(s.lines)
	slices.SortStableFunc(lines, func(a, b Line) int { return a.Time.Compare(b.Time) })
	return lines
}

// Write writes the lines, the earliest first.
func (s *Store) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	for _, l := range s.Lines() {
		_, _ = out.Write(l.Text) // Flush tells
		_ = out.WriteByte('\n')
	}
	return out.Flush()
}
