package loadgen

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/load"
)

// A crowd is the users of one phase of a closed loop.
type crowd struct {
	*running
	index    int
	phase    *load.Phase
	key      dist.Key
	start    time.Time
	end      time.Time
	sleepers chan struct{}

	stop   chan struct{} // closed when the phase ends
	full   chan struct{} // closed when Count requests have begun
	count  int64         // of requests of this share, where the phase has a Count
	begun  atomic.Int64
	wanted atomic.Int64 // users 0 to wanted-1 go on
	mu     sync.Mutex
	users  []*user // of the share
}

type user struct {
	number  int
	present bool
	next    int // number of the next request; nobody else's while present
}

// maxSleepers bounds the threads that wait exactly for the beats of users.
const maxSleepers = 16

// joining is how long after the start of its phase a user belongs to those that
// were there from the start; whoever comes later begins when it comes.
const joining = 250 * time.Millisecond

// runClosed lets the users of a closed loop send, and returns when the phase
// ended. Their last requests may still be under way then.
func (l *running) runClosed(index int, start time.Time) time.Time {
	phase := &l.profile.Phases[index]
	c := &crowd{
		running: l, index: index, phase: phase, key: load.PhaseKey(l.seed, index), start: start,
		end: start.Add(math.MaxInt64), count: int64(l.share.count(phase)), sleepers: make(chan struct{}, maxSleepers),
		stop: make(chan struct{}), full: make(chan struct{}),
	}
	defer close(c.stop)
	if phase.Count > 0 && c.count == 0 {
		return start // others have all the users
	}
	if phase.Duration > 0 {
		c.end = start.Add(phase.Duration.Std())
	}
	for {
		f, changed := l.control.now()
		now := max(time.Since(start), 0)
		c.resize(scaled(phase.UsersAt(now), f.users, load.MaxUsers))
		until := c.end
		if at, ok := phase.NextChange(now); ok {
			until = start.Add(at)
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-timer.C:
		case <-changed:
		case <-c.full:
		case <-l.ctx.Done():
		}
		timer.Stop()
		switch now := time.Now(); {
		case l.ctx.Err() != nil, isClosed(c.full):
			return now
		case !now.Before(c.end):
			return c.end
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// resize lets users come until there are n. Those beyond n go by themselves.
func (c *crowd) resize(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted.Store(int64(n))
	own := c.share.first(n)
	for len(c.users) < own {
		c.users = append(c.users, &user{number: c.share.number(len(c.users))})
	}
	for _, u := range c.users[:own] {
		if !u.present {
			u.present = true
			c.wg.Go(func() { c.use(u) })
		}
	}
}

// leaves reports whether a user has to go, and takes that down.
func (c *crowd) leaves(u *user) bool {
	if int64(u.number) < c.wanted.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u.present = int64(u.number) < c.wanted.Load()
	return !u.present
}

// use is the life of one user.
func (c *crowd) use(u *user) {
	s := c.newSender()
	defer s.close()
	first := c.start
	if now := time.Now(); u.next > 0 || now.Sub(first) > joining {
		first = now
	}
	first = first.Add(c.phase.FirstBeat(u.number, len(c.sources)))
	for due := first; !c.leaves(u); {
		if c.phase.Every > 0 && !waitUntil(c.ctx, due, c.stop, c.sleepers) {
			return
		}
		if isClosed(c.stop) || c.ctx.Err() != nil || !due.Before(c.end) || !c.mayBegin() {
			return
		}
		key := load.UserKey(c.key, u.number, u.next)
		request := u.number % len(c.sources)
		if !c.phase.Each {
			request = c.mix.Pick(key)
		}
		end := s.send(&job{phase: c.index, request: request, intended: due, arrival: key})
		u.next++
		if due = c.after(key, first, end); due.IsZero() {
			return
		}
	}
}

// mayBegin counts a request, and is false beyond Count.
func (c *crowd) mayBegin() bool {
	if c.phase.Count == 0 {
		return true
	}
	n := c.begun.Add(1)
	if n == c.count {
		close(c.full)
	}
	return n <= c.count
}

// after returns when a user whose answer came at end sends the next request. A
// user without a beat has no schedule to be late for: the next request is due
// when its time of thinking is over. Zero means never.
func (c *crowd) after(key dist.Key, first, end time.Time) time.Time {
	if every := c.phase.Every.Std(); every > 0 {
		return first.Add(load.NextBeat(0, every, end.Sub(first)+1))
	}
	think := c.phase.ThinkTime(key)
	if think <= 0 {
		return end
	}
	if !pause(c.ctx, think, c.stop) {
		return time.Time{}
	}
	return time.Now()
}
