// Package des is the kernel of simulations by events: a queue of events in the
// order of their times, and the resources that jobs share. It has no clock, no
// goroutine, and no pointer in its state, so a copy of a kernel is a simulation
// that goes on by itself.
//
// An executor schedules events, and handles one after another:
//
//	k := des.New[event]()
//	k.After(time.Second, event{...})
//	for e, ok := k.Next(until); ok; e, ok = k.Next(until) {
//		handle e, and schedule what follows
//	}
//
// Events of one time come in the order in which they were scheduled, so a
// simulation takes the same course each time.
package des

import (
	"math"
	"time"
)

// Never is later than any time. An event scheduled for it never happens.
const Never = time.Duration(math.MaxInt64)

// A Kernel orders events of type E, which should be small and hold no pointers.
// Times are counted from its start.
//
// Most events that are pending at any one time are timeouts of a few lengths.
// Those of one length come in the order in which they are set, so they wait in a
// lane, which is a ring, and only the first of each lane is in the heap.
// BenchmarkQueues has the figures that decided for this over other queues.
type Kernel[E any] struct {
	now   int64
	seq   uint64
	fired uint64
	heap  []entry
	lanes []lane
	slots []slot[E]
	// free is the first of the free slots, from 1; 0 means that there is none.
	free int32
	live int
	// dead counts the entries of the heap, but for those of lanes, that were
	// cancelled.
	dead int
}

// An entry stands for a scheduled event. It is dead if its slot has another
// sequence number: the event was cancelled.
type entry struct {
	at   int64
	seq  uint64
	slot int32
	lane int32 // from 1; 0 means none
}

// before orders entries by time, and those of one time by their sequence.
func (e *entry) before(o *entry) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// A slot holds an event; seq is 0 while it is free, and next then the next that
// is free.
type slot[E any] struct {
	seq  uint64
	lane int32
	next int32
	e    E
}

// A lane is a ring of entries whose times rise.
type lane struct {
	delay    int64
	ring     []entry
	first, n int
	dead     int
}

// A Timer names a scheduled event. The zero Timer names none.
type Timer struct {
	seq  uint64
	slot int32
}

// A Lane names a delay that many events have.
type Lane int32

// New returns a kernel without events, at time 0.
func New[E any]() *Kernel[E] { return &Kernel[E]{} }

// Now is the time of the event that Next has returned last, or what Advance has
// set since.
func (k *Kernel[E]) Now() time.Duration { return time.Duration(k.now) }

// Len is how many events are scheduled.
func (k *Kernel[E]) Len() int { return k.live }

// Fired counts the events that Next has returned.
func (k *Kernel[E]) Fired() uint64 { return k.fired }

// At schedules an event. One for a time that is over comes next; one for Never
// is not scheduled.
func (k *Kernel[E]) At(at time.Duration, e E) Timer {
	if at == Never {
		return Timer{}
	}
	en := k.take(max(int64(at), k.now), 0, e)
	k.push(en)
	return Timer{en.seq, en.slot}
}

// After schedules an event after a delay. A time past the end of the clock, 292
// years, is Never.
func (k *Kernel[E]) After(d time.Duration, e E) Timer {
	at := k.now + max(int64(d), 0)
	if at < k.now {
		return Timer{}
	}
	return k.At(time.Duration(at), e)
}

// Lane returns a lane for events of one delay, which must not be negative. Each
// call makes another lane: ask once for each delay, and keep what it returns.
func (k *Kernel[E]) Lane(delay time.Duration) Lane {
	k.lanes = append(k.lanes, lane{delay: int64(delay)})
	return Lane(len(k.lanes))
}

// In schedules an event after the delay of a lane.
func (k *Kernel[E]) In(l Lane, e E) Timer {
	ln := &k.lanes[l-1]
	at := k.now + ln.delay
	if at < k.now {
		return Timer{}
	}
	en := k.take(at, int32(l), e)
	if ln.n == 0 {
		k.push(en)
	}
	ln.add(en)
	return Timer{en.seq, en.slot}
}

// InOrder schedules an event in a lane whose times mostly rise, such as that of
// deadlines which requests inherit. One that is earlier than the last of the lane
// goes to the heap instead.
func (k *Kernel[E]) InOrder(l Lane, at time.Duration, e E) Timer {
	ln := &k.lanes[l-1]
	if at == Never || ln.n > 0 && ln.ring[(ln.first+ln.n-1)&(len(ln.ring)-1)].at > int64(at) {
		return k.At(at, e)
	}
	en := k.take(max(int64(at), k.now), int32(l), e)
	if ln.n == 0 {
		k.push(en)
	}
	ln.add(en)
	return Timer{en.seq, en.slot}
}

// take fills a slot, and returns the entry for it.
func (k *Kernel[E]) take(at int64, lane int32, e E) entry {
	k.seq++
	k.live++
	i := k.free - 1
	if i < 0 {
		i = int32(len(k.slots))
		k.slots = append(k.slots, slot[E]{})
	} else {
		k.free = k.slots[i].next
	}
	s := &k.slots[i]
	s.seq, s.lane, s.e = k.seq, lane, e
	return entry{at: at, seq: k.seq, slot: i, lane: lane}
}

// release frees a slot.
func (k *Kernel[E]) release(i int32) {
	s := &k.slots[i]
	var none E
	s.seq, s.e, s.next = 0, none, k.free
	k.free = i + 1
	k.live--
}

