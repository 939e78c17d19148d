package des

import "time"

// A Line is a server that does one job after another, first come first served,
// whose jobs say how long they take when they come: a link, a disk. It needs no
// events of its own.
type Line struct{ free, taken time.Duration }

// Take lines a job up, and returns when it ends.
func (l *Line) Take(now, service time.Duration) (end time.Duration) {
	l.free = max(l.free, now) + service
	l.taken += service
	return l.free
}

// Used is for how long the server has been busy until now, which must not be
// before the last job came.
func (l *Line) Used(now time.Duration) time.Duration { return l.taken - max(l.free-now, 0) }

// Free is when the last job ends.
func (l *Line) Free() time.Duration { return l.free }

// Servers are equal servers with one queue, first come first served. T is what
// the executor knows a job by; it is not a pointer.
type Servers[T any] struct {
	busy, count, room int
	ring              []T
	first, n          int
}

// NewServers returns so many servers and a queue with room for others; a negative
// room is without bound.
func NewServers[T any](count, room int) *Servers[T] { return &Servers[T]{count: count, room: room} }

// Enter takes a job. It is served at once if a server is free; else it waits, or
// is refused if the queue is full.
func (s *Servers[T]) Enter(job T) (served, refused bool) {
	if s.busy < s.count {
		s.busy++
		return true, false
	}
	if s.room >= 0 && s.n >= s.room {
		return false, true
	}
	if s.n == len(s.ring) {
		grown := make([]T, max(8, 2*s.n))
		for i := range s.n {
			grown[i] = s.ring[(s.first+i)&(len(s.ring)-1)]
		}
		s.ring, s.first = grown, 0
	}
	s.ring[(s.first+s.n)&(len(s.ring)-1)] = job
	s.n++
	return false, false
}

// Leave ends a job, and returns the one that is served next, if any waits.
func (s *Servers[T]) Leave() (next T, ok bool) {
	if s.n == 0 {
		s.busy--
		return next, false
	}
	next = s.ring[s.first]
	s.first = (s.first + 1) & (len(s.ring) - 1)
	s.n--
	return next, true
}

// Busy is how many servers have a job.
func (s *Servers[T]) Busy() int { return s.busy }

// Clone returns a copy that goes on by itself.
func (s *Servers[T]) Clone() *Servers[T] {
	c := *s
	c.ring = append([]T(nil), s.ring...)
	return &c
}
