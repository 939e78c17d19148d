package gate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"time"
	"unicode/utf8"
)

// A chunk is data on its way through the stages, at the time it leaves the
// stage before.
type chunk struct {
	at     time.Time
	data   []byte
	pooled *[]byte
	end    ending // instead of data
}

// cost is the memory that a chunk keeps, in bytes.
func (c *chunk) cost() int { return cost(c.data, c.pooled) }

// A stage is what a condition does to one direction of one connection. All its
// methods run in the lane's reading goroutine and never sleep: a stage that
// holds data back keeps it in a [line] until the lane calls its tick.
type stage interface {
	// feed takes data and passes on, through s, what becomes of it.
	feed(s *slot, c chunk)
}

// Stages may also have some of these.
type (
	// ender is told of the end of data, or of an end of the connection, that
	// comes to the stage behind all data; without it the end is passed on.
	ender interface{ atEnd(s *slot, c chunk) }
	// leaver is told that the condition is taken away.
	leaver interface{ leave(s *slot, now time.Time) }
	// heir takes over from the stage of the same condition before an update.
	// Both have the same type.
	heir interface {
		inherit(s *slot, old stage, now time.Time)
	}
	// ticker has something to do at a time; zero means never.
	ticker interface {
		deadline() time.Time
		tick(s *slot, now time.Time)
	}
	// keeper holds data; size is the memory that it keeps, in bytes.
	keeper interface{ size() int }
	// limiter reads at most so many bytes at a time.
	limiter interface{ readLimit() int }
	// holder stops reading as long as it is there.
	holder interface{ hold() }
	// stretcher keeps data long, so that more of it may be in flight; stretch
	// is for how long, roughly.
	stretcher interface{ stretch() time.Duration }
	// pacer is a keeper that lets no more through than rate, in bytes a second,
	// which may be infinite. It should not be sent much more than that.
	pacer interface {
		keeper
		rate() float64
	}
)

// A slot is a stage's place in a lane.
type slot struct {
	lane    *lane
	index   int
	active  *Active
	setting *setting
	stage   stage // nil if the draw spared this connection
	// rand is the stage's own, so that what one draws does not depend on others.
	rand   *rand.Rand
	met    bool
	closed bool // this stage, or one behind it, has closed the connection: nothing passes any more
}

// pass hands a chunk to the next stage.
func (s *slot) pass(c chunk) { s.lane.advance(s.index+1, c) }

// acted records that the condition acted on n bytes.
func (s *slot) acted(n int) {
	s.active.hit(n, !s.met)
	s.met = true
}

// close ends the connection as soon as everything passed before is delivered. Data
// that stages in front of this one still hold are lost.
func (s *slot) close(at time.Time, how ending) { s.lane.finish(s.index, at, how) }

// own returns c with its data in a buffer of exact size, so that parts of it may
// have fates of their own.
func (l *lane) own(c chunk) chunk {
	if c.pooled != nil {
		c.data = append(make([]byte, 0, len(c.data)), c.data...)
		l.recycle(c.pooled)
		c.pooled = nil
	}
	return c
}

// between is the duration at the place luck, 0..1, in d-j..d+j; it is never negative.
func between(d, j time.Duration, luck float64) time.Duration {
	return max(d+time.Duration((2*luck-1)*float64(j)), 0)
}

// luck draws for a chunk, if the draw matters.
func (s *slot) luck(matters bool) float64 {
	if matters {
		return s.rand.Float64()
	}
	return 0.5
}

// serialPart is what a serial delay takes at a time, in bytes.
const serialPart = 4096

type delayStage struct {
	line
	Delay
}

func (c Delay) newStage(*slot) stage { return &delayStage{Delay: c} }

func (st *delayStage) stretch() time.Duration { return st.By + st.Jitter }

func (st *delayStage) readLimit() int {
	if st.Serial {
		return serialPart
	}
	return readSize
}

func (st *delayStage) rate() float64 {
	if !st.Serial || st.By <= 0 {
		return math.Inf(1)
	}
	return serialPart / st.By.Seconds()
}

func (st *delayStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	st.add(s, held{chunk: c, entered: c.at, luck: s.luck(st.Jitter > 0)})
}

// atEnd delays the end of data as well, so that it cannot overtake.
func (st *delayStage) atEnd(s *slot, c chunk) {
	if c.end != endOfData {
		st.behind(s, c)
		return
	}
	st.add(s, held{chunk: c, entered: c.at, luck: s.luck(st.Jitter > 0)})
}

