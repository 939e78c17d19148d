package gate

import (
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"
)

// A chunk is data on its way through the stages, at the time it leaves the
// stage before. With end set it is the end of data.
type chunk struct {
	at     time.Time
	data   []byte
	pooled *[]byte
	end    bool
}

// A stage is what a condition does to one direction of one connection. All its
// methods run in the lane's reading goroutine. Time is what chunks carry, so a
// stage that delays only moves a chunk's time and never sleeps.
type stage interface {
	// feed takes data and passes on, through s, what becomes of it.
	feed(s *slot, c chunk)
}

// Stages may also have some of these.
type (
	// ender is told of the end of data; without it the end is passed on.
	ender interface{ atEnd(s *slot, c chunk) }
	// leaver is told that the condition is taken away.
	leaver interface{ leave(s *slot, now time.Time) }
	// heir takes over from the stage of the same condition before an update.
	heir interface{ inherit(old stage) }
	// ticker has something to do at a time; zero means never.
	ticker interface {
		deadline() time.Time
		tick(s *slot, now time.Time)
	}
	// limiter reads at most so many bytes at a time.
	limiter interface{ readLimit() int }
	// holder stops reading as long as it is there.
	holder interface{ hold() }
	// stretcher keeps data long, so that more of it may be in flight.
	stretcher interface{ stretch() }
)

// A slot is a stage's place in a lane.
type slot struct {
	lane    *lane
	index   int
	active  *Active
	setting *setting
	stage   stage // nil if the draw spared this connection
	met     bool
}

// pass hands a chunk to the next stage.
func (s *slot) pass(c chunk) { s.lane.advance(s.index+1, c) }

// acted records that the condition acted on n bytes.
func (s *slot) acted(n int) {
	s.active.hit(n, !s.met)
	s.met = true
}

// close ends the connection once everything passed before is delivered.
func (s *slot) close(at time.Time, how ending) { s.lane.finish(at, how) }

// between draws a duration uniformly from d-j..d+j, never negative.
func (l *lane) between(d, j time.Duration) time.Duration {
	if j > 0 {
		d += time.Duration((2*l.rand.Float64() - 1) * float64(j))
	}
	return max(d, 0)
}

type delayStage struct{ Delay }

func (c Delay) newStage(*Active, *lane) stage { return &delayStage{c} }

func (st *delayStage) stretch() {}

func (st *delayStage) readLimit() int {
	if st.Serial {
		return 4096
	}
	return readSize
}

func (st *delayStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	wait := s.lane.between(st.By, st.Jitter)
	if st.Serial {
		s.lane.pause(wait)
	}
	c.at = c.at.Add(wait)
	s.pass(c)
}

// atEnd delays the end as well, so that it cannot overtake.
func (st *delayStage) atEnd(s *slot, c chunk) {
	c.at = c.at.Add(s.lane.between(st.By, st.Jitter))
	s.pass(c)
}

type stopStage struct{}

func (StopReading) newStage(*Active, *lane) stage { return stopStage{} }
func (stopStage) hold()                           {}
func (stopStage) feed(s *slot, c chunk)           { s.pass(c) } // read before the condition came

type dropStage struct{ share float64 }

func (c Drop) newStage(*Active, *lane) stage {
	if c.Share == 0 {
		c.Share = 1
	}
	return dropStage{c.Share}
}

func (st dropStage) feed(s *slot, c chunk) {
	if st.share < 1 && s.lane.rand.Float64() >= st.share {
		s.pass(c)
		return
	}
	s.acted(len(c.data))
	s.lane.recycle(c.pooled)
}

type retransmitStage struct{ share float64 }

func (c Retransmit) newStage(*Active, *lane) stage { return retransmitStage{c.Share} }

const (
	firstTimeout = 200 * time.Millisecond
	mostTimeouts = 2 * time.Minute
)

func (retransmitStage) stretch() {}

func (st retransmitStage) feed(s *slot, c chunk) {
	late, timeout := time.Duration(0), firstTimeout
	for late < mostTimeouts && s.lane.rand.Float64() < st.share {
		late += timeout
		timeout *= 2
	}
	if late > 0 {
		s.acted(len(c.data))
	}
	c.at = c.at.Add(min(late, mostTimeouts))
	s.pass(c)
}

type blackHoleStage struct {
	after time.Duration
	until time.Time
}

func (c BlackHole) newStage(_ *Active, l *lane) stage {
	st := &blackHoleStage{after: c.After}
	if c.After > 0 {
		st.until = l.now().Add(c.After)
	}
	return st
}

func (st *blackHoleStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	s.lane.recycle(c.pooled)
}
func (st *blackHoleStage) inherit(stage)                {} // an update is no removal
func (st *blackHoleStage) leave(s *slot, now time.Time) { s.close(now, endOrderly) }
func (st *blackHoleStage) deadline() time.Time          { return st.until }
func (st *blackHoleStage) tick(s *slot, now time.Time)  { s.acted(0); s.close(now, endOrderly) }

type closeStage struct{ how ending }

func (c CloseOnData) newStage(*Active, *lane) stage {
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

func (c ResetPeer) newStage(*Active, *lane) stage { return &resetStage{after: c.After} }

func (st *resetStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	if st.until.IsZero() {
		st.until = c.at.Add(st.after)
	}
	if st.after == 0 {
		s.close(c.at, endReset)
	}
}
func (st *resetStage) atEnd(s *slot, c chunk)      { st.feed(s, c) }
func (st *resetStage) deadline() time.Time         { return st.until }
func (st *resetStage) tick(s *slot, now time.Time) { s.close(now, endReset) }
func (st *resetStage) inherit(old stage) {
	if o, ok := old.(*resetStage); ok && !o.until.IsZero() {
		st.until = o.until.Add(st.after - o.after)
	}
}

type corruptStage struct{}

func (Corrupt) newStage(*Active, *lane) stage { return corruptStage{} }

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
	bucket      *bucket
	rate, burst float64
	part        int
}

