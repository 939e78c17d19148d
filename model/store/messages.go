package store

import (
	"maps"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// publish appends a message to its partition.
func (s *Store) publish(r *Running, now time.Duration) Step {
	q := &r.query
	switch {
	case s.hit(readOnly, r) && !s.away(now):
		return failed(ReadOnly)
	case s.hit(noSpace, r):
		return failed(NoSpace)
	}
	batch := q.Batch
	if batch == nil {
		batch = []Message{{Partition: q.Partition, Key: []byte(q.Item), Value: q.Value}}
	}
	a := Answer{Found: true, Messages: make([]Message, len(batch))}
	for i, m := range batch {
		if i > 0 { // it has draws of its own
			item := string(m.Key)
			r = &Running{query: *q, key: s.key.With(string(q.Operation)).With(item).WithInt(s.items.count(item, q.Operation))}
		}
		m.At = now
		if id, hit := s.hitBy(poison, r); hit {
			m.Poison, m.by = true, id
		}
		a.Messages[i] = s.topic.publish(m)
	}
	s.counts.Published += int64(len(batch))
	return Step{Done: true, Wakes: true, Answer: a}
}

// consume takes the next message of a group for one of its members, or reads from
// places that the client knows.
func (s *Store) consume(r *Running, now time.Duration) Step {
	r.phase = consuming
	if r.query.Group == "" {
		return s.fetch(r, now)
	}
	g := s.topic.group(r.query.Group)
	m := g.member(r.query.Member)
	if !r.fetches && now < m.free {
		return waitFor(m.free, r.began+r.query.Patience, now)
	}
	if !r.fetches {
		r.fetches, r.turn, r.ready = true, now, s.occupy(now, r.wait)
		m.free = r.ready + r.query.Patience
	}
	if now < r.ready {
		return Step{Until: r.ready}
	}
	got, soon := s.topic.take(g, m, s.lag(now))
	if got == nil {
		s.late(r, soon)
		return waitFor(soon, r.ready+r.query.Patience, now)
	}
	m.free = now
	if got.Poison {
		return Step{Done: true, Wakes: true, Answer: Answer{Code: Unreadable, Found: true}}
	}
	g.offsets[got.Partition] = got.Offset + 1
	s.counts.Consumed++
	return Step{Done: true, Wakes: true, Answer: Answer{Found: true, Value: got.Value, Messages: []Message{*got}}}
}

// Turn is when a consumer has begun to fetch, after those before it; it is when other
// operations have begun.
func (r *Running) Turn() time.Duration { return max(r.turn, r.began) }

// waitFor lets a consumer wait for a message, until its patience is over.
func waitFor(at, until, now time.Duration) Step {
	if now >= until {
		return Step{Done: true}
	}
	return Step{Until: min(at, until), Changes: true}
}

// fetch reads what follows places in partitions: at least one message, and others as
// long as they fit.
func (s *Store) fetch(r *Running, now time.Duration) Step {
	q, lag := &r.query, s.lag(now)
	a, size, soon := Answer{}, 0, Never
	for _, at := range q.From {
		for {
			m, when := s.topic.next(at, lag)
			if m == nil {
				soon = min(soon, when)
				break
			}
			if len(a.Messages) > 0 && size+m.bytes() > q.Most {
				break
			}
			a.Messages, size = append(a.Messages, *m), size+m.bytes()
			at.Offset = m.Offset + 1
		}
	}
	if len(a.Messages) > 0 {
		a.Found = true
		return Step{Done: true, Answer: a}
	}
	s.late(r, soon)
	if !r.fetches {
		r.fetches, r.ready = true, now
	}
	return waitFor(soon, r.ready+q.Patience, now)
}

// occupy gives the next free worker so much work, and says when that is done.
func (s *Store) occupy(now, wait time.Duration) (end time.Duration) {
	if len(s.free) == 0 {
		return now + wait
	}
	worker := soonest(s.free)
	s.free[worker] = max(now, s.free[worker]) + wait
	return s.free[worker]
}

// lag is how late consumers see messages: of several faults, the latest counts.
func (s *Store) lag(now time.Duration) lag {
	l := lag{now: now}
	for i := range s.conditions {
		if c := &s.conditions[i]; c.Fault.Type == behind && c.Fault.Args.Delay.Fixed.Std() > l.delay {
			l.since, l.delay = c.Since, c.Fault.Args.Delay.Fixed.Std()
		}
	}
	return l
}

// late counts a consumer that finds nothing because of a lag, once.
func (s *Store) late(r *Running, soon time.Duration) {
	if soon != Never && !r.late {
		r.late = true
		s.note(behind)
	}
}

// Leave takes a consumer out of its group: others get its partitions. The consumers
// that wait are to be told.
func (s *Store) Leave(group string, member int) {
	if g := s.topic.groups[group]; g != nil {
		g.leave(member)
	}
}

// Partitions is how many partitions there are.
func (s *Store) Partitions() int { return len(s.topic.partitions) }

// Bounds are the offset of the oldest message of a partition, and the one after its
// newest.
func (s *Store) Bounds(partition int) (first, end int64) {
	p := &s.topic.partitions[partition]
	return p.first, p.end()
}

// Since is the offset of the first message of a partition that was published at a
// moment or later; false means that there is none.
func (s *Store) Since(partition int, at time.Duration) (m Message, ok bool) {
	for _, m := range s.topic.partitions[partition].messages {
		if m.At >= at {
			return m, true
		}
	}
	return Message{}, false
}

// Committed is the next offset that a group consumes; false means that it has not said.
func (s *Store) Committed(group string, partition int) (offset int64, ok bool) {
	g := s.topic.groups[group]
	if g == nil {
		return 0, false
	}
	return g.offsets[partition], g.offsets[partition] >= 0
}

// mostGroups bounds the groups whose offsets are kept.
const mostGroups = 10_000

// Commit notes the next offset that a group consumes; false means that there are too
// many groups.
func (s *Store) Commit(group string, partition int, offset int64) bool {
	if s.topic.groups[group] == nil && len(s.topic.groups) >= mostGroups {
		return false
	}
	g := s.topic.group(group)
	s.counts.Consumed += max(offset-max(g.offsets[partition], s.topic.partitions[partition].first), 0)
	g.offsets[partition] = offset
	return true
}

// A Lag is how far a group of consumers is behind its log.
type Lag struct {
	Group string
	// Messages are those that are kept and that the group has not consumed, Age is for how
	// long the oldest of them has been there.
	Messages int64
	Age      time.Duration
}

// Lag is how far a group is behind. One that is not known has consumed nothing.
func (s *Store) Lag(group string, now time.Duration) Lag {
	lag, g := Lag{Group: group}, s.topic.groups[group]
	for i := range s.topic.partitions {
		p := &s.topic.partitions[i]
		from := p.first
		if g != nil {
			from = max(from, g.offsets[i])
		}
		if from < p.end() {
			lag.Messages += p.end() - from
			lag.Age = max(lag.Age, now-p.messages[from-p.first].At)
		}
	}
	return lag
}

// Lags are those of the groups that have consumed something, or have asked to, and of
// others that the executor knows, by their names.
func (s *Store) Lags(now time.Duration, others ...string) []Lag {
	names := slices.Concat(slices.Collect(maps.Keys(s.topic.groups)), others)
	slices.Sort(names)
	var lags []Lag
	for _, name := range slices.Compact(names) {
		lags = append(lags, s.Lag(name, now))
	}
	return lags
}

// Groups are the names of the groups that have consumed something, or have asked to.
func (s *Store) Groups() []string { return slices.Sorted(maps.Keys(s.topic.groups)) }

// Forget drops what a group has consumed; false means that it is not known.
func (s *Store) Forget(group string) bool {
	_, known := s.topic.groups[group]
	delete(s.topic.groups, group)
	return known
}

// Retention bounds the bytes of a partition.
func (s *Store) Retention() int { return s.topic.retention }

// Names of the conditions of logs.
const (
	behind = fault.ConsumerLag
	poison = fault.PoisonMessage
)
