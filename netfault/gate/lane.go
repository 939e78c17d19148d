package gate

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"slices"
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

// overdue is how many bytes may wait for the receiver while a condition keeps data
// long: what leaves the condition at once in bulk is more than what a slow
// receiver shall pile up.
const overdue = 4 << 20

// slack is how long a tick may be late so that reading has its turn if ticks are dense.
const slack = 50 * time.Microsecond

// A lane carries one direction of one connection through the stages of its
// direction's plan: a reader takes data from src, the stages pass it on, at once
// or when their time has come, and a writer delivers it to dst. Between reader
// and writer lies the queue.
type lane struct {
	pair      *pair
	direction *Direction
	src, dst  *socket
	read      reader

	queue *queue
	bytes atomic.Int64 // read so far

	// The fields below belong to the reader alone.
	plan    *plan
	slots   []*slot
	noMore  bool // nothing is read any more: end of data, or a stage closed
	counted int  // bytes that the gate has been told this lane holds
	limit   int  // bytes to read at most
	most    int  // bytes to hold at most
	holding bool

	finished chan struct{} // the end of data has been passed on

	mu     sync.Mutex
	kicked bool
	armed  time.Time // the read deadline of src
	wake   chan struct{}
}

func newLane(p *pair, d *Direction, src, dst *socket) *lane {
	return &lane{
		pair: p, direction: d, src: src, dst: dst,
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
	l.pair.gate.held.Add(-int64(l.counted))
	l.counted = 0
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
		if l.queue.size() == 0 && l.pair.mayLeave() {
			l.pair.leave()
			return
		}
		now := l.now()
		next := l.tick(now)
		full, limit := l.room()
		if l.noMore || l.holding || full || l.backlogged() {
			if full && limit < l.limit {
				next = earlier(next, now.Add(retry)) // nobody tells that others have made room
			}
			l.wait(next, full, now)
			continue
		}
		if !next.IsZero() && next.Sub(now) < slack {
			next = now.Add(slack)
		}
		if !l.arm(next) {
			continue
		}
		c, err := l.readChunk(limit)
		l.follow() // a condition that came while this was read is to meet it already
		l.receive(c, err)
	}
}

// retry is after how long a lane looks whether the gate has room again.
const retry = 20 * time.Millisecond

// share is what a lane may hold if the gate is full, in bytes. It is what it may
// read at a time, then.
const share = 16 << 10

// room says whether there is no room for more, and how many bytes may be read if
// there is: there is none if the lane holds too much in all, or too much that the
// receiver does not take, or more than its share while the gate is full.
func (l *lane) room() (full bool, limit int) {
	waiting := l.queue.size()
	all := waiting + l.held(len(l.slots))
	g := l.pair.gate
	others := g.held.Add(int64(all - l.counted))
	l.counted = all
	full, limit = waiting >= min(l.most, overdue) || all >= l.most, l.limit
	if others >= g.maxHeld {
		full, limit = full || all >= share, min(limit, share)
	}
	return full, limit
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// held is the memory that the first n stages keep, in bytes.
func (l *lane) held(n int) (sum int) {
	for _, s := range l.slots[:n] {
		if k, ok := s.stage.(keeper); ok {
			sum += k.size()
		}
	}
	return sum
}

// backlogged says whether a stage has more to do than it can: reading more would
// only fill the memory. If stages in front of it keep data long, twice as much
// may be on the way to it as it lets through in that time, so that it does not
// run out of work.
func (l *lane) backlogged() bool {
	var ahead time.Duration
	for i, s := range l.slots {
		if p, ok := s.stage.(pacer); ok && !s.closed {
			own, rate := p.size(), p.rate()
			if own > 0 && rate < math.Inf(1) && (ahead == 0 || float64(own+l.held(i)) >= 2*rate*ahead.Seconds()) {
				return true
			}
		}
		if st, ok := s.stage.(stretcher); ok {
			ahead += st.stretch()
		}
	}
	return false
}

// wait until something is to be done: a kick, the end, a stage's time or room in the queue.
func (l *lane) wait(next time.Time, full bool, now time.Time) {
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

func (l *lane) readChunk(limit int) (chunk, error) {
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
		l.noMore = true
		l.advance(0, chunk{at: l.now(), end: endOfData})
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
	for ; index < len(l.slots); index++ {
		s := l.slots[index]
		switch {
		case s.closed:
			l.recycle(c.pooled)
			return
		case s.stage == nil:
		case c.end == endNone:
			s.stage.feed(s, c)
			return
		default:
			if e, ok := s.stage.(ender); ok {
				e.atEnd(s, c)
				return
			}
		}
	}
	l.queue.push(item{data: c.data, pooled: c.pooled, end: c.end})
}

// finish sends an end of the whole connection after all that has passed the
// stage at index. Stages up to it are done.
func (l *lane) finish(index int, at time.Time, how ending) {
	if l.slots[index].closed {
		return
	}
	for _, s := range l.slots[:index+1] {
		s.closed = true
	}
	l.noMore = true
	l.pair.closing.Store(true)
	l.advance(index+1, chunk{at: at, end: how})
}

// tick lets stages do what is due and returns when the next of them is.
func (l *lane) tick(now time.Time) (next time.Time) {
	for _, s := range l.slots {
		t, ok := s.stage.(ticker)
		if !ok || s.closed {
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
	slots := make([]*slot, len(plan.entries))
	stays := map[*slot]bool{}
	for i, e := range plan.entries {
		s := &slot{lane: l, index: i, active: e.active, setting: e.setting}
		prior := find(old, e.active)
		if prior != nil {
			s.rand = prior.rand
		} else {
			s.rand = rand.New(rand.NewPCG(mix(l.pair.gate.seed^l.pair.id), mix(e.active.id)))
		}
		switch {
		case prior != nil && prior.setting == e.setting:
			s.stage, stays[prior] = prior.stage, true
		case e.applies(l.pair.gate.seed, l.pair.id):
			s.stage = e.setting.condition.newStage(s)
			if _, ok := s.stage.(heir); ok && prior != nil && reflect.TypeOf(prior.stage) == reflect.TypeOf(s.stage) {
				stays[prior] = true
			}
		}
		slots[i] = s
	}
	// A removed stage first passes its data through the old stages behind it; then the
	// remaining ones hand over theirs.
	for _, s := range old {
		if stays[s] {
			continue
		}
		if lv, ok := s.stage.(leaver); ok && !s.closed {
			lv.leave(s, now)
		}
		s.stage = nil
	}
	l.plan, l.slots = plan, slots
	// From the last to the first: what one takes over may pass on at once.
	for _, s := range slices.Backward(slots) {
		prior := find(old, s.active)
		if prior == nil {
			continue
		}
		s.met, s.closed = prior.met, prior.closed
		if h, ok := s.stage.(heir); ok && stays[prior] && prior.setting != s.setting && !s.closed {
			h.inherit(s, prior.stage, now)
		}
	}
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
	for _, s := range l.slots {
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
	for {
		if it, ok := l.queue.peek(); ok {
			if !l.deliver(it) {
				return
			}
			continue
		}
		select {
		case <-l.queue.filled:
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
