// Package outbox sends items of one kind to a receiver outside the program, some at a
// time and in their order. Those who add items do not wait for the receiver: what waits
// to be sent is bounded, and what does not fit is counted.
package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// Options say how much waits, and how long. Zero fields have good defaults.
type Options struct {
	// Queue is how many items may wait: 65536.
	Queue int
	// Most is how many items are sent at once: 2048.
	Most int
	// Every is how long an item waits for others at most: a second.
	Every time.Duration
	// Patience bounds the sending of what is left at the end: 10 s.
	Patience time.Duration
	// Pace has those who add items wait while there is no room, as long as the
	// receiver takes what it is sent: for items that are not of real time.
	Pace bool
}

func (o Options) withDefaults() Options {
	if o.Queue == 0 {
		o.Queue = 1 << 16
	}
	if o.Most == 0 {
		o.Most = 2048
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	return o
}

// An Answer is what a receiver says to items. The zero value says that it took all.
type Answer struct {
	// Refused is how many of the items it does not want, now or later.
	Refused int64
	// Again says that only the first Taken items were taken, and that the others may be
	// sent again, not before Wait is over.
	Again bool
	Taken int
	Wait  time.Duration
	// Trouble is what the receiver, or the way to it, says.
	Trouble error
}

// A Box sends items. Its methods may be called by several goroutines at once.
type Box[T any] struct {
	options Options
	send    func(context.Context, []T) Answer

	mu sync.Mutex
	// The fields below are guarded by mu. room is signalled when items have left
	// waiting, or when nobody is to wait for that.
	waiting []T
	room    *sync.Cond
	// failing says that the receiver did not take what it was sent last.
	failing, closed bool
	// under are those that are being sent.
	under  int
	counts result.SentCounts

	wake chan struct{}
	// hurry ends the waiting between two attempts, cut all sending.
	hurry chan struct{}
	cut   context.CancelFunc
	done  chan struct{}
}

// New begins to send by send, which one goroutine calls. It must return soon after its
// context has ended. Close must be called.
func New[T any](o Options, send func(context.Context, []T) Answer) *Box[T] {
	b := &Box[T]{options: o.withDefaults(), send: send, wake: make(chan struct{}, 1), hurry: make(chan struct{}), done: make(chan struct{})}
	b.room = sync.NewCond(&b.mu)
	var ctx context.Context
	ctx, b.cut = context.WithCancel(context.Background()) //nolint:gosec // Close calls it
	go b.run(ctx)
	return b
}

// Add takes items in. Those for which there is no room are counted as dropped.
func (b *Box[T]) Add(items ...T) {
	if len(items) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(items) > 0 {
		for b.options.Pace && len(b.waiting) >= b.options.Queue && !b.failing && !b.closed {
			b.room.Wait()
		}
		if b.closed {
			break
		}
		n := min(len(items), b.options.Queue-len(b.waiting))
		if n == 0 {
			break
		}
		b.waiting = append(b.waiting, items[:n]...)
		items = items[n:]
		if len(b.waiting) >= b.options.Most {
			b.wakeUp()
		}
	}
	b.counts.Dropped += int64(len(items))
}

func (b *Box[T]) wakeUp() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run sends until the box is closed and nothing is left, or all sending is cut.
func (b *Box[T]) run(ctx context.Context) {
	defer close(b.done)
	ticker := time.NewTicker(b.options.Every)
	defer ticker.Stop()
	for {
		ending := false
		select {
		case <-ticker.C:
		case <-b.wake:
		case <-b.hurry:
			ending = true
		}
		for {
			batch := b.take()
			if len(batch) == 0 {
				break
			}
			b.deliver(ctx, batch)
		}
		if ending {
			return
		}
	}
}

// take takes the first items off the queue.
func (b *Box[T]) take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), b.options.Most)
	batch := append([]T(nil), b.waiting[:n]...)
	rest := copy(b.waiting, b.waiting[n:])
	clear(b.waiting[rest:])
	b.waiting, b.under = b.waiting[:rest], n
	b.room.Broadcast()
	return batch
}

// The waits between two attempts to send the same.
const firstPause, longestPause = 250 * time.Millisecond, 5 * time.Second

// deliver sends items until the receiver has taken or refused them, or all sending is
// cut.
func (b *Box[T]) deliver(ctx context.Context, items []T) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if ctx.Err() != nil {
			b.note(int64(len(items)), 0, 0, nil)
			return
		}
		answer := b.send(ctx, items)
		if !answer.Again {
			refused := min(max(answer.Refused, 0), int64(len(items)))
			b.note(0, int64(len(items))-refused, refused, answer.Trouble)
			return
		}
		if answer.Taken > 0 {
			b.note(0, int64(answer.Taken), 0, nil)
			if items = items[answer.Taken:]; len(items) == 0 {
				return
			}
		}
		if ctx.Err() == nil { // otherwise the reason is our own
			b.fail(answer.Trouble)
		}
		timer := time.NewTimer(max(pause, answer.Wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// note counts what became of items.
func (b *Box[T]) note(dropped, sent, refused int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.under -= int(dropped + sent + refused)
	b.counts.Dropped += dropped
	b.counts.Sent += sent
	b.counts.Refused += refused
	if sent > 0 || refused > 0 {
		b.failing = false
	}
	if err != nil {
		b.counts.Trouble = err.Error()
	}
}

// fail notes that the receiver did not take items.
func (b *Box[T]) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing = true
	if err != nil {
		b.counts.Trouble = err.Error()
	}
	b.room.Broadcast()
}

// Close sends what is left, as far as the receiver takes it within the patience of the
// options or until ctx ends, and ends the sending.
func (b *Box[T]) Close(ctx context.Context) {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.room.Broadcast()
	b.mu.Unlock()
	if !closed {
		close(b.hurry)
	}
	late := time.NewTimer(b.options.Patience)
	defer late.Stop()
	select {
	case <-b.done:
	case <-late.C:
	case <-ctx.Done():
	}
	b.cut()
	<-b.done
}

// Sums says what has become of all items so far.
func (b *Box[T]) Sums() result.SentCounts {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := b.counts
	counts.Waiting = int64(len(b.waiting) + b.under)
	return counts
}
