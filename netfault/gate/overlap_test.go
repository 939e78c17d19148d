package gate

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// overlapping is one condition of each type, with an effect that lasts longer
// than tests let another one act.
func overlapping() map[string]Condition {
	return map[string]Condition{
		"delay":        Delay{By: 3 * time.Second},
		"jitter":       Delay{By: 3 * time.Second, Jitter: time.Second},
		"serial":       Delay{By: 2 * time.Second, Serial: true},
		"stop":         StopReading{},
		"drop":         Drop{},
		"drop some":    Drop{Share: 0.5},
		"retransmit":   Retransmit{Share: 0.95},
		"black hole":   BlackHole{After: 3 * time.Second},
		"close":        CloseOnData{},
		"reset":        CloseOnData{Reset: true},
		"reset peer":   ResetPeer{After: 3 * time.Second},
		"corrupt":      Corrupt{},
		"bandwidth":    Bandwidth{Rate: 2, Burst: 1},
		"own rate":     Bandwidth{Rate: 2, Burst: 1, PerConnection: true},
		"time limit":   TimeLimit{After: 3 * time.Second},
		"idle limit":   TimeLimit{After: 3 * time.Second, Idle: true},
		"byte limit":   ByteLimit{Bytes: 100},
		"own limit":    ByteLimit{Bytes: 8, PerConnection: true},
		"slice":        Slice{Size: 2, Variation: 1, Pause: time.Second},
		"concatenate":  Concatenate{Size: 100, GiveUp: 3 * time.Second},
		"substitute":   Substitute{Pattern: "b", With: "BBB"},
		"slow open":    SlowOpen{By: time.Second},
		"slow close":   SlowClose{After: 3 * time.Second},
		"hook":         Hook{Name: "hook", Do: func(_ ConnInfo, data []byte) ([]byte, Verdict) { return data, Forward }},
		"several some": Sometimes{Share: 0.5, Of: Delay{By: time.Second}},
	}
}

// A step happens at a time after the data was sent.
type step struct {
	at time.Duration
	do func(*lane)
}

// timeline sends "abcdef", "ghi" 50 ms later and the end of data 60 ms later
// through the conditions that before sets, takes the steps, and tells what comes
// out and when. After ten seconds all that is left in force is taken away.
func timeline(t *testing.T, conditions []Condition, steps ...step) string {
	var told strings.Builder
	synctest.Test(t, func(t *testing.T) {
		g, err := New(Config{Upstream: "unused:1", Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		l := newPair(g, 1, a, b).toServer
		if _, err := g.ToServer().Set(conditions...); err != nil {
			t.Fatal(err)
		}
		l.follow()
		start := time.Now()
		take := func() {
			for _, it := range l.queue.items[l.queue.head:] {
				fmt.Fprintf(&told, "%v %q %d; ", time.Since(start), it.data, it.end)
			}
			l.queue = newQueue()
		}
		send := func(c chunk) func(*lane) {
			return func(l *lane) {
				if c.at = time.Now(); !l.noMore {
					l.noMore = c.end != endNone
					l.advance(0, c)
				}
			}
		}
		all := append([]step{
			{0, send(chunk{data: []byte("abcdef")})}, {50 * time.Millisecond, send(chunk{data: []byte("ghi")})},
			{60 * time.Millisecond, send(chunk{end: endOfData})},
		}, steps...)
		all = append(all, step{10 * time.Second, func(l *lane) { g.ToServer().Pass(); l.follow() }})
		for _, s := range all {
			for end := start.Add(s.at); ; {
				next := l.tick(time.Now())
				take()
				if next.IsZero() || next.After(end) {
					time.Sleep(time.Until(end))
					break
				}
				time.Sleep(time.Until(next))
			}
			s.do(l)
			take()
		}
	})
	return told.String()
}

// add and remove change the conditions of the lane's direction as users do.
func add(c Condition, active **Active) func(*lane) {
	return func(l *lane) {
		*active, _ = l.direction.Add(c)
		l.follow()
	}
}

func remove(active **Active) func(*lane) {
	return func(l *lane) {
		(*active).Remove()
		l.follow()
	}
}

// For each pair of types: data that one condition holds back keeps its time while
// the other is added, changed and removed.
func TestOverlappingConditionsLeaveEachOtherAlone(t *testing.T) {
	for x, first := range overlapping() {
		alone := timeline(t, []Condition{first})
		for y, second := range overlapping() {
			if y == "black hole" {
				continue // its end closes the connections that it has met, as its doc says
			}
			t.Run(x+" and "+y, func(t *testing.T) {
				var active *Active
				got := timeline(t, []Condition{first},
					step{100 * time.Millisecond, add(second, &active)},
					step{200 * time.Millisecond, func(l *lane) { _ = active.Update(second); l.follow() }},
					step{400 * time.Millisecond, remove(&active)})
				if got != alone {
					t.Errorf("while the other came and went:\n%s\nalone:\n%s", got, alone)
				}
			})
		}
	}
}

// A condition that meets data first and has passed it on may end, or be set
// anew, and nothing behind it changes: each pair of types.
func TestEndOfAConditionInFront(t *testing.T) {
	for y, second := range overlapping() {
		for x, in := range overlapping() {
			if x == "black hole" {
				continue
			}
			t.Run(x+" in front of "+y, func(t *testing.T) {
				in, second := shortened(in), second
				both := []Condition{in, second}
				want := timeline(t, both)
				if got := timeline(t, both, step{900 * time.Millisecond, func(l *lane) {
					l.direction.Active()[0].Remove()
					l.follow()
				}}); got != want {
					t.Errorf("with the first one gone:\n%s\nwith it:\n%s", got, want)
				}
				if got := timeline(t, both, step{100 * time.Millisecond, func(l *lane) {
					for i, a := range l.direction.Active() {
						if err := a.Update(both[i]); err != nil {
							t.Error(err)
						}
					}
					l.follow()
				}}); got != want {
					t.Errorf("with both set anew:\n%s\nwithout:\n%s", got, want)
				}
			})
		}
	}
}

// shortened is a condition of the same type whose effect on the data of a
// timeline is over before 900 ms.
func shortened(c Condition) Condition {
	const short = 200 * time.Millisecond
	switch c := c.(type) {
	case Delay:
		c.By, c.Jitter = c.By/15, c.Jitter/15
		return c
	case ResetPeer:
		return ResetPeer{After: short}
	case Bandwidth:
		c.Rate *= 10
		return c
	case TimeLimit:
		c.After = short
		return c
	case Slice:
		c.Pause /= 20
		return c
	case Concatenate:
		c.GiveUp = short
		return c
	case SlowClose:
		return SlowClose{After: short}
	case Retransmit:
		return Retransmit{Share: 0.2}
	case StopReading:
		return Corrupt{}
	case Sometimes:
		c.Of = shortened(c.Of)
		return c
	}
	return c
}
