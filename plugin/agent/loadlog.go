package agent

import (
	"context"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
)

const (
	// maxKept bounds the bytes of outcomes that are kept for followers: some four
	// million outcomes.
	maxKept = 64 << 20
	// maxBatch bounds the bytes of one line.
	maxBatch = 64 << 10
)

// An outcomeLog keeps the outcomes of a load for followers, who can go on reading
// where they broke off. Beyond its limit it drops the oldest.
type outcomeLog struct {
	limit int

	mu      sync.Mutex
	current batch   // has no number yet
	batches []batch // numbered from first on
	first   int64
	size    int
	total   int64 // outcomes in all batches there were
	end     *remote.End
	changed chan struct{} // closed when a batch or the end is added

	followers int
	seen      time.Time // when the last one was there
}

type batch struct {
	packed []byte
	before int64 // outcomes in earlier batches
	count  int64
}

func newOutcomeLog(limit int) *outcomeLog {
	return &outcomeLog{limit: limit, first: 1, changed: make(chan struct{}), seen: time.Now()}
}

// add adds one outcome. Many goroutines may call it at once.
func (l *outcomeLog) add(o measure.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current.packed = remote.AppendOutcome(l.current.packed, &o)
	l.current.count++
	if len(l.current.packed) >= maxBatch {
		l.cut()
	}
}

// cut makes a numbered batch of the outcomes since the last batch. The caller holds
// the lock.
func (l *outcomeLog) cut() {
	if l.current.count == 0 {
		return
	}
	l.current.before = l.total
	l.batches = append(l.batches, l.current)
	l.size += len(l.current.packed)
	l.total += l.current.count
	l.current = batch{packed: make([]byte, 0, len(l.current.packed)+64)}
	for l.size > l.limit && len(l.batches) > 1 {
		l.size -= len(l.batches[0].packed)
		l.batches[0] = batch{}
		l.batches, l.first = l.batches[1:], l.first+1
	}
	l.wake()
}

func (l *outcomeLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// flushEvery cuts batches until stop is called. stop waits until the cutting has
// ended.
func (l *outcomeLog) flushEvery(interval time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				l.mu.Lock()
				l.cut()
				l.mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// finish adds the outcomes that are left, and the end.
func (l *outcomeLog) finish(end *remote.End) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut()
	l.end = end
	l.wake()
}

// next returns the batch with a number, or the first one after it that is kept.
// Without such a batch, it returns the end, or nothing and a channel that is
// closed when there is more.
func (l *outcomeLog) next(from int64) (line *remote.Line, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := max(from, l.first)
	if i := seq - l.first; i < int64(len(l.batches)) {
		return &remote.Line{Seq: seq, Outcomes: l.batches[i].packed, Before: l.batches[i].before}, nil
	}
	if l.end != nil {
		return &remote.Line{Seq: seq - 1, Before: l.total, End: l.end}, nil
	}
	return nil, l.changed
}

// follow counts a follower until leave is called.
func (l *outcomeLog) follow() (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.followers++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.followers--
		l.seen = time.Now()
	}
}

// alone returns how long there has been no follower, counted from a time at the
// earliest.
func (l *outcomeLog) alone(after time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.followers > 0:
		return 0
	case l.seen.After(after):
		after = l.seen
	}
	return time.Since(after)
}

// lonely returns a channel that is closed when there has been no follower for the
// limit, counted from after at the earliest. The end of ctx ends the watching.
func (l *outcomeLog) lonely(ctx context.Context, limit time.Duration, after time.Time) <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		for {
			left := limit - l.alone(after)
			if left <= 0 {
				close(closed)
				return
			}
			select {
			case <-time.After(max(left, time.Millisecond)):
			case <-ctx.Done():
				return
			}
		}
	}()
	return closed
}
