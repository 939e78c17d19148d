package gate

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// readSize is how much a lane reads at once, in bytes.
const readSize = 256 << 10

// smallChunk is up to where a chunk is copied out of the buffer it was read into,
// in bytes: one that waits must not keep a large buffer.
const smallChunk = 32 << 10

// crowded is how many bytes a lane holds before it stops reading, where no
// condition asks for more.
const crowded = 1 << 20

// lag is how long data may be overdue before a lane stops reading: a receiver
// that is slower than the sender shall not fill the memory meant for a delay.
const lag = 2 * time.Millisecond

// A lane carries one direction of one connection through the stages of its
// direction's plan: a reader takes data from src, the stages give it a time, and
// a writer delivers it to dst when that time has come. Between reader and
// writer lies the queue.
type lane struct {
	pair      *pair
	direction *Direction
	src, dst  *socket
	rand      *rand.Rand
	read      reader

	queue *queue
	bytes atomic.Int64 // read so far

	// Of the reader alone:
	plan    *plan
	slots   []*slot
	pauseTo time.Time
	noMore  bool // nothing is read any more: end of data, or a stage closed
	limit   int  // bytes to read at most
	most    int  // bytes to hold at most
	holding bool
	stash   *received // read while a stop came; for when reading goes on

	finished chan struct{} // the end of data has been passed on

	mu     sync.Mutex
	kicked bool
	armed  time.Time // the read deadline of src
	wake   chan struct{}
}

func newLane(p *pair, d *Direction, src, dst *socket) *lane {
	return &lane{
		pair: p, direction: d, src: src, dst: dst,
		rand:     rand.New(rand.NewPCG(mix(p.gate.seed^p.id), mix(uint64(len(d.name))))),
		queue:    newQueue(),
		plan:     &plan{},
		limit:    readSize,
		most:     crowded,
		finished: make(chan struct{}),
		wake:     make(chan struct{}, 1),
	}
}

// longAgo, as a deadline, interrupts.
var longAgo = time.Unix(1, 0) //nolint:gochecknoglobals // a constant in all but name

func (l *lane) now() time.Time { return time.Now() }

// kick makes the reader look around: at the plan, and at whether to leave.
func (l *lane) kick() {
	l.mu.Lock()
	l.kicked = true
	if l.armed != longAgo {
		l.armed = longAgo
		_ = l.src.conn().SetReadDeadline(longAgo) // an error means closed, which the reader sees itself
	}
	l.mu.Unlock()
	signal(l.wake)
}

// arm sets the deadline of the next read, unless there was a kick to look after first.
func (l *lane) arm(deadline time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kicked {
		l.kicked = false
		return false
	}
	if !deadline.Equal(l.armed) {
		l.armed = deadline
		_ = l.src.conn().SetReadDeadline(deadline) // an error means closed, which the read reports
	}
	return true
}

// received is what a read brought.
type received struct {
	chunk
	err error
}

// run carries data until the direction is finished, the pair ends, or the pair leaves for the relay.
func (l *lane) run() {
	l.read = newReader(l.src.conn())
	quit := make(chan struct{})
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.write(quit)
	}()
	l.pump()
	close(quit)
	_ = l.dst.conn().SetWriteDeadline(longAgo) // an error means closed; then the write has ended, too
	<-written
	_ = l.dst.conn().SetWriteDeadline(time.Time{})
	l.mu.Lock()
	l.armed = longAgo
	l.mu.Unlock()
	l.arm(time.Time{})
}

