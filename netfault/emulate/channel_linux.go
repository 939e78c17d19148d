package emulate

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/engine"
)

// channel carries the packets of one class from its queue through its engine.
type channel struct {
	sock    *socket
	engine  *engine.Engine
	device  device
	whole   bool // the payload is needed
	ingress bool
	inject  *injector
	// closing channels get no new packets and end when they are empty.
	closing bool
	count   Counts
	err     error // the first failure that was not about a single packet
}

// needsPayload tells whether packets are changed or copied, so that all of
// their bytes must come to this process and go back.
func needsPayload(i netfault.Impairment) bool {
	return i.Duplicate.Probability > 0 || i.Corrupt.Probability > 0 || i.ECN
}

// holds tells whether packets wait for anything.
func holds(i netfault.Impairment) bool {
	return i.Delay > 0 || i.Rate.BytesPerSecond > 0 || i.Slot != netfault.Slot{}
}

// takesWhole tells whether it makes no difference if packets of bulk transfers
// come in pieces of up to 64 KB: all of a piece would fare alike.
func takesWhole(i netfault.Impairment) bool {
	i = netfault.Impairment{
		Loss: i.Loss, Duplicate: i.Duplicate, Corrupt: i.Corrupt, Reorder: i.Reorder, Rate: i.Rate, Slot: i.Slot, Jitter: i.Jitter,
	}
	return i.IsZero()
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

// queueOptions returns how a queue for the impairment must be set up.
func queueOptions(i netfault.Impairment) (copyRange, maxLength, flags uint32) {
	flags = queueFailOpen
	if takesWhole(i) {
		flags |= queueWholeGSO
	}
	switch {
	case needsPayload(i):
		copyRange = 0xffff
	case i.Rate.BytesPerSecond > 0 || i.Slot.Bytes > 0:
		copyRange = 1 // the full length comes with a cut payload
	}
	// The engine drops what is over the limit; the kernel's bound lies beyond
	// it and acts only if this process cannot follow.
	return copyRange, i.QueueLimit() + spare, flags
}

// receive takes what has come, at most a few batches so that other channels
// get their turn.
func (c *channel) receive(l *loop) {
	r := l.light
	if c.whole {
		r = l.heavyReader()
	}
	for range 4 {
		n, err := r.read(c.sock.fd)
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
			c.offerAll(now, r.message(m))
		}
		if n < len(r.headers) {
			return
		}
	}
}

func (c *channel) offerAll(now int64, b []byte) {
	for len(b) > 0 {
		m, rest, err := parseMessage(b)
		if err != nil {
			c.fail(err)
			return
		}
		b = rest
		if m.isPacket {
			c.offer(now, m)
		} else if m.errno != 0 {
			c.count.Stale++ // a verdict about a packet that the kernel has dropped
		}
	}
}

func (c *channel) offer(now int64, m message) {
	c.count.Packets++
	p := engine.Packet{ID: m.id, Mark: m.mark, Length: int32(m.length + c.device.overhead)}
	if c.whole {
		p.Data = append(make([]byte, 0, len(m.payload)), m.payload...)
		p.ECNCapable = ecnCapable(p.Data)
	}
	if !c.engine.Offer(now, p) {
		c.sock.out.verdict(c.sock.queue, m.id, verdictDrop)
	}
}

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
	if err := c.sock.flush(); err != nil {
		c.fail(err)
	}
}

// flush lets everything go, due or not.
func (c *channel) flush() {
	for n := 1; ; n++ {
		p, ok := c.engine.Flush()
		if !ok {
			break
		}
		c.send(p)
		if n%burst == 0 {
			if err := c.sock.flush(); err != nil {
				c.fail(err)
			}
			pause()
		}
	}
	if err := c.sock.flush(); err != nil {
		c.fail(err)
	}
}

func (c *channel) send(p engine.Packet) {
	changed := false
	if p.Data != nil && (p.Corrupt || p.MarkCE) {
		p.Data = append([]byte(nil), p.Data...) // copies share the bytes
		if p.MarkCE {
			markCE(p.Data)
			changed = true
		}
		if p.Corrupt {
			changed = flipBit(p.Data, p.Random) || changed
		}
	}
	switch {
	case p.Copy:
		if err := c.inject.send(p.Data, c.ingress, c.device); err != nil {
			c.count.NotCopied++
		}
		return
	case changed:
		c.sock.out.acceptAs(c.sock.queue, p.ID, p.Mark&^markCopy, p.Data)
	case p.Mark&markCopy != 0:
		c.sock.out.acceptAs(c.sock.queue, p.ID, p.Mark&^markCopy, nil)
	default:
		c.sock.out.verdict(c.sock.queue, p.ID, verdictAccept)
	}
	if len(c.sock.out.buf) >= flushAt {
		if err := c.sock.flush(); err != nil {
			c.fail(err)
		}
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
	sock   *socket
	marked bool
}

func (o *originals) receive(l *loop) error {
	last, found := uint32(0), false
	for range 8 {
		n, err := l.light.read(o.sock.fd)
		if errors.Is(err, unix.ENOBUFS) {
			continue
		}
		if err != nil {
			return err
		}
		for k := range n {
			if m, _, err := parseMessage(l.light.message(k)); err == nil && m.isPacket {
				last, found = m.id, true
			}
		}
		if n < len(l.light.headers) {
			break
		}
	}
	if !found {
		return nil
	}
	if o.marked {
		o.sock.out.verdictUpTo(o.sock.queue, last, verdictAccept, markOriginal)
	} else {
		o.sock.out.verdictUpTo(o.sock.queue, last, verdictDrop, 0)
	}
	return o.sock.flush()
}
