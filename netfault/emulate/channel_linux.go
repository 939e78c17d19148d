package emulate

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/engine"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/nfqueue"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/packet"
)

// channel carries the packets of one class from its queue through the stages
// that it shares with others, and then through its own engine.
type channel struct {
	sock    *nfqueue.Socket
	stages  []*stage
	engine  *engine.Engine
	staged  int // packets that wait in stages
	device  device
	whole   bool // the payload is needed
	ingress bool
	inject  *injector
	// closing channels get no new packets and end when they are empty.
	closing bool
	count   Counts
	err     error // the first failure that was not about a single packet
}

// parts are what the packets of a class meet, one after the other.
type parts []netfault.Impairment

func (p parts) any(f func(netfault.Impairment) bool) bool { return slices.ContainsFunc(p, f) }

// needPayload tells whether packets are changed or copied, so that all of
// their bytes must come to this process and go back.
func (p parts) needPayload() bool {
	return p.any(func(i netfault.Impairment) bool {
		return i.Duplicate.Probability > 0 || i.Corrupt.Probability > 0 || i.ECN
	})
}

// hold tells whether packets wait for anything.
func (p parts) hold() bool {
	return p.any(func(i netfault.Impairment) bool {
		return i.Delay > 0 || i.Rate.BytesPerSecond > 0 || i.Slot != netfault.Slot{}
	})
}

// takeWhole tells whether it makes no difference if packets of bulk transfers
// come in pieces of up to 64 KB: all of a piece would fare alike.
func (p parts) takeWhole() bool {
	return !p.any(func(i netfault.Impairment) bool {
		i = netfault.Impairment{
			Loss: i.Loss, Duplicate: i.Duplicate, Corrupt: i.Corrupt, Reorder: i.Reorder, Rate: i.Rate, Slot: i.Slot, Jitter: i.Jitter,
		}
		return !i.IsZero()
	})
}

// spare is how many packets more may wait than the delay needs, for times when
// this process does not get a processor.
const spare = 16384

// withLimit settles how many packets may wait. Where a rate makes them wait the
// bound is part of what was asked for; where only a delay does, none shall be lost.
func withLimit(i netfault.Impairment) netfault.Impairment {
	limit := i.QueueLimit()
	if i.Limit == 0 && i.Rate.BytesPerSecond == 0 {
		limit += spare
	}
	i.Limit = limit
	return i
}

// queueOptions returns how a queue for a class must be set up.
func (p parts) queueOptions() (copyRange, maxLength, flags uint32) {
	flags = nfqueue.FailOpen
	if p.takeWhole() {
		flags |= nfqueue.WholeGSO
	}
	switch {
	case p.needPayload():
		copyRange = 0xffff
	case p.any(func(i netfault.Impairment) bool { return i.Rate.BytesPerSecond > 0 || i.Slot.Bytes > 0 }):
		copyRange = 1 // the full length comes with a cut payload
	}
	// The engines drop what is over their limits; the kernel's bound lies beyond
	// them and acts only if this process cannot follow.
	maxLength = spare
	for _, i := range p {
		maxLength += i.QueueLimit()
	}
	return copyRange, maxLength, flags
}

// receive takes what has come, at most a few batches so that other channels
// get their turn.
func (c *channel) receive(l *loop) {
	r := l.light
	if c.whole {
		r = l.heavyReader()
	}
	for range 4 {
		n, err := r.Read(c.sock)
		if errors.Is(err, unix.ENOBUFS) {
			c.count.Overruns++ // what did not fit has passed unimpaired
			continue
		}
		if err != nil {
			c.fail(err)
			return
		}
		now := l.now()
		for m := range n {
			c.offerAll(now, r.Message(m))
		}
		if n < r.Size() {
			return
		}
	}
}

func (c *channel) offerAll(now int64, b []byte) {
	for len(b) > 0 {
		m, rest, err := nfqueue.Parse(b)
		if err != nil {
			c.fail(err)
			return
		}
		b = rest
		if m.IsPacket {
			c.offer(now, m)
		} else if m.Errno != 0 {
			c.count.Stale++ // a verdict about a packet that the kernel has dropped
		}
	}
}

