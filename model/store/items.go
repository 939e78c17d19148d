package store

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// itemPrefix begins the names of the items that a store has at the beginning.
const itemPrefix = "item:"

// ItemName is the name of the i-th item, from 0.
func ItemName(i int) string { return itemPrefix + strconv.Itoa(i) }

// itemIndex is the i of ItemName, or -1.
func itemIndex(name string) int {
	digits, ok := strings.CutPrefix(name, itemPrefix)
	i, err := strconv.Atoi(digits)
	if !ok || err != nil || i < 0 || digits != strconv.Itoa(i) {
		return -1
	}
	return i
}

// SeedValue is what the i-th item has at the beginning. It follows from the seed, so
// that it need not be kept; a real server is given the same.
func SeedValue(seed uint64, store string, i int) []byte {
	return seedValue(dist.Seed(seed).With(store).With("store"), i)
}

func seedValue(key dist.Key, i int) []byte {
	value := make([]byte, 0, topology.DefaultValueSize)
	value = append(value, itemPrefix...)
	value = strconv.AppendInt(value, int64(i), 10)
	value = append(value, ' ')
	k := key.With("value").WithInt(i)
	for n := 0; len(value) < topology.DefaultValueSize; n++ {
		value = strconv.AppendUint(value, k.WithInt(n).Uint64(), 16)
	}
	return value[:topology.DefaultValueSize]
}

// items are what a store holds. Those that nobody has written are not kept but
// made when they are asked for.
type items struct {
	key    dist.Key
	seeded int
	// flushed says that the seeded items are gone.
	flushed bool
	list    map[string]*item
	// counts has, by item and kind, how many operations there were; items that
	// were not seeded share the last.
	counts []uint32
	// written are the bytes that writes have added.
	written int64
}

// An item is one that was written.
type item struct {
	now revision
	// before are former revisions, the oldest first, while replicas lag.
	before []revision
}

// A revision is what an item is from a moment on.
type revision struct {
	at      time.Duration
	value   []byte
	found   bool
	version uint64
	// expires is when it goes; 0 means that it does not.
	expires time.Duration
}

// alive is the revision at a moment: it is not found once it has expired.
func (r revision) alive(now time.Duration) revision {
	if r.found && r.expires > 0 && now >= r.expires {
		return revision{at: r.expires, version: r.version}
	}
	return r
}

// left is how long the value stays; 0 means that it does not go.
func (r revision) left(now time.Duration) time.Duration {
	if !r.found || r.expires == 0 {
		return 0
	}
	return r.expires - now
}

func (m *items) seed(key dist.Key, n int) {
	*m = items{key: key, seeded: n, list: map[string]*item{}}
}

// kindsOfOperations is the number of kinds that are counted.
const kindsOfOperations = 4

// slot is the place of an operation among those that are counted: no store knows more
// than kindsOfOperations of them.
func slot(op topology.Operation) int {
	return max(slices.Index(topology.Operations(), op), 0) % kindsOfOperations
}

// count returns how many operations of the kind there were on the item before, and
// counts this one.
func (m *items) count(name string, op topology.Operation) int {
	i := itemIndex(name)
	if i < 0 || i >= m.seeded {
		i = m.seeded
	}
	if m.counts == nil {
		m.counts = make([]uint32, (m.seeded+1)*kindsOfOperations)
	}
	n := &m.counts[i*kindsOfOperations+slot(op)]
	*n++
	return int(*n - 1)
}

// original is an item that nobody has written.
func (m *items) original(name string) revision {
	if i := itemIndex(name); i >= 0 && i < m.seeded && !m.flushed {
		return revision{value: seedValue(m.key, i), found: true}
	}
	return revision{}
}

// at is an item as it is now.
func (m *items) at(name string, now time.Duration) revision {
	if kept := m.list[name]; kept != nil {
		return kept.now.alive(now)
	}
	return m.original(name)
}

// asOf is an item as it was at an earlier moment, as far as that is kept.
func (m *items) asOf(name string, then time.Duration, is revision) revision {
	kept := m.list[name]
	if kept == nil || kept.now.at <= then {
		return is
	}
	for i := len(kept.before) - 1; i >= 0; i-- {
		if kept.before[i].at <= then || i == 0 {
			return kept.before[i].alive(then)
		}
	}
	return is
}

// mostBefore bounds the revisions that are kept of one item.
const mostBefore = 1000

// put makes a revision the newest, and keeps the one before if replicas lag.
func (m *items) put(name string, r revision, keep bool) (version uint64) {
	kept := m.list[name]
	if kept == nil {
		kept = &item{now: m.original(name)}
		m.list[name] = kept
	}
	m.written += int64(len(r.value) - len(kept.now.value))
	if keep {
		if kept.before = append(kept.before, kept.now); len(kept.before) > mostBefore {
			kept.before = slices.Delete(kept.before, 0, len(kept.before)-mostBefore)
		}
	} else {
		kept.before = nil
	}
	kept.now = r
	return r.version
}

// forget drops former revisions.
func (m *items) forget() {
	for _, kept := range m.list {
		kept.before = nil
	}
}

func (m *items) flush() {
	m.flushed, m.list, m.written = true, map[string]*item{}, 0
}

// following are so many names from one on: items that were seeded, or the one alone.
func (m *items) following(name string, n int) []string {
	first := itemIndex(name)
	if first < 0 {
		return []string{name}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = ItemName(first + i)
	}
	return names
}

func (m *items) len(now time.Duration) int {
	n := 0
	if !m.flushed {
		n = m.seeded
	}
	for name, kept := range m.list {
		was, is := m.original(name).found, kept.now.alive(now).found
		switch {
		case is && !was:
			n++
		case was && !is:
			n--
		}
	}
	return n
}

// names lists items in their order: those that were seeded, then the others by name.
func (m *items) names(now time.Duration, from, most int) (names []string, next int) {
	var others []string
	for name := range m.list {
		if i := itemIndex(name); i < 0 || i >= m.seeded {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	for i := from; i < m.seeded+len(others); i++ {
		if len(names) == most {
			return names, i
		}
		name := ""
		if i < m.seeded {
			name = ItemName(i)
		} else {
			name = others[i-m.seeded]
		}
		if m.at(name, now).found {
			names = append(names, name)
		}
	}
	return names, 0
}
