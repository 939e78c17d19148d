package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Direction is one half of every connection of a gate, with the stack of
// conditions that data meets on its way, first to last.
//
// Its methods may be called at any time and from any goroutine. They act on
// live and future connections and return once every live connection has been
// told; data read earlier is not recalled.
type Direction struct {
	gate *Gate
	name string

	mu   sync.Mutex
	plan atomic.Pointer[plan] // never nil
}

// A plan is the desired behaviour of a direction's connections; it never
// changes.
type plan struct{ entries []entry }

type entry struct {
	active  *Active
	setting *setting
}

// A setting is the value of an active condition between two updates.
type setting struct {
	condition Condition // without Sometimes
	share     float64
}

// Active is a condition in force. It tells what the condition has done so far.
type Active struct {
	id        uint64
	direction *Direction

	hits, bytes, connections atomic.Int64
	once                     sync.Once
	acted                    chan struct{}
	problem                  atomic.Pointer[error]

	bucket bucket       // shared by the connections, for Bandwidth
	passed atomic.Int64 // counted over all connections, for ByteLimit
}

// Sometimes is the condition Of for a Share (0..1) of the connections. The draw
// is made once for each connection, from the gate's seed.
type Sometimes struct {
	Share float64
	Of    Condition
}

// Kind implements [Condition].
func (s Sometimes) Kind() string { return s.Of.Kind() }

func (s Sometimes) check(datagrams bool) error {
	if s.Of == nil {
		return errors.New("Sometimes.Of is nil; it must be a condition")
	}
	if !(s.Share >= 0 && s.Share <= 1) {
		return fmt.Errorf("Sometimes.Share is %v; it must be between 0 and 1", s.Share)
	}
	return s.Of.check(datagrams)
}

func (s Sometimes) newStage(at *slot) stage { return s.Of.newStage(at) }

// settle separates a condition from the share of connections it is for.
func settle(c Condition) *setting {
	s := &setting{condition: c, share: 1}
	for {
		some, ok := s.condition.(Sometimes)
		if !ok {
			return s
		}
		s.condition, s.share = some.Of, s.share*some.Share
	}
}

func (d *Direction) check(c Condition) error {
	if c == nil {
		return fmt.Errorf("setting a condition %s of gate %q: the condition is nil", d.name, d.gate)
	}
	if err := c.check(d.gate.datagrams); err != nil {
		if s, ok := c.(Sometimes); ok && s.Of == nil {
			return err
		}
		return fmt.Errorf("setting condition %q %s of gate %q: %w", c.Kind(), d.name, d.gate, err)
	}
	return nil
}

func (d *Direction) newActive() *Active {
	return &Active{id: d.gate.nextID.Add(1), direction: d, acted: make(chan struct{})}
}

// Set replaces all conditions of the direction; without arguments it is [Direction.Pass].
// Either all conditions are set or, with an error, none.
func (d *Direction) Set(conditions ...Condition) ([]*Active, error) {
	for _, c := range conditions {
		if err := d.check(c); err != nil {
			return nil, err
		}
	}
	actives := make([]*Active, len(conditions))
	entries := make([]entry, len(conditions))
	for i, c := range conditions {
		actives[i] = d.newActive()
		entries[i] = entry{actives[i], settle(c)}
	}
	d.change(func([]entry) []entry { return entries })
	return actives, nil
}

// Add puts a condition behind those in force.
func (d *Direction) Add(c Condition) (*Active, error) {
	if err := d.check(c); err != nil {
		return nil, err
	}
	a := d.newActive()
	d.change(func(old []entry) []entry {
		return append(old[:len(old):len(old)], entry{a, settle(c)})
	})
	return a, nil
}

// Pass takes all conditions away.
func (d *Direction) Pass() {
	d.change(func([]entry) []entry { return nil })
}

// Active lists the conditions in force, in the order in which data meets them.
func (d *Direction) Active() []*Active {
	entries := d.plan.Load().entries
	list := make([]*Active, len(entries))
	for i, e := range entries {
		list[i] = e.active
	}
	return list
}

// change replaces the plan by what edit makes of its entries and tells all connections.
func (d *Direction) change(edit func(old []entry) []entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plan.Store(&plan{edit(d.plan.Load().entries)})
	d.gate.tellAll()
}

// Condition returns the condition as it was set last, or nil when it has been removed.
func (a *Active) Condition() Condition {
	for _, e := range a.direction.plan.Load().entries {
		if e.active != a {
			continue
		}
		if e.setting.share < 1 {
			return Sometimes{Share: e.setting.share, Of: e.setting.condition}
		}
		return e.setting.condition
	}
	return nil
}

