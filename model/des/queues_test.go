package des

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"testing"
	"time"
)

// The queues below are the ones that were measured before one was chosen; see
// BenchmarkQueues. They hold bare entries, without the slab that makes events
// cancellable, so that their figures are comparable with each other.

// A queue orders entries by time, and those of one time by their sequence.
type queue interface {
	push(e entry)
	pop() (entry, bool)
}

// binaryHeap is container/heap on pointers' interface values, the usual choice.
type binaryHeap []entry

func (h binaryHeap) Len() int           { return len(h) }
func (h binaryHeap) Less(i, j int) bool { return h[i].before(&h[j]) }
func (h binaryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *binaryHeap) Push(x any)        { *h = append(*h, x.(entry)) }
func (h *binaryHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
func (h *binaryHeap) push(e entry) { heap.Push(h, e) }
func (h *binaryHeap) pop() (entry, bool) {
	if len(*h) == 0 {
		return entry{}, false
	}
	return heap.Pop(h).(entry), true
}

// quadHeap is a heap of values whose nodes have four children.
type quadHeap []entry

func (h *quadHeap) push(e entry) {
	list := append(*h, e)
	i := len(list) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&list[parent]) {
			break
		}
		list[i] = list[parent]
		i = parent
	}
	list[i] = e
	*h = list
}

func (h *quadHeap) pop() (entry, bool) {
	list := *h
	if len(list) == 0 {
		return entry{}, false
	}
	top := list[0]
	last := list[len(list)-1]
	list = list[:len(list)-1]
	*h = list
	if len(list) > 0 {
		list.sink(0, last)
	}
	return top, true
}