func (c *channel) offer(now int64, m nfqueue.Message) {
	c.count.Packets++
	p := engine.Packet{ID: m.ID, Mark: m.Mark, Length: int32(m.Length + c.device.overhead)}
	if c.whole {
		p.Data = append(make([]byte, 0, len(m.Payload)), m.Payload...)
		p.ECNCapable = packet.ECNCapable(p.Data)
	}
	c.pass(now, p, 0)
}

// pass hands a packet to the stage of that place, or past the last to the
// class's own engine.
func (c *channel) pass(now int64, p engine.Packet, place int) {
	if place < len(c.stages) {
		if c.stages[place].offer(now, p, c, place) {
			c.staged++
			return
		}
	} else if c.engine.Offer(now, p) {
		return
	}
	c.sock.Verdict(p.ID, nfqueue.Drop)
}

// held returns how many packets wait, in stages or behind them.
func (c *channel) held() int { return c.staged + c.engine.Held() }

// burst is how many packets are let go at once. Where the kernel puts what
// they cause on a thread of its own, that one must get its turn, or the backlog
// behind the interface overflows.
const burst = 512

// release lets the packets go that are due, a burst at most.
func (c *channel) release(now int64) {
	for range burst {
		due, _ := c.engine.Next()
		p, ok := c.engine.Take(now)
		if !ok {
			break
		}
		if due > 0 {
			c.count.late(now - due)
		}
		c.send(p)
	}
	c.sendOut()
}

// sendOut sends the verdicts that are collected.
func (c *channel) sendOut() {
	if err := c.sock.Flush(); err != nil {
		c.fail(err)
	}
}

// flush lets everything go that is past the stages, due or not.
func (c *channel) flush() {
	for n := 1; ; n++ {
		p, ok := c.engine.Flush()
		if !ok {
			break
		}
		c.send(p)
		if n%burst == 0 {
			c.sendOut()
			pause()
		}
	}
	c.sendOut()
}

func (c *channel) send(p engine.Packet) {
	changed := false
	if p.Data != nil && (p.Corrupt || p.MarkCE) {
		p.Data = append([]byte(nil), p.Data...) // copies share the bytes
		if p.MarkCE {
			packet.MarkCE(p.Data)
			changed = true
		}
		if p.Corrupt {
			changed = packet.FlipBit(p.Data, p.Random) || changed
		}
	}
	switch {
	case p.Copy:
		if err := c.inject.send(p.Data, c.ingress, c.device); err != nil {
			c.count.NotCopied++
		}
		return
	case changed:
		c.sock.AcceptAs(p.ID, p.Mark&^markCopy, p.Data)
	case p.Mark&markCopy != 0:
		c.sock.AcceptAs(p.ID, p.Mark&^markCopy, nil)
	default:
		c.sock.Verdict(p.ID, nfqueue.Accept)
	}
	if c.sock.Full() {
		c.sendOut()
	}
}

func (c *channel) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// originals decides about the packets whose copies are held back: they pass
// marked, to be dropped behind netfilter, or are dropped here.
type originals struct {
	sock   *nfqueue.Socket
	marked bool
}

func (o *originals) receive(l *loop) error {
	last, found := uint32(0), false
	for range 8 {
		n, err := l.light.Read(o.sock)
		if errors.Is(err, unix.ENOBUFS) {
			continue
		}
		if err != nil {
			return err
		}
		for k := range n {
			if m, _, err := nfqueue.Parse(l.light.Message(k)); err == nil && m.IsPacket {
				last, found = m.ID, true
			}
		}
		if n < l.light.Size() {
			break
		}
	}
	if !found {
		return nil
	}
	if o.marked {
		o.sock.VerdictUpTo(last, nfqueue.Accept, markOriginal)
	} else {
		o.sock.VerdictUpTo(last, nfqueue.Drop, 0)
	}
	return o.sock.Flush()
}