// add works out when a chunk leaves. A datagram may overtake another, as on a
// network whose delay varies; a stream stays in order.
func (st *delayStage) add(s *slot, h held) {
	from := h.entered
	if n := len(st.held); st.Serial && n > 0 && st.held[n-1].at.After(from) {
		from = st.held[n-1].at
	}
	h.at = from
	if h.end == endNone || h.end == endOfData {
		h.at = from.Add(between(st.By, st.Jitter, h.luck))
	}
	if s.lane.pair.gate.datagrams && !st.Serial && h.end == endNone {
		st.insert(h)
	} else {
		st.push(h)
	}
}

// inherit holds what the stage before the update held as if the delay had been
// the present one when it came.
func (st *delayStage) inherit(s *slot, old stage, _ time.Time) {
	for _, h := range old.(*delayStage).takeAll() {
		st.add(s, h)
	}
}

// stopStage keeps what comes from stages in front of it, and what was being read
// when the condition came.
type stopStage struct{ line }

func (StopReading) newStage(*slot) stage    { return &stopStage{} }
func (*stopStage) hold()                    {}
func (st *stopStage) feed(_ *slot, c chunk) { st.push(held{chunk: c}) }
func (st *stopStage) atEnd(s *slot, c chunk) {
	if c.end == endOfData {
		st.push(held{chunk: c})
		return
	}
	st.behind(s, c)
}

// deadline is never: only the end of the condition moves on what is kept.
func (*stopStage) deadline() time.Time { return time.Time{} }

func (st *stopStage) inherit(_ *slot, old stage, _ time.Time) { st.line = old.(*stopStage).line }

type dropStage struct{ share float64 }

func (c Drop) newStage(*slot) stage {
	if c.Share == 0 {
		c.Share = 1
	}
	return dropStage{c.Share}
}

func (st dropStage) feed(s *slot, c chunk) {
	if st.share < 1 && s.rand.Float64() >= st.share {
		s.pass(c)
		return
	}
	s.acted(len(c.data))
	s.lane.recycle(c.pooled)
}

type retransmitStage struct {
	line
	share float64
}

func (c Retransmit) newStage(*slot) stage { return &retransmitStage{share: c.Share} }

const (
	firstTimeout = 200 * time.Millisecond
	mostTimeouts = 2 * time.Minute
)

func (*retransmitStage) stretch() time.Duration { return 2 * firstTimeout }

// late is the wait of a chunk: its first k sendings are lost if its luck is less
// than the k-th power of the share.
func (st *retransmitStage) late(luck float64) time.Duration {
	late, timeout, share := time.Duration(0), firstTimeout, st.share
	for late < mostTimeouts && luck < share {
		late += timeout
		timeout *= 2
		share *= st.share
	}
	return min(late, mostTimeouts)
}

func (st *retransmitStage) feed(s *slot, c chunk) {
	luck := s.rand.Float64()
	late := st.late(luck)
	if late > 0 {
		s.acted(len(c.data))
	}
	h := held{chunk: c, entered: c.at, luck: luck}
	h.at = c.at.Add(late)
	st.push(h)
}

func (st *retransmitStage) atEnd(s *slot, c chunk) { st.behind(s, c) }

func (st *retransmitStage) inherit(_ *slot, old stage, _ time.Time) {
	for _, h := range old.(*retransmitStage).takeAll() {
		h.at = h.entered
		if h.end == endNone {
			h.at = h.entered.Add(st.late(h.luck))
		}
		st.push(h)
	}
}

type reorderStage struct {
	line
	Reorder
}

func (c Reorder) newStage(*slot) stage { return &reorderStage{Reorder: c} }

func (st *reorderStage) stretch() time.Duration { return st.By }

func (st *reorderStage) feed(s *slot, c chunk) {
	h := held{chunk: c, entered: c.at, luck: s.rand.Float64()}
	if h.luck < st.Share {
		s.acted(len(c.data))
		s.pass(c)
		return
	}
	h.at = c.at.Add(st.By)
	st.insert(h)
}

func (st *reorderStage) atEnd(s *slot, c chunk) { st.behind(s, c) }

func (st *reorderStage) inherit(_ *slot, old stage, _ time.Time) {
	for _, h := range old.(*reorderStage).takeAll() {
		if h.end == endNone {
			h.at = h.entered.Add(st.By)
		}
		st.insert(h)
	}
}

type blackHoleStage struct {
	after time.Duration
	since time.Time
}