// pump is the reader.
func (l *lane) pump() {
	for {
		select {
		case <-l.pair.ended:
			return
		case <-l.finished:
			return
		default:
		}
		if l.pair.leaving.Load() {
			return
		}
		l.follow()
		if s := l.stash; s != nil && !l.holding {
			l.stash = nil
			l.receive(s.chunk, s.err)
		}
		if l.queue.size() == 0 && l.pair.mayLeave() {
			l.pair.leave()
			return
		}
		now := l.now()
		next := l.tick(now)
		full := l.queue.crowded(l.most, now)
		if l.noMore || l.holding || full || l.pauseTo.After(now) {
			l.wait(next, full, now)
			continue
		}
		if !l.arm(next) {
			continue
		}
		c, err := l.readChunk()
		// A condition that came while this was read is to meet it already.
		if l.follow(); l.holding {
			l.stash = &received{c, err}
			continue
		}
		l.receive(c, err)
	}
}

// wait until something is to be done: a kick, the end, a stage's time or room in the queue.
func (l *lane) wait(next time.Time, full bool, now time.Time) {
	if l.pauseTo.After(now) && !l.noMore && (next.IsZero() || l.pauseTo.Before(next)) {
		next = l.pauseTo
	}
	var timeout <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(next.Sub(now))
		defer timer.Stop()
		timeout = timer.C
	}
	var drained <-chan struct{}
	if full {
		drained = l.queue.drained
	}
	select {
	case <-l.wake:
		l.mu.Lock()
		l.kicked = false
		l.mu.Unlock()
	case <-l.pair.ended:
	case <-l.finished:
	case <-drained:
	case <-timeout:
	}
}

func (l *lane) readChunk() (chunk, error) {
	limit := l.limit
	if l.pair.gate.datagrams {
		limit = readSize
	}
	buf, n, err := l.read.read(l.pair.gate, limit)
	c := chunk{at: l.now()}
	if buf == nil {
		return c, err
	}
	if n > smallChunk {
		c.data, c.pooled = (*buf)[:n], buf
		return c, err
	}
	c.data = append(make([]byte, 0, max(n, 1)), (*buf)[:n]...)
	l.recycle(buf)
	return c, err
}

func (l *lane) recycle(buf *[]byte) {
	if buf != nil {
		l.pair.gate.buffers.Put(buf)
	}
}

func (l *lane) receive(c chunk, err error) {
	datagrams := l.pair.gate.datagrams
	if len(c.data) > 0 || datagrams && err == nil {
		l.bytes.Add(int64(len(c.data)))
		l.pair.seen(c.at)
		l.advance(0, c)
	}
	switch {
	case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, io.EOF):
		c := chunk{at: l.now(), end: true}
		l.advance(0, c)
		l.noMore = true
	case datagrams && !errors.Is(err, net.ErrClosed):
		// "Connection refused" of an earlier datagram: the server may come back.
	case isReset(err):
		l.pair.end(endReset)
	default:
		l.pair.end(endOrderly)
	}
}

// advance gives a chunk to the stage at index, or to the writer behind the last.
func (l *lane) advance(index int, c chunk) {
	if l.noMore {
		return
	}
	for ; index < len(l.slots); index++ {
		s := l.slots[index]
		if s.stage == nil {
			continue
		}
		if !c.end {
			s.stage.feed(s, c)
			return
		}
		if e, ok := s.stage.(ender); ok {
			e.atEnd(s, c)
			return
		}
	}
	it := item{due: c.at, data: c.data, pooled: c.pooled}
	if c.end {
		it.end = endOfData
	}
	l.queue.push(it)
}

// finish puts an ending of the whole connection behind all that was passed on.
func (l *lane) finish(at time.Time, how ending) {
	if !l.noMore {
		l.noMore = true
		l.pair.closing.Store(true)
		l.queue.push(item{due: at, end: how})
	}
}

func (l *lane) pause(d time.Duration) {
	if to := l.now().Add(d); to.After(l.pauseTo) {
		l.pauseTo = to
	}
}

