package load

import (
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/exact"
)

// UsersAt returns the size of a closed loop at a time from the start of its
// phase. A ramp rounds to the nearest whole user.
func (p *Phase) UsersAt(at time.Duration) int {
	if p.UsersTo == nil || p.Duration <= 0 {
		return p.Users
	}
	share := min(max(float64(at)/float64(p.Duration), 0), 1)
	return int(math.Floor(exact.MulAdd(share, float64(*p.UsersTo-p.Users), float64(p.Users)) + 0.5))
}

// NextChange returns the first time after the given one at which UsersAt
// differs, and false if there is none before the end of the phase.
func (p *Phase) NextChange(after time.Duration) (at time.Duration, ok bool) {
	if p.UsersTo == nil || *p.UsersTo == p.Users || p.Duration <= 0 {
		return 0, false
	}
	users, span := p.UsersAt(after), float64(*p.UsersTo-p.Users)
	edge := float64(users) + 0.5
	if span < 0 {
		edge = float64(users) - 0.5
	}
	at = time.Duration(math.Ceil((edge - float64(p.Users)) / span * float64(p.Duration)))
	// Rounding may place the edge a nanosecond early or late.
	for at = max(at, after+1); at < p.Duration.Std() && p.UsersAt(at) == users; at++ {
	}
	for at-1 > after && p.UsersAt(at-1) != users {
		at--
	}
	return at, at < p.Duration.Std()
}

// ThinkTime returns how long a user waits after the answer to the request of a
// key.
func (p *Phase) ThinkTime(key dist.Key) time.Duration { return p.Think.Draw(key.With("think")) }

// NextBeat returns a user's first beat at or after a time. The beats come at a
// fixed interval from the first one on. The user thereby skips the beats that come
// during the wait for an answer.
func NextBeat(first, every, now time.Duration) time.Duration {
	if now <= first {
		return first
	}
	return first + (now-first+every-1)/every*every
}

// FirstBeat returns when a user with a fixed beat begins. All users begin at once.
// But if the users are dealt several requests, the users of each request begin a
// share of the beat after those of the previous request, to spread the load.
func (p *Phase) FirstBeat(user, requests int) time.Duration {
	if !p.Each || p.Every <= 0 || requests < 2 {
		return 0
	}
	return time.Duration(user%requests) * p.Every.Std() / time.Duration(requests)
}
