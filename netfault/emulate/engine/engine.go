// Package engine decides what an impairment does to each packet, and when the
// packet leaves. The caller passes the time; the package does no input or
// output.
//
// The decisions follow sch_netem (tc-netem(8)) step by step: duplication, then
// loss, then corruption, then the limit, then reordering or delay and rate, and
// slots where packets leave. A random number is below a probability where
// netem's 32-bit number would be.
package engine

import (
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Packet is what an [Engine] knows of a packet.
type Packet struct {
	ID     uint32 // the caller's name for it
	Mark   uint32 // carried through for the caller
	Length int32  // bytes on the link, for rate and slots
	// ECNCapable tells whether the packet's flow understands congestion marks.
	ECNCapable bool
	// Data is carried through for the caller; copies share it.
	Data []byte

	// The decisions of the engine.
	Copy    bool   // a duplicate: the packet with this ID leaves on its own
	Corrupt bool   // flip the bit chosen by Random
	Random  uint32 // a random number for the place of the flipped bit
	MarkCE  bool   // set the congestion mark
}

// Stats counts decisions since the engine was made.
type Stats struct {
	Offered, Lost, Overlimit, Duplicated, Corrupted, Reordered, Marked uint64
}

// Engine holds the packets of one class. Times are nanoseconds since any fixed
// moment, and must not go back. The methods are not safe for concurrent use.
type Engine struct {
	imp   netfault.Impairment
	limit int
	stats Stats

	random  source
	loss    lossModel
	delay   spread
	dup     chance
	corrupt chance
	reorder chance
	counter uint32 // packets since the last one sent ahead

	ahead []Packet // sent ahead of the queue, at once
	queue queue
	last  int64 // the latest time to send that was ever given
	slot  slot
}

// New returns an engine for the impairment, which must be valid. Equal
// impairments and streams give equal decisions for equal packets, if the seed
// is not zero.
func New(imp netfault.Impairment, stream uint64, now int64) *Engine {
	r := newSource(imp.Seed, stream)
	e := &Engine{imp: imp, limit: int(imp.QueueLimit()), random: r}
	e.loss = newLoss(imp.Loss, r)
	e.delay = newSpread(imp.Delay, imp.Jitter, imp.Distribution, imp.DelayCorrelation, r)
	e.dup = newChance(imp.Duplicate.Probability, imp.Duplicate.Correlation, r)
	e.corrupt = newChance(imp.Corrupt.Probability, imp.Corrupt.Correlation, r)
	e.reorder = newChance(imp.Reorder.Probability, imp.Reorder.Correlation, r)
	e.slot = newSlot(imp.Slot, r, now)
	return e
}

// Stats returns what was decided so far.
func (e *Engine) Stats() Stats { return e.stats }

// Held returns how many packets wait, copies included.
func (e *Engine) Held() int { return len(e.ahead) + e.queue.len() }

// Offer hands a packet over. If kept is false the packet is lost; otherwise
// [Engine.Take] returns it later, and perhaps a copy of it.
func (e *Engine) Offer(now int64, p Packet) (kept bool) {
	return e.offer(now, p, true)
}

func (e *Engine) offer(now int64, p Packet, mayDuplicate bool) (kept bool) {
	e.stats.Offered++
	if e.imp.Partition {
		e.stats.Lost++
		return false
	}
	count := 1
	if mayDuplicate && e.dup.happens() {
		e.stats.Duplicated++
		count++
	}
	if e.loss.lost() {
		if e.imp.ECN && p.ECNCapable {
			e.stats.Marked++
			p.MarkCE = true
		} else {
			e.stats.Lost++
			count--
		}
	}
	if count == 0 {
		return false
	}
	copied := p
	if e.corrupt.happens() {
		e.stats.Corrupted++
		p.Corrupt, p.Random = true, e.random.Uint32()
	}
	if e.queue.len() >= e.limit {
		e.stats.Overlimit++
		return false
	}
	if count > 1 {
		// The copy passes through everything on its own, but is not copied again.
		copied.Copy = true
		e.offer(now, copied, false)
	}
	e.schedule(now, p)
	return true
}

// schedule puts a packet at its place in the queue, or ahead of it.
func (e *Engine) schedule(now int64, p Packet) {
	gap := e.imp.Reorder.Gap
	if e.imp.Reorder.Probability > 0 && gap == 0 {
		gap = 1
	}
	if gap > 0 && e.counter >= gap-1 && e.reorder.happens() {
		e.stats.Reordered++
		e.counter = 0
		e.ahead = append(e.ahead, p)
		return
	}
	e.counter++
	due := now + e.delay.next()
	if e.imp.Rate.BytesPerSecond > 0 {
		// The link is busy until the last packet has left it.
		due = max(due, e.last) + int64(Serialization(e.imp.Rate, int(p.Length)))
	}
	e.last = max(e.last, due)
	e.queue.push(due, p)
}

// Next returns when the next packet leaves; ok is false if none waits.
func (e *Engine) Next() (at int64, ok bool) {
	if len(e.ahead) > 0 {
		return 0, true
	}
	due, ok := e.queue.next()
	if ok && e.slot.used {
		due = max(due, e.slot.next)
	}
	return due, ok
}

// Take returns a packet that leaves at the time now, or ok false if none does.
func (e *Engine) Take(now int64) (p Packet, ok bool) {
	if len(e.ahead) > 0 {
		p = e.ahead[0]
		e.ahead = e.ahead[1:]
		return p, true
	}
	due, ok := e.queue.next()
	if !ok {
		return Packet{}, false
	}
	if e.slot.used && e.slot.next < due {
		e.slot.advance(now)
	}
	if due > now || e.slot.used && e.slot.next > now {
		return Packet{}, false
	}
	p = e.queue.pop()
	if e.slot.used {
		e.slot.spend(now, p.Length)
	}
	return p, true
}

// Flush returns a packet that waits, whether it is due or not.
func (e *Engine) Flush() (p Packet, ok bool) {
	if len(e.ahead) > 0 {
		return e.Take(0)
	}
	if e.queue.len() == 0 {
		return Packet{}, false
	}
	return e.queue.pop(), true
}

// Serialization returns how long a packet of so many bytes occupies the link.
func Serialization(r netfault.Rate, length int) time.Duration {
	if r.BytesPerSecond == 0 {
		return 0
	}
	bytes := int64(length) + int64(r.PacketOverhead)
	if r.CellSize > 0 {
		cells := (bytes + int64(r.CellSize) - 1) / int64(r.CellSize)
		bytes = cells * (int64(r.CellSize) + int64(r.CellOverhead))
	}
	if bytes <= 0 {
		return 0
	}
	return time.Duration(math.Round(float64(bytes) * 1e9 / float64(r.BytesPerSecond)))
}