// tick lets stages do what is due and returns when the next of them is.
func (l *lane) tick(now time.Time) (next time.Time) {
	for _, s := range l.slots {
		t, ok := s.stage.(ticker)
		if !ok || l.noMore {
			continue
		}
		if d := t.deadline(); !d.IsZero() && !d.After(now) {
			t.tick(s, now)
		}
		if d := t.deadline(); !d.IsZero() && d.After(now) && (next.IsZero() || d.Before(next)) {
			next = d
		}
	}
	if idle := l.pair.idleDeadline(); !idle.IsZero() {
		if !idle.After(now) {
			l.pair.end(endOrderly)
		} else if next.IsZero() || idle.Before(next) {
			next = idle
		}
	}
	return next
}

// follow makes the slots those of the current plan.
func (l *lane) follow() {
	plan := l.direction.plan.Load()
	if plan == l.plan {
		return
	}
	now := l.now()
	old := l.slots
	slots := make([]*slot, 0, len(plan.entries))
	kept := map[*slot]bool{}
	for _, e := range plan.entries {
		s := &slot{lane: l, active: e.active, setting: e.setting}
		prior := find(old, e.active)
		switch {
		case prior != nil && prior.setting == e.setting:
			s.stage, s.met, kept[prior] = prior.stage, prior.met, true
		case e.applies(l.pair.gate.seed, l.pair.id):
			s.stage = e.setting.condition.newStage(e.active, l)
			if prior == nil {
				break
			}
			s.met = prior.met
			if h, ok := s.stage.(heir); ok && prior.stage != nil {
				h.inherit(prior.stage)
				kept[prior] = true
			}
		}
		slots = append(slots, s)
	}
	for _, s := range old {
		if lv, ok := s.stage.(leaver); ok && !kept[s] {
			lv.leave(s, now) // through the old stages behind it
		}
	}
	if plan.releases != l.plan.releases {
		l.queue.release()
		l.pauseTo = time.Time{}
	}
	l.plan, l.slots = plan, slots
	l.measure()
}

func find(slots []*slot, a *Active) *slot {
	for _, s := range slots {
		if s.active == a {
			return s
		}
	}
	return nil
}

// measure works out what the stages together ask of the reader.
func (l *lane) measure() {
	l.limit, l.most, l.holding = readSize, crowded, false
	for i, s := range l.slots {
		s.index = i
		if lim, ok := s.stage.(limiter); ok {
			l.limit = min(l.limit, lim.readLimit())
		}
		if _, ok := s.stage.(stretcher); ok {
			l.most = max(l.most, l.pair.gate.maxInFlight)
		}
		if _, ok := s.stage.(holder); ok {
			l.holding = true
			s.acted(0)
		}
	}
}

// write is the writer: it delivers the queue until quit is closed or the direction is finished.
func (l *lane) write(quit chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		it, ok := l.queue.peek()
		var timeout <-chan time.Time
		if ok {
			wait := time.Until(it.due)
			if it.due.IsZero() || wait <= 0 {
				if !l.deliver(it) {
					return
				}
				continue
			}
			timer.Reset(wait)
			timeout = timer.C
		}
		select {
		case <-l.queue.filled:
		case <-timeout:
		case <-quit:
			return
		}
	}
}

// deliver writes an item, or does what an ending asks for, and says whether to go on.
func (l *lane) deliver(it item) bool {
	if it.end == endNone {
		n, err := l.dst.conn().Write(it.data)
		if err == nil || l.pair.gate.datagrams && !isClosedOrTimeout(err) {
			l.queue.took(len(it.data))
			l.recycle(it.pooled)
			return true
		}
		if n > 0 {
			l.queue.took(n)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case isReset(err):
			l.pair.end(endReset)
		default:
			l.pair.end(endOrderly)
		}
		return false
	}
	l.queue.took(0)
	switch it.end {
	case endOfData:
		if err := closeWrite(l.dst.conn()); err != nil {
			l.pair.end(endOrderly)
		}
		close(l.finished)
	case endAll:
		l.pair.end(endOrderly)
		l.pair.gate.endAll(endOrderly)
	default:
		l.pair.end(it.end)
	}
	return false
}