// Update changes the condition in its place. The counts go on, and data that it
// holds back leaves when it would have left if the condition had been the new
// one from the beginning; what is late by that leaves at once. Other conditions
// are not disturbed.
func (a *Active) Update(c Condition) error {
	d := a.direction
	if err := d.check(c); err != nil {
		return err
	}
	found := false
	d.change(func(old []entry) []entry {
		entries := append([]entry(nil), old...)
		for i := range entries {
			if entries[i].active == a {
				entries[i].setting, found = settle(c), true
			}
		}
		return entries
	})
	if !found {
		return fmt.Errorf("updating condition %q %s of gate %q: it has been removed; add it again", c.Kind(), d.name, d.gate)
	}
	return nil
}

// Remove takes the condition away. Data that it held back go on at once to the
// conditions behind it; data that those hold back stay there. Removing twice is
// allowed.
func (a *Active) Remove() {
	a.direction.change(func(old []entry) []entry {
		entries := make([]entry, 0, len(old))
		for _, e := range old {
			if e.active != a {
				entries = append(entries, e)
			}
		}
		return entries
	})
}

// Hits is how often the condition acted: on chunks, datagrams, ends of data or
// waiting connections.
func (a *Active) Hits() int64 { return a.hits.Load() }

// Bytes is how many bytes the condition acted on.
func (a *Active) Bytes() int64 { return a.bytes.Load() }

// Connections is how many connections the condition has acted on.
func (a *Active) Connections() int64 { return a.connections.Load() }

// Problem returns what kept the condition from being carried out as ordered, or
// nil: a [Concatenate] that gave up waiting.
func (a *Active) Problem() error {
	if p := a.problem.Load(); p != nil {
		return *p
	}
	return nil
}

// Wait returns nil as soon as the condition has acted on traffic, or the
// context's error.
func (a *Active) Wait(ctx context.Context) error {
	select {
	case <-a.acted:
		return nil
	default:
	}
	select {
	case <-a.acted:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for a condition to act on traffic %s of gate %q: %w", a.direction.name, a.direction.gate, context.Cause(ctx))
	}
}

func (a *Active) hit(bytes int, firstOfConnection bool) {
	a.hits.Add(1)
	a.bytes.Add(int64(bytes))
	if firstOfConnection {
		a.connections.Add(1)
	}
	a.once.Do(func() { close(a.acted) })
}

// applies draws whether a condition is for the connection. The draw depends on
// seed, connection and condition alone, so it survives updates.
func (e entry) applies(seed, connection uint64) bool {
	if e.setting.share >= 1 {
		return true
	}
	h := mix(mix(seed^mix(connection)) ^ e.active.id)
	return float64(h>>11)/(1<<53) < e.setting.share
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// A bucket is a token bucket that may run into debt: take returns how long to
// wait until the debt is paid.
type bucket struct {
	mu     sync.Mutex
	filled bool
	tokens float64
	last   time.Time
	// late is how much later than the debt was paid the last lane woke that waited
	// for it.
	late time.Duration
}

// grace is how much lateness a bucket makes up for. Coarse timers and a busy
// machine wake a lane late after it has waited for a debt; without grace that
// would lower the rate if the burst is small.
const grace = 100 * time.Millisecond

// wokeLate says that data left so much later than take had said. Only that is made up
// for: a link that has nothing to carry saves nothing up but its burst.
func (b *bucket) wokeLate(by time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late = max(b.late, by)
}

// take removes n tokens and returns when they are earned: at, or later.
func (b *bucket) take(n int, at time.Time, rate, burst float64) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.filled {
		b.tokens, b.last, b.filled = burst, at, true
	}
	if at.After(b.last) {
		most := max(burst, b.tokens, rate*min(b.late, grace).Seconds())
		b.tokens = math.Min(b.tokens+rate*at.Sub(b.last).Seconds(), most)
		b.last = at
	}
	b.late = 0
	b.tokens -= float64(n)
	if b.tokens >= 0 {
		return at
	}
	return b.last.Add(seconds(-b.tokens / rate))
}

// giveBack returns n tokens that were taken and not used.
func (b *bucket) giveBack(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens += float64(n)
}

// continues makes the bucket go on from what another holds.
func (b *bucket) continues(o *bucket) {
	o.mu.Lock()
	filled, tokens, last := o.filled, o.tokens, o.last
	o.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filled, b.tokens, b.last = filled, tokens, last
}

// seconds is a duration that does not overflow: a year is for ever.
func seconds(s float64) time.Duration {
	const year = 365 * 24 * time.Hour
	return time.Duration(math.Min(s*float64(time.Second), float64(year)))
}