func (c Bandwidth) newStage(a *Active, _ *lane) stage {
	st := &bandwidthStage{bucket: &a.bucket, rate: float64(c.Rate), burst: float64(c.Burst)}
	if c.PerConnection {
		st.bucket = &bucket{}
	}
	if c.Burst == 0 {
		st.burst = st.rate
	}
	// Fifty parts a second look like a flow and cost little.
	st.part = min(max(int(c.Rate/50), 1), readSize)
	return st
}

func (st *bandwidthStage) readLimit() int { return st.part }

func (st *bandwidthStage) inherit(old stage) {
	if o, ok := old.(*bandwidthStage); ok && st.bucket != o.bucket && o.bucket.filled {
		st.bucket.filled, st.bucket.last = true, o.bucket.last
	}
}

func (st *bandwidthStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	part := st.part
	if s.lane.pair.gate.datagrams {
		part = len(c.data)
	}
	at := c.at
	for {
		n := min(part, len(c.data))
		wait := st.bucket.take(n, at, st.rate, st.burst)
		last := n == len(c.data)
		p := chunk{at: c.at.Add(wait), data: c.data[:n]}
		if last {
			p.pooled = c.pooled
		}
		s.pass(p)
		if last {
			s.lane.pause(wait)
			return
		}
		c.data = c.data[n:]
	}
}

type timeLimitStage struct {
	after time.Duration
	idle  bool
	until time.Time
}

func (c TimeLimit) newStage(_ *Active, l *lane) stage {
	st := &timeLimitStage{idle: c.Idle, after: c.After + time.Duration(l.rand.Float64()*float64(c.Jitter))}
	if c.Idle {
		st.until = l.now().Add(st.after)
	}
	return st
}

func (st *timeLimitStage) feed(s *slot, c chunk) {
	if st.until.IsZero() {
		st.until = c.at.Add(st.after)
	}
	if c.at.Before(st.until) {
		s.pass(c)
		return
	}
	s.acted(len(c.data))
	s.close(c.at, endOrderly)
}

func (st *timeLimitStage) deadline() time.Time {
	if st.idle {
		return st.until
	}
	return time.Time{}
}
func (st *timeLimitStage) tick(s *slot, now time.Time) { s.acted(0); s.close(now, endOrderly) }

type byteLimitStage struct {
	limit   int64
	own     int64
	perConn bool
}

func (c ByteLimit) newStage(*Active, *lane) stage {
	return &byteLimitStage{limit: c.Bytes, perConn: c.PerConnection}
}

func (st *byteLimitStage) inherit(old stage) {
	if o, ok := old.(*byteLimitStage); ok {
		st.own = o.own
	}
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

type sliceStage struct{ Slice }

func (c Slice) newStage(*Active, *lane) stage { return &sliceStage{c} }

func (st *sliceStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	start := c.at
	for {
		n := st.Size
		if st.Variation > 0 {
			n += s.lane.rand.IntN(2*st.Variation+1) - st.Variation
		}
		n = min(n, len(c.data))
		c.at = c.at.Add(st.Pause)
		if n == len(c.data) {
			s.pass(c)
			break
		}
		s.pass(chunk{at: c.at, data: c.data[:n]})
		c.data = c.data[n:]
	}
	s.lane.pause(c.at.Sub(start))
}

type concatStage struct {
	size   int
	giveUp time.Duration
	held   []byte
	since  time.Time
}

func (c Concatenate) newStage(*Active, *lane) stage {
	if c.GiveUp == 0 {
		c.GiveUp = time.Minute
	}
	return &concatStage{size: c.Size, giveUp: c.GiveUp}
}

func (st *concatStage) feed(s *slot, c chunk) {
	s.acted(len(c.data))
	if len(st.held) == 0 {
		st.since = c.at
	}
	st.held = append(st.held, c.data...)
	s.lane.recycle(c.pooled)
	if len(st.held) >= st.size {
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

func (st *concatStage) leave(s *slot, now time.Time) { st.flush(s, now) }

func (st *concatStage) deadline() time.Time {
	if len(st.held) == 0 {
		return time.Time{}
	}
	return st.since.Add(st.giveUp)
}

func (st *concatStage) tick(s *slot, now time.Time) {
	err := fmt.Errorf("gate %q: concatenating %s: after %v only %d of %d bytes had come; they were forwarded as they were",
		s.lane.pair.gate, s.active.direction.name, st.giveUp, len(st.held), st.size)
	s.active.problem.Store(&err)
	st.flush(s, now)
}

type substituteStage struct {
	pattern *regexp.Regexp
	with    []byte
}

func (c Substitute) newStage(*Active, *lane) stage {
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

// SlowOpen acts before a connection has lanes; see Gate.openSlowly.
type slowOpenStage struct{}

func (SlowOpen) newStage(*Active, *lane) stage { return slowOpenStage{} }
func (slowOpenStage) feed(s *slot, c chunk)    { s.pass(c) }

type slowCloseStage struct{ after time.Duration }

func (c SlowClose) newStage(*Active, *lane) stage { return slowCloseStage{c.After} }
func (st slowCloseStage) feed(s *slot, c chunk)   { s.pass(c) }
func (st slowCloseStage) atEnd(s *slot, c chunk) {
	s.acted(0)
	c.at = c.at.Add(st.after)
	s.pass(c)
}

type hookStage struct {
	do func(ConnInfo, []byte) ([]byte, Verdict)
}

func (h Hook) newStage(*Active, *lane) stage { return hookStage{h.Do} }

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
