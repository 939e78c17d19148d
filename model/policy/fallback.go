package policy

import (
	"sync"
	"time"
)

// lastGood keeps the last good answer for a fallback.
type lastGood struct {
	mu   sync.Mutex
	have bool
	body []byte
	at   time.Duration
}

// Remember keeps a good answer if the fallback is of kind LastGood. It copies the
// body.
func (c *Caller) Remember(body []byte, now time.Duration) {
	if f := c.policy.Fallback; f == nil || f.Kind != LastGood {
		return
	}
	c.last.mu.Lock()
	defer c.last.mu.Unlock()
	c.last.have, c.last.at = true, now
	c.last.body = append(c.last.body[:0], body...)
}

// An Answer is the answer of a fallback. Age is how old it is; 0 if it was not
// remembered.
type Answer struct {
	Body []byte
	Age  time.Duration
}

// Fallback returns the answer that replaces a failed one. It returns false if the
// call has no fallback, or no remembered answer that is young enough.
func (c *Caller) Fallback(now time.Duration) (Answer, bool) {
	f := c.policy.Fallback
	if f == nil {
		return Answer{}, false
	}
	switch f.Kind {
	case FixedFallback:
		return Answer{Body: []byte(f.Value)}, true
	case LastGood:
		c.last.mu.Lock()
		defer c.last.mu.Unlock()
		age := now - c.last.at
		if !c.last.have || f.MaxAge > 0 && age > f.MaxAge.Std() {
			return Answer{}, false
		}
		return Answer{Body: append([]byte(nil), c.last.body...), Age: age}, true
	default: // EmptyFallback
		return Answer{}, true
	}
}
