package gate

import (
	"net"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/relay"
)

// mayLeave reports whether no condition needs the data.
func (p *pair) mayLeave() bool {
	return relay.Available && !p.gate.datagrams && !p.closing.Load() && !p.stays.Load() &&
		len(p.toServer.direction.plan.Load().entries) == 0 &&
		len(p.toClient.direction.plan.Load().entries) == 0
}

func (p *pair) leave() {
	p.leaving.Store(true)
	p.toServer.kick()
	p.toClient.kick()
}

// relayed hands the sockets to the relay until it gives them back.
func (p *pair) relayed() {
	if err := p.gate.relay.Start(); err != nil {
		// Out of descriptors. Lanes need none.
		p.stays.Store(true)
		p.gate.log.Warn("relaying a connection: it is carried without the relay", "gate", p.gate.String(), "error", err)
		return
	}
	p.relaying.Store(true)
	defer p.relaying.Store(false)
	if err := p.carry(); err != nil {
		p.gate.log.Warn("relaying a connection", "gate", p.gate.String(), "error", err)
		p.end(endOrderly)
	}
}

// carry lets the relay carry the pair until both directions are finished, the pair ends,
// or a condition is set.
func (p *pair) carry() error {
	var halves [2]relay.Half
	for i, l := range p.lanes() {
		if !l.yield(&halves[i]) {
			return nil // there is something for the lanes after all
		}
	}
	sockets := p.sockets()
	conns := [2]net.Conn{sockets[0].conn(), sockets[1].conn()}
	c, err := p.gate.relay.Take(&conns, [2]*atomic.Int64{&p.toServer.bytes, &p.toClient.bytes})
	if err == nil {
		p.carried.Store(c)
		// A change of the plan, or an end of the pair, before the line above did
		// not reach c.
		if p.mayLeave() && !p.over() {
			p.carriedBy(c, &halves)
		}
		p.carried.Store(nil)
		err = c.GiveBack(&conns)
	}
	for i, s := range sockets {
		s.current.Store(&conns[i])
	}
	return err
}

// carriedBy empties the lanes into the relay, and takes back what it leaves.
func (p *pair) carriedBy(c *relay.Carried, halves *[2]relay.Half) {
	for i, l := range p.lanes() {
		if !halves[i].Shut {
			halves[i].Pending = l.queue.takeAll()
		}
	}
	switch err := c.Carry(halves); {
	case err != nil && isReset(err):
		p.end(endReset)
	case err != nil:
		p.end(endOrderly)
	}
	for i, l := range p.lanes() {
		l.takeBack(halves[i])
	}
}

// yield says in h how far the lane is, unless a stage is in force.
func (l *lane) yield(h *relay.Half) bool {
	l.follow()
	if len(l.slots) > 0 || !l.pair.mayLeave() {
		return false
	}
	h.EOF, h.Shut = l.noMore, l.done()
	return true
}

// takeBack goes on from where the relay has come. The lane's queue is empty.
func (l *lane) takeBack(h relay.Half) {
	if len(h.Pending) > 0 {
		l.queue.push(item{data: h.Pending})
	}
	switch {
	case h.Shut && !l.done():
		l.noMore = true
		close(l.finished)
	case h.EOF && !h.Shut:
		l.noMore = true
		l.queue.push(item{end: endOfData})
	}
}