func (c BlackHole) newStage(s *slot) stage {
	return &blackHoleStage{after: c.After, since: s.lane.now()}
}

func (st *blackHoleStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	s.lane.recycle(c.pooled)
}

// inherit keeps the connection open: an update is not a removal.
func (st *blackHoleStage) inherit(_ *slot, old stage, _ time.Time) {
	st.since = old.(*blackHoleStage).since
}

func (st *blackHoleStage) leave(s *slot, now time.Time) { s.close(now, endOrderly) }

func (st *blackHoleStage) deadline() time.Time {
	if st.after <= 0 {
		return time.Time{}
	}
	return st.since.Add(st.after)
}

func (st *blackHoleStage) tick(s *slot, now time.Time) { s.acted(0); s.close(now, endOrderly) }

type closeStage struct{ how ending }

func (c CloseOnData) newStage(*slot) stage {
	if c.Reset {
		return closeStage{endReset}
	}
	return closeStage{endOrderly}
}

func (st closeStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	s.close(c.at, st.how)
}

type resetStage struct {
	after time.Duration
	until time.Time
}

func (c ResetPeer) newStage(*slot) stage { return &resetStage{after: c.After} }

func (st *resetStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	if st.until.IsZero() {
		st.until = c.at.Add(st.after)
	}
	if st.after == 0 {
		s.close(c.at, endReset)
	}
}

func (st *resetStage) atEnd(s *slot, c chunk) {
	if c.end == endOfData {
		st.feed(s, c)
		return
	}
	s.pass(c)
}

func (st *resetStage) deadline() time.Time         { return st.until }
func (st *resetStage) tick(s *slot, now time.Time) { s.close(now, endReset) }

func (st *resetStage) inherit(_ *slot, old stage, _ time.Time) {
	if o := old.(*resetStage); !o.until.IsZero() {
		st.until = o.until.Add(st.after - o.after)
	}
}

type corruptStage struct{}

func (Corrupt) newStage(*slot) stage { return corruptStage{} }

func (corruptStage) feed(s *slot, c chunk) {
	for i, b := range c.data {
		if b == 0 {
			c.data[i] = 1
		} else {
			c.data[i] = 0
		}
	}
	s.acted(len(c.data))
	s.pass(c)
}

type bandwidthStage struct {
	line
	bucket           *bucket
	perSecond, burst float64
	part             int
	// paid is for how many bytes of the first chunk the bucket has been asked;
	// they leave at due.
	paid int
	due  time.Time
}

func (c Bandwidth) newStage(s *slot) stage {
	st := &bandwidthStage{bucket: &s.active.bucket, perSecond: float64(c.Rate), burst: float64(c.Burst)}
	if c.PerConnection {
		st.bucket = &bucket{}
	}
	if c.Burst == 0 {
		st.burst = st.perSecond
	}
	// Fifty parts a second look like a flow and cost little.
	st.part = min(max(int(c.Rate/50), 1), readSize)
	return st
}

func (st *bandwidthStage) readLimit() int { return st.part }
func (st *bandwidthStage) rate() float64  { return st.perSecond }

func (st *bandwidthStage) inherit(s *slot, old stage, now time.Time) {
	o := old.(*bandwidthStage)
	o.bucket.giveBack(o.paid)
	if st.bucket != o.bucket {
		st.bucket.continues(o.bucket)
	}
	st.line = line{held: o.held, bytes: o.bytes}
	st.serve(s, now)
}

func (st *bandwidthStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	st.push(held{chunk: c})
	st.serve(s, c.at)
}

func (st *bandwidthStage) atEnd(s *slot, c chunk)      { st.behind(s, c) }
func (st *bandwidthStage) deadline() time.Time         { return st.due }
func (st *bandwidthStage) tick(s *slot, now time.Time) { st.serve(s, now) }
func (st *bandwidthStage) leave(s *slot, now time.Time) {
	st.bucket.giveBack(st.paid)
	st.line.leave(s, now)
}

// serve passes on what the bucket has tokens for by now.
func (st *bandwidthStage) serve(s *slot, now time.Time) {
	for len(st.held) > 0 {
		first := &st.held[0]
		if st.paid == 0 && first.end == endNone {
			st.paid = len(first.data)
			if !s.lane.pair.gate.datagrams {
				st.paid = min(st.paid, st.part)
			}
			st.due = st.bucket.take(st.paid, now, st.perSecond, st.burst)
		}
		if st.due.After(now) {
			return
		}
		if st.due.Before(now) && !st.due.IsZero() {
			st.bucket.wokeLate(now.Sub(st.due))
		}
		c := st.cut(s.lane, st.paid)
		if c.at.Before(st.due) {
			c.at = st.due
		}
		st.paid, st.due = 0, time.Time{}
		s.pass(c)
	}
}

