package emulate

import (
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/engine"
)

// stage is what the packets of several channels pass one after the other. Its
// engine knows packets by tickets, because ids repeat between queues.
type stage struct {
	engine  *engine.Engine
	waiting map[uint32]staged
	ticket  uint32
	closing bool // gets no new packets and ends when it is empty
}

// staged is a packet in a stage, and where it goes on.
type staged struct {
	channel *channel
	place   int // of the stage among those of its channel
	id      uint32
}

func newStage(i netfault.Impairment, stream uint64, now int64) *stage {
	return &stage{engine: engine.New(i, stream, now), waiting: map[uint32]staged{}}
}

// offer hands a packet over; it is lost if the result is false.
func (s *stage) offer(now int64, p engine.Packet, c *channel, place int) bool {
	id := p.ID
	s.ticket++
	p.ID = s.ticket
	if !s.engine.Offer(now, p) {
		return false
	}
	s.waiting[s.ticket] = staged{c, place, id}
	return true
}

// collect forgets a packet that leaves, and gives it back the id that its channel
// knows.
func (s *stage) collect(p engine.Packet) (engine.Packet, staged) {
	to := s.waiting[p.ID]
	delete(s.waiting, p.ID)
	to.channel.staged--
	p.ID = to.id
	return p, to
}

// release passes the packets on that are due, a burst at most.
func (s *stage) release(now int64) {
	for range burst {
		p, ok := s.engine.Take(now)
		if !ok {
			return
		}
		p, to := s.collect(p)
		to.channel.pass(now, p, to.place+1)
	}
}

// flush lets everything go, due or not, past the engines of its channels.
func (s *stage) flush() {
	for n := 1; ; n++ {
		p, ok := s.engine.Flush()
		if !ok {
			return
		}
		p, to := s.collect(p)
		to.channel.send(p)
		if n%burst == 0 {
			to.channel.sendOut()
			pause()
		}
	}
}