func (h quadHeap) sink(i int, e entry) {
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if h[c].before(&h[least]) {
				least = c
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

// lanes is a quadHeap in which only the first of all events of one delay stands.
type lanes struct {
	heap  quadHeap
	fifos []fifo
}

type fifo struct {
	ring     []entry
	first, n int
}

func (f *fifo) add(e entry) {
	if f.n == len(f.ring) {
		grown := make([]entry, max(16, 2*f.n))
		for i := range f.n {
			grown[i] = f.ring[(f.first+i)&(len(f.ring)-1)]
		}
		f.ring, f.first = grown, 0
	}
	f.ring[(f.first+f.n)&(len(f.ring)-1)] = e
	f.n++
}

// pushLane takes an entry whose slot is the number of its lane.
func (l *lanes) pushLane(e entry) {
	f := &l.fifos[e.slot]
	if f.n == 0 {
		l.heap.push(e)
	}
	f.add(e)
}

func (l *lanes) push(e entry) { l.pushLane(e) }

func (l *lanes) pop() (entry, bool) {
	if len(l.heap) == 0 {
		return entry{}, false
	}
	top := l.heap[0]
	f := &l.fifos[top.slot]
	f.first = (f.first + 1) & (len(f.ring) - 1)
	if f.n--; f.n > 0 {
		l.heap.sink(0, f.ring[f.first])
		return top, true
	}
	l.heap.pop()
	return top, true
}

// calendar is Brown's calendar queue with days of a fixed width, sorted when
// their turn comes (Brown, Calendar Queues, CACM 31, 1988).
type calendar struct {
	width int64
	days  [][]entry
	today int64
	n     int
}

func newCalendar(width int64, days int) *calendar {
	return &calendar{width: width, days: make([][]entry, days)}
}

func (c *calendar) push(e entry) {
	day := &c.days[int(e.at/c.width)%len(c.days)]
	i := len(*day)
	*day = append(*day, e)
	for i > 0 && (*day)[i-1].before(&e) { // the earliest stands last
		(*day)[i] = (*day)[i-1]
		i--
	}
	(*day)[i] = e
	c.n++
}

func (c *calendar) pop() (entry, bool) {
	if c.n == 0 {
		return entry{}, false
	}
	for {
		day := &c.days[int(c.today)%len(c.days)]
		if k := len(*day); k > 0 && (*day)[k-1].at/c.width <= c.today {
			e := (*day)[k-1]
			*day = (*day)[:k-1]
			c.n--
			return e, true
		}
		c.today++
	}
}

// radixQueue wraps the one that was chosen.
type radixQueue struct{ radix }

func (r *radixQueue) push(e entry) { r.radix.push(e) }
func (r *radixQueue) pop() (entry, bool) {
	return r.radix.pop(int64(1)<<62, func(entry) bool { return true })
}

// TestQueuesAgree holds each candidate to the order of a sorted list.
func TestQueuesAgree(t *testing.T) {
	for name, make := range queues() {
		q := make()
		random := uint64(1)
		var want []entry
		now := int64(0)
		seq := uint64(0)
		for range 2000 {
			random = random*6364136223846793005 + 1442695040888963407
			if random>>62 != 0 || len(want) == 0 {
				e := entry{at: now + int64(random>>40%50), seq: seq}
				seq++
				q.push(e)
				want = append(want, e)
				continue
			}
			slices.SortFunc(want, func(a, b entry) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
			got, _ := q.pop()
			if got != want[0] {
				t.Fatalf("%s: popped %v, want %v", name, got, want[0])
			}
			now, want = got.at, want[1:]
		}
	}
}

func queues() map[string]func() queue {
	return map[string]func() queue{
		"binary heap, container/heap": func() queue { return &binaryHeap{} },
		"4-ary heap of values":        func() queue { return &quadHeap{} },
		"calendar, tuned":             func() queue { return newCalendar(20, 1<<15) },
		"radix":                       func() queue { return &radixQueue{} },
	}
}

// BenchmarkQueues is the hold model (Jones, An Empirical Comparison of
// Priority-Queue Algorithms, CACM 29, 1986): as many events as are pending are
// scheduled once; then each that fires is scheduled again. The delays are random
// (exponential), or equal as those of timeouts are.
func BenchmarkQueues(b *testing.B) {
	names := []string{"binary heap, container/heap", "4-ary heap of values", "calendar, tuned", "radix"}
	for _, pending := range []int{100, 10_000, 1_000_000} {
		for _, name := range names {
			b.Run(name+"/random/"+itoa(pending), func(b *testing.B) { hold(b, queues()[name](), pending, randomDelay, 0) })
		}
		for _, name := range names[1:] {
			b.Run(name+"/equal/"+itoa(pending), func(b *testing.B) { hold(b, queues()[name](), pending, equalDelay, 0) })
		}
		b.Run("4-ary heap and lanes/equal/"+itoa(pending), func(b *testing.B) {
			hold(b, &lanes{fifos: make([]fifo, 8)}, pending, equalDelay, 8)
		})
	}
}

func itoa(n int) string {
	switch n {
	case 100:
		return "100"
	case 10_000:
		return "10k"
	}
	return "1M"
}

// randomDelays is a table, so that no logarithm is measured.
var randomDelays = func() (delays [4096]int64) {
	for i := range delays {
		delays[i] = exponential(uint64(i), 1e6)
	}
	return delays
}()

func randomDelay(i int) int64 { return randomDelays[i&4095] }

func equalDelay(i int) int64 { return 1_000_000 + 300_000*int64(i&7) }

func hold(b *testing.B, q queue, pending int, delay func(i int) int64, laneCount int) {
	now := int64(0)
	random := uint64(1)
	next := func() int {
		random = random*6364136223846793005 + 1442695040888963407
		return int(random >> 40)
	}
	add := func(seq int) {
		i := next()
		e := entry{at: now + delay(i), seq: uint64(seq)}
		if laneCount > 0 {
			e.slot = int32(i & 7)
		}
		q.push(e)
	}
	for i := range pending {
		now = int64(i) * 100
		add(i)
	}
	now = 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		e, _ := q.pop()
		now = e.at
		add(pending + i)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "M/s")
}

func exponential(i uint64, mean float64) int64 {
	z := (i + 1) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	u := float64((z^z>>31)>>11) / (1 << 53)
	return int64(-mean * math.Log1p(-u))
}

// BenchmarkKernel is the hold model on the kernel itself, with the mix of a
// system under load: nine of ten pending events are timeouts of a few lengths,
// which are cancelled when what they guard has ended.
func BenchmarkKernel(b *testing.B) {
	b.Run("random/10k", func(b *testing.B) {
		k := New[int32]()
		for i := range 10_000 {
			k.After(time.Duration(randomDelay(i)), int32(i))
		}
		b.ReportAllocs()
		b.ResetTimer()
		random := uint64(1)
		for range b.N {
			e, _ := k.Next(Never)
			random = random*6364136223846793005 + 1442695040888963407
			k.After(time.Duration(randomDelay(int(random>>40))), e)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "M/s")
	})
	b.Run("timeouts/10k", func(b *testing.B) {
		k := New[int32]()
		var lanes [8]Lane
		for i := range lanes {
			lanes[i] = k.Lane(time.Duration(10_000_000 + 1_000_000*i))
		}
		// Each job has an end and, in a lane, a timeout that it cancels; about
		// 1000 ends and 9000 timeouts, dead ones included, are pending.
		var guards [10_000]Timer
		for i := range int32(5000) {
			k.After(time.Duration(randomDelay(int(i))), i)
			guards[i] = k.In(lanes[i&7], -1)
		}
		b.ReportAllocs()
		b.ResetTimer()
		random := uint64(1)
		for n := 0; n < b.N; {
			e, _ := k.Next(Never)
			n++
			if e < 0 {
				continue
			}
			k.Cancel(guards[e])
			random = random*6364136223846793005 + 1442695040888963407
			k.After(time.Duration(randomDelay(int(random>>40))), e)
			guards[e] = k.In(lanes[e&7], -1)
			n++ // the timeout that was scheduled and cancelled
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "M/s")
	})
}