type timeLimitStage struct {
	TimeLimit
	luck  float64
	since time.Time // the beginning of the time, or zero
}

func (c TimeLimit) newStage(s *slot) stage {
	st := &timeLimitStage{TimeLimit: c, luck: s.rand.Float64()}
	if c.Idle {
		st.since = s.lane.now()
	}
	return st
}

// inherit lets the time go on that has begun.
func (st *timeLimitStage) inherit(_ *slot, old stage, _ time.Time) {
	o := old.(*timeLimitStage)
	st.luck = o.luck
	if !o.since.IsZero() {
		st.since = o.since
	}
}

func (st *timeLimitStage) until() time.Time {
	return st.since.Add(st.After + time.Duration(st.luck*float64(st.Jitter)))
}

func (st *timeLimitStage) feed(s *slot, c chunk) {
	if st.since.IsZero() {
		st.since = c.at
	}
	if c.at.Before(st.until()) {
		s.pass(c)
		return
	}
	s.acted(len(c.data))
	s.close(c.at, endOrderly)
}

func (st *timeLimitStage) deadline() time.Time {
	if st.Idle {
		return st.until()
	}
	return time.Time{}
}

func (st *timeLimitStage) tick(s *slot, now time.Time) { s.acted(0); s.close(now, endOrderly) }

type byteLimitStage struct {
	limit   int64
	own     int64
	perConn bool
}

func (c ByteLimit) newStage(*slot) stage {
	return &byteLimitStage{limit: c.Bytes, perConn: c.PerConnection}
}

func (st *byteLimitStage) inherit(_ *slot, old stage, _ time.Time) {
	st.own = old.(*byteLimitStage).own
}

func (st *byteLimitStage) feed(s *slot, c chunk) {
	n := int64(len(c.data))
	if st.perConn {
		left := max(st.limit-st.own, 0)
		if n < left {
			st.own += n
			s.pass(c)
			return
		}
		st.own += left
		st.cut(s, c, left, endOrderly)
		return
	}
	for passed := &s.active.passed; ; {
		before := passed.Load()
		left := max(st.limit-before, 0)
		if n < left {
			if passed.CompareAndSwap(before, before+n) {
				s.pass(c)
				return
			}
		} else if passed.CompareAndSwap(before, 0) {
			st.cut(s, c, left, endAll)
			return
		}
	}
}

// cut delivers the first n bytes and closes.
func (st *byteLimitStage) cut(s *slot, c chunk, n int64, how ending) {
	s.acted(len(c.data))
	c.data = c.data[:n]
	if n > 0 {
		s.pass(c)
	}
	s.close(c.at, how)
}

type sliceStage struct {
	line
	Slice
	next int       // the size of the part that is to leave next, or 0
	luck float64   // the draw, 0..1, that next comes from
	last time.Time // when the part before it left
	due  time.Time // when it leaves
}

func (c Slice) newStage(*slot) stage { return &sliceStage{Slice: c} }

func (st *sliceStage) rate() float64 {
	if st.Pause <= 0 {
		return math.Inf(1)
	}
	return float64(st.Size) / st.Pause.Seconds()
}

func (st *sliceStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	st.push(held{chunk: c})
	st.serve(s, c.at)
}

func (st *sliceStage) atEnd(s *slot, c chunk)      { st.behind(s, c) }
func (st *sliceStage) deadline() time.Time         { return st.due }
func (st *sliceStage) tick(s *slot, now time.Time) { st.serve(s, now) }

// inherit goes on with the draw that was made for the part which is to leave next.
func (st *sliceStage) inherit(s *slot, old stage, now time.Time) {
	o := old.(*sliceStage)
	st.line, st.last = o.line, o.last
	if o.next > 0 {
		st.plan(o.luck)
	}
	st.serve(s, now)
}

// plan sets how large the part at the head is, and when it leaves.
func (st *sliceStage) plan(luck float64) {
	st.luck = luck
	st.next = st.Size - st.Variation + int(luck*float64(2*st.Variation+1))
	st.due = later(st.held[0].at, st.last).Add(st.Pause)
}

