package store

import (
	"slices"
	"time"
)

// A topic is what a Kafka holds: a log for each partition, and the places that groups
// of consumers have reached in them.
type topic struct {
	partitions []partition
	// retention bounds the bytes of a partition.
	retention int
	groups    map[string]*group
}

// A partition is a log whose oldest messages go.
type partition struct {
	// first is the offset of the oldest message that is kept.
	first    int64
	messages []Message
	bytes    int
}

// A Message is one of a log.
type Message struct {
	Partition int
	Offset    int64
	// At is when it was published.
	At         time.Duration
	Key, Value []byte
	// Poison says that consumers cannot read it.
	Poison bool
	// by is the fault that made it so.
	by string
}

// A Position is a place in a partition.
type Position struct {
	Partition int
	Offset    int64
}

// A group consumes each message once: each partition belongs to one of its members.
type group struct {
	// offsets are the next to consume, by partition; -1 is the oldest that there is.
	offsets []int64
	members []*member // by number
}

// A member is one consumer, which fetches one message at a time.
type member struct {
	number int
	// free is when it has ended what it does, at the latest.
	free time.Duration
	// last is the partition of the last message.
	last int
}

func newTopic(partitions int, retention int64) topic {
	return topic{partitions: make([]partition, partitions), retention: int(retention), groups: map[string]*group{}}
}

func (p *partition) end() int64 { return p.first + int64(len(p.messages)) }

// publish appends a message, and drops the oldest beyond the retention; the newest
// stays.
func (t *topic) publish(m Message) Message {
	p := &t.partitions[m.Partition]
	m.Offset = p.end()
	p.messages = append(p.messages, m)
	p.bytes += m.bytes()
	gone := 0
	for p.bytes > t.retention && gone+1 < len(p.messages) {
		p.bytes -= p.messages[gone].bytes()
		p.messages[gone] = Message{} // its memory goes before the array does
		gone++
	}
	p.messages, p.first = p.messages[gone:], p.first+int64(gone)
	return m
}

// messageOverhead is about what a message takes beside its key and value, on disk as
// in memory.
const messageOverhead = 70

func (m *Message) bytes() int { return len(m.Key) + len(m.Value) + messageOverhead }

// next is the message at a place, or the oldest after it, if consumers see it;
// otherwise soon is when they will, or Never.
func (t *topic) next(at Position, lag lag) (m *Message, soon time.Duration) {
	p := &t.partitions[at.Partition]
	offset := max(at.Offset, p.first)
	if offset >= p.end() {
		return nil, Never
	}
	m = &p.messages[offset-p.first]
	if at := lag.visible(m.At); at > lag.now {
		return nil, at
	}
	return m, 0
}

// A lag is how late consumers see messages.
type lag struct {
	now, since, delay time.Duration
}

// visible returns when consumers see a message that was published at a moment.
// Messages published before the lag began stay visible.
func (l lag) visible(published time.Duration) time.Duration {
	if published <= l.since {
		return published
	}
	return published + l.delay
}

func (t *topic) group(name string) *group {
	g := t.groups[name]
	if g == nil {
		g = &group{offsets: slices.Repeat([]int64{-1}, len(t.partitions))}
		t.groups[name] = g
	}
	return g
}

// member returns one of a group, which joins it if it is new.
func (g *group) member(number int) *member {
	i, there := slices.BinarySearchFunc(g.members, number, func(m *member, n int) int { return m.number - n })
	if !there {
		g.members = slices.Insert(g.members, i, &member{number: number, last: -1})
	}
	return g.members[i]
}

func (g *group) leave(number int) {
	g.members = slices.DeleteFunc(g.members, func(m *member) bool { return m.number == number })
}

// assigned are the partitions of a member, those first that follow the one of its
// last message: the members take them in turn, as the round-robin assignor does.
func (g *group) assigned(m *member) []int {
	at := slices.Index(g.members, m)
	var own, rest []int
	for p := at; p < len(g.offsets); p += len(g.members) {
		if p > m.last {
			own = append(own, p)
		} else {
			rest = append(rest, p)
		}
	}
	return append(own, rest...)
}

// take is the next message for a member; otherwise soon is when there may be one.
func (t *topic) take(g *group, m *member, lag lag) (got *Message, soon time.Duration) {
	soon = Never
	for _, p := range g.assigned(m) {
		next, at := t.next(Position{p, g.offsets[p]}, lag)
		if next != nil {
			m.last = p
			return next, 0
		}
		soon = min(soon, at)
	}
	return nil, soon
}

// clean makes the messages readable that a fault has poisoned.
func (t *topic) clean(id string) {
	for i := range t.partitions {
		for j := range t.partitions[i].messages {
			if m := &t.partitions[i].messages[j]; m.Poison && m.by == id {
				m.Poison, m.by = false, ""
			}
		}
	}
}

// PartitionOf is the partition of a key, as the producers of Kafka choose it: the hash
// murmur2 without its sign (org.apache.kafka.clients.producer.internals.BuiltInPartitioner).
func PartitionOf(key []byte, partitions int) int {
	return int(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is that of org.apache.kafka.common.utils.Utils.
func murmur2(b []byte) uint32 {
	const m = 0x5bd1e995
	h := 0x9747b28c ^ uint32(len(b)) //nolint:gosec // keys are short
	for ; len(b) >= 4; b = b[4:] {
		k := (uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24) * m
		h = h*m ^ (k^k>>24)*m
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(b[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
