package engine

import (
	"math"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// slot lets packets leave in bursts, with pauses between them.
type slot struct {
	used           bool
	random         source
	config         netfault.Slot
	pause          spread
	next           int64 // when the slot opens
	packets, bytes int32 // what may still leave in it
}

func newSlot(c netfault.Slot, r source, now int64) slot {
	if c == (netfault.Slot{}) {
		return slot{}
	}
	unbounded := func(n *int32) {
		if *n == 0 {
			*n = math.MaxInt32
		}
	}
	unbounded(&c.Packets)
	unbounded(&c.Bytes)
	return slot{
		used: true, random: r, config: c, next: now, packets: c.Packets, bytes: c.Bytes,
		pause: newSpread(c.Delay, c.Jitter, c.Distribution, 0, r),
	}
}

// advance draws the pause to the next slot.
func (s *slot) advance(now int64) {
	if s.config.Delay > 0 {
		s.next = now + s.pause.next()
	} else {
		width := float64(s.config.MaxDelay - s.config.MinDelay)
		s.next = now + int64(s.config.MinDelay) + int64(s.random.Float64()*width)
	}
	s.packets, s.bytes = s.config.Packets, s.config.Bytes
}

// spend takes a packet out of the open slot.
func (s *slot) spend(now int64, length int32) {
	s.packets--
	s.bytes -= length
	if s.packets <= 0 || s.bytes <= 0 {
		s.advance(now)
	}
}