// serve passes on the parts that have paused long enough by now.
func (st *sliceStage) serve(s *slot, now time.Time) {
	for len(st.held) > 0 {
		if st.next == 0 && st.held[0].end == endNone {
			st.plan(s.luck(st.Variation > 0))
		}
		if st.due.After(now) {
			return
		}
		c := st.cut(s.lane, st.next)
		if c.end == endNone {
			c.at, st.last = st.due, st.due
		} else {
			c.at = later(c.at, st.last)
		}
		st.next, st.due = 0, time.Time{}
		s.pass(c)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

type concatStage struct {
	least  int
	giveUp time.Duration
	held   []byte
	since  time.Time
}

func (c Concatenate) newStage(*slot) stage {
	if c.GiveUp == 0 {
		c.GiveUp = time.Minute
	}
	return &concatStage{least: c.Size, giveUp: c.GiveUp}
}

func (st *concatStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	if len(st.held) == 0 {
		st.since = c.at
	}
	st.held = append(st.held, c.data...)
	s.lane.recycle(c.pooled)
	if len(st.held) >= st.least {
		st.flush(s, c.at)
	}
}

func (st *concatStage) flush(s *slot, at time.Time) {
	if data := st.held; len(data) > 0 {
		st.held = nil
		s.pass(chunk{at: at, data: data})
	}
}

func (st *concatStage) atEnd(s *slot, c chunk) {
	st.flush(s, c.at)
	s.pass(c)
}

func (st *concatStage) inherit(s *slot, old stage, now time.Time) {
	o := old.(*concatStage)
	if st.held, st.since = o.held, o.since; len(st.held) >= st.least {
		st.flush(s, now)
	}
}

func (st *concatStage) size() int { return cap(st.held) }

func (st *concatStage) leave(s *slot, now time.Time) { st.flush(s, now) }

func (st *concatStage) deadline() time.Time {
	if len(st.held) == 0 {
		return time.Time{}
	}
	return st.since.Add(st.giveUp)
}

func (st *concatStage) tick(s *slot, now time.Time) {
	err := fmt.Errorf("gate %q: concatenating %s: after %v only %d of %d bytes had come; they were forwarded as they were",
		s.lane.pair.gate, s.active.direction.name, st.giveUp, len(st.held), st.least)
	s.active.problem.Store(&err)
	st.flush(s, now)
}

type substituteStage struct {
	pattern *regexp.Regexp
	with    []byte
}

func (c Substitute) newStage(*slot) stage {
	return &substituteStage{regexp.MustCompile(c.Pattern), []byte(c.With)} // check has compiled it before
}

func (st *substituteStage) feed(s *slot, c chunk) {
	if !utf8.Valid(c.data) || !st.pattern.Match(c.data) {
		s.pass(c)
		return
	}
	s.acted(len(c.data))
	data := st.pattern.ReplaceAll(c.data, st.with)
	s.lane.recycle(c.pooled)
	s.pass(chunk{at: c.at, data: data})
}

// A slowOpenStage passes everything on, because SlowOpen acts before a connection
// has lanes; see Gate.openSlowly.
type slowOpenStage struct{}

func (SlowOpen) newStage(*slot) stage       { return slowOpenStage{} }
func (slowOpenStage) feed(s *slot, c chunk) { s.pass(c) }

type slowCloseStage struct {
	line
	after time.Duration
}

func (c SlowClose) newStage(*slot) stage { return &slowCloseStage{after: c.After} }

func (st *slowCloseStage) feed(s *slot, c chunk) { s.pass(c) }

func (st *slowCloseStage) atEnd(s *slot, c chunk) {
	if c.end != endOfData {
		st.behind(s, c)
		return
	}
	s.acted(0)
	h := held{chunk: c, entered: c.at}
	h.at = c.at.Add(st.after)
	st.push(h)
}

func (st *slowCloseStage) inherit(_ *slot, old stage, _ time.Time) {
	for _, h := range old.(*slowCloseStage).takeAll() {
		if h.end == endOfData {
			h.at = h.entered.Add(st.after)
		}
		st.push(h)
	}
}

type hookStage struct {
	do func(ConnInfo, []byte) ([]byte, Verdict)
}

func (h Hook) newStage(*slot) stage { return hookStage{h.Do} }

func (st hookStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	data, verdict := st.do(s.lane.pair.info(), c.data)
	if data != nil {
		s.pass(chunk{at: c.at, data: data}) // not pooled: the hook may have kept it
	}
	switch verdict {
	case Forward:
	case Close:
		s.close(c.at, endOrderly)
	case ResetConnection:
		s.close(c.at, endReset)
	}
}
