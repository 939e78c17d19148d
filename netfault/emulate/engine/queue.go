package engine

// item is a packet with its time to send; equal times keep their order.
type item struct {
	due int64
	seq uint64
	Packet
}

func (a *item) before(b *item) bool { return a.due < b.due || a.due == b.due && a.seq < b.seq }

// queue orders packets by their time to send. Packets that come in order, as
// they do where there is no jitter, wait in a ring; the others in a heap.
type queue struct {
	seq  uint64
	ring ring
	late items
}

func (q *queue) len() int { return q.ring.count + len(q.late) }

func (q *queue) push(due int64, p Packet) {
	q.seq++
	it := item{due, q.seq, p}
	if q.ring.count == 0 || q.ring.tail().due <= due {
		q.ring.push(it)
		return
	}
	q.late.push(it)
}

// lateFirst tells whether the heap holds the next packet.
func (q *queue) lateFirst() bool {
	return len(q.late) > 0 && (q.ring.count == 0 || q.late[0].before(q.ring.head()))
}

func (q *queue) next() (due int64, ok bool) {
	switch {
	case q.lateFirst():
		return q.late[0].due, true
	case q.ring.count > 0:
		return q.ring.head().due, true
	}
	return 0, false
}

func (q *queue) pop() Packet {
	if q.lateFirst() {
		return q.late.pop().Packet
	}
	return q.ring.pop().Packet
}

// ring is a first-in-first-out queue; its size is a power of two.
type ring struct {
	items []item
	first int
	count int
}

func (r *ring) at(n int) *item { return &r.items[(r.first+n)&(len(r.items)-1)] }
func (r *ring) head() *item    { return r.at(0) }
func (r *ring) tail() *item    { return r.at(r.count - 1) }

func (r *ring) push(it item) {
	if r.count == len(r.items) {
		bigger := make([]item, max(64, 2*len(r.items)))
		for n := range r.count {
			bigger[n] = *r.at(n)
		}
		r.items, r.first = bigger, 0
	}
	r.count++
	*r.tail() = it
}

func (r *ring) pop() item {
	it := *r.head()
	r.head().Data = nil
	r.first = (r.first + 1) & (len(r.items) - 1)
	r.count--
	return it
}

// items is a binary heap by time to send. (container/heap would allocate for
// every packet.)
type items []item

func (h *items) push(it item) {
	*h = append(*h, it)
	s := *h
	for n := len(s) - 1; n > 0; {
		parent := (n - 1) / 2
		if !s[n].before(&s[parent]) {
			return
		}
		s[n], s[parent] = s[parent], s[n]
		n = parent
	}
}

func (h *items) pop() item {
	s := *h
	first, last := s[0], len(s)-1
	s[0], s[last] = s[last], item{}
	s = s[:last]
	*h = s
	for n := 0; ; {
		least := n
		for child := 2*n + 1; child <= 2*n+2 && child < last; child++ {
			if s[child].before(&s[least]) {
				least = child
			}
		}
		if least == n {
			return first
		}
		s[n], s[least] = s[least], s[n]
		n = least
	}
}