// Cancel takes an event back, and reports whether it was still to come.
func (k *Kernel[E]) Cancel(t Timer) bool {
	if t.seq == 0 || k.slots[t.slot].seq != t.seq {
		return false
	}
	l := k.slots[t.slot].lane
	k.release(t.slot)
	if l > 0 {
		ln := &k.lanes[l-1]
		if ln.dead++; ln.dead > 64 && ln.dead > ln.n/2 {
			k.compactLane(ln)
		}
		return true
	}
	if k.dead++; k.dead > 64 && k.dead > len(k.heap)/2 {
		k.compact()
	}
	return true
}

// Pending reports whether an event is still to come.
func (k *Kernel[E]) Pending(t Timer) bool { return t.seq != 0 && k.slots[t.slot].seq == t.seq }

func (k *Kernel[E]) isLive(e *entry) bool { return k.slots[e.slot].seq == e.seq }

// Next returns the next event that is not later than until, and moves the time
// to it. It returns false if there is none; the time then stays as it is.
func (k *Kernel[E]) Next(until time.Duration) (e E, ok bool) {
	for len(k.heap) > 0 {
		top := k.heap[0]
		live := k.isLive(&top)
		if live && top.at > int64(until) {
			return e, false
		}
		k.removeTop(&top)
		if live {
			e = k.slots[top.slot].e
			k.release(top.slot)
			k.now = top.at
			k.fired++
			return e, true
		}
	}
	return e, false
}

// NextAt is when the next event comes, or Never.
func (k *Kernel[E]) NextAt() time.Duration {
	for len(k.heap) > 0 {
		top := k.heap[0]
		if k.isLive(&top) {
			return time.Duration(top.at)
		}
		k.removeTop(&top)
	}
	return Never
}

// Advance moves the time on to a moment before which nothing happens. It does
// not go back.
func (k *Kernel[E]) Advance(to time.Duration) {
	k.now = max(k.now, min(int64(to), int64(k.NextAt())))
}

// removeTop takes the first entry off the heap. The next of its lane takes its
// place.
func (k *Kernel[E]) removeTop(top *entry) {
	dead := !k.isLive(top)
	if top.lane > 0 {
		ln := &k.lanes[top.lane-1]
		if dead {
			ln.dead--
		}
		ln.drop()
		if ln.n > 0 {
			k.sink(0, ln.ring[ln.first])
			return
		}
	} else if dead {
		k.dead--
	}
	last := len(k.heap) - 1
	e := k.heap[last]
	k.heap = k.heap[:last]
	if last > 0 {
		k.sink(0, e)
	}
}

// push adds an entry to the heap, whose nodes have four children each: fewer
// levels, and children that lie beside each other.
func (k *Kernel[E]) push(e entry) {
	k.heap = append(k.heap, e)
	i := len(k.heap) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&k.heap[parent]) {
			break
		}
		k.heap[i] = k.heap[parent]
		i = parent
	}
	k.heap[i] = e
}

// sink puts an entry at a place or below it.
func (k *Kernel[E]) sink(i int, e entry) {
	h := k.heap
	for {
		c := 4*i + 1
		if c >= len(h) {
			break
		}
		least := c
		for o := c + 1; o < min(c+4, len(h)); o++ {
			if h[o].before(&h[least]) {
				least = o
			}
		}
		if !h[least].before(&e) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = e
}

// compact takes dead entries out of the heap.
func (k *Kernel[E]) compact() {
	kept := k.heap[:0]
	for _, e := range k.heap {
		if e.lane > 0 || k.isLive(&e) {
			kept = append(kept, e)
		}
	}
	k.heap, k.dead = kept, 0
	for i := (len(kept) - 2) / 4; i >= 0; i-- {
		k.sink(i, kept[i])
	}
}

func (l *lane) add(e entry) {
	if l.n == len(l.ring) {
		grown := make([]entry, max(16, 2*l.n))
		for i := range l.n {
			grown[i] = l.ring[(l.first+i)&(len(l.ring)-1)]
		}
		l.ring, l.first = grown, 0
	}
	l.ring[(l.first+l.n)&(len(l.ring)-1)] = e
	l.n++
}

func (l *lane) drop() {
	l.first = (l.first + 1) & (len(l.ring) - 1)
	l.n--
}

// compactLane takes dead entries out of a lane, but for the first, which is in
// the heap.
func (k *Kernel[E]) compactLane(l *lane) {
	mask := len(l.ring) - 1
	kept := 1
	for i := 1; i < l.n; i++ {
		if e := l.ring[(l.first+i)&mask]; k.isLive(&e) {
			l.ring[(l.first+kept)&mask] = e
			kept++
		}
	}
	l.n, l.dead = kept, 0
	if !k.isLive(&l.ring[l.first]) {
		l.dead = 1
	}
}

// Clone returns a copy that goes on by itself. Timers and lanes of the one are
// also those of the other.
func (k *Kernel[E]) Clone() *Kernel[E] {
	c := *k
	c.heap = append([]entry(nil), k.heap...)
	c.slots = append([]slot[E](nil), k.slots...)
	c.lanes = append([]lane(nil), k.lanes...)
	for i := range c.lanes {
		c.lanes[i].ring = append([]entry(nil), c.lanes[i].ring...)
	}
	return &c
}
