package gate

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// bench makes a lane whose stages can be fed by hand; what they pass on is in its queue.
func bench(t *testing.T, conditions ...Condition) *lane {
	t.Helper()
	g, err := New(Config{Upstream: "unused:1", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.ToServer().Set(conditions...); err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	l := newPair(g, 1, a, b).toServer
	l.follow()
	return l
}

// An arrival is an item and when it came to the writer.
type arrival struct {
	item
	at time.Time
}

// passed lets time pass from now until nothing is due any more, and returns what
// has come to the writer.
func (l *lane) passed(now time.Time) (all []arrival) {
	for {
		next := l.tick(now)
		for _, it := range l.queue.items[l.queue.head:] {
			all = append(all, arrival{it, now})
		}
		l.queue = newQueue()
		if next.IsZero() {
			return all
		}
		now = next
	}
}

func TestSliceSizes(t *testing.T) {
	for _, c := range []Slice{{Size: 4}, {Size: 1}, {Size: 10, Variation: 9}, {Size: 100, Variation: 1}} {
		l := bench(t, c)
		data := make([]byte, 1000)
		for i := range data {
			data[i] = byte(i)
		}
		start := time.Now()
		l.advance(0, chunk{at: start, data: bytes.Clone(data)})
		var whole []byte
		items := l.passed(start)
		for i, it := range items {
			if n := len(it.data); n > c.Size+c.Variation || n < c.Size-c.Variation && i < len(items)-1 {
				t.Errorf("%+v: a part of %d bytes", c, n)
			}
			whole = append(whole, it.data...)
		}
		if !bytes.Equal(whole, data) {
			t.Errorf("%+v: the parts do not make the whole", c)
		}
	}
}

// TestOrderAndLoss is a property of every stack of conditions that loses
// nothing: the bytes come out as they went in.
func TestOrderAndLoss(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	harmless := []func() Condition{
		func() Condition { return Delay{By: time.Duration(r.IntN(1e9)), Jitter: time.Duration(r.IntN(1e9))} },
		func() Condition { return Slice{Size: 1 + r.IntN(100), Pause: time.Duration(r.IntN(1e6))} },
		func() Condition { return Concatenate{Size: r.IntN(1000)} },
		func() Condition { return Bandwidth{Rate: 1 + r.Int64N(1e6), Burst: r.Int64N(1000)} },
		func() Condition { return TimeLimit{After: time.Hour} },
		func() Condition { return Retransmit{Share: r.Float64()} },
		func() Condition { return Substitute{Pattern: "never", With: "x"} },
		func() Condition { return SlowClose{After: time.Second} },
		func() Condition { return ByteLimit{Bytes: 1 << 40} },
	}
	for range 300 {
		var stack []Condition
		for range r.IntN(5) {
			stack = append(stack, harmless[r.IntN(len(harmless))]())
		}
		l := bench(t, stack...)
		var sent, got []byte
		at := time.Now()
		for range 1 + r.IntN(20) {
			at = at.Add(time.Duration(r.IntN(1e8)))
			data := make([]byte, 1+r.IntN(500))
			for i := range data {
				data[i] = byte('a' + r.IntN(3))
			}
			sent = append(sent, data...)
			l.tick(at)
			l.advance(0, chunk{at: at, data: bytes.Clone(data)})
		}
		l.advance(0, chunk{at: at, end: endOfData})
		items := l.passed(at)
		for _, it := range items {
			got = append(got, it.data...)
		}
		if !bytes.Equal(got, sent) {
			t.Fatalf("%+v: %d bytes went in, %d came out", stack, len(sent), len(got))
		}
		if n := len(items); items[n-1].end != endOfData {
			t.Fatalf("%+v: the end of data is lost", stack)
		}
	}
}

func TestBucketKeepsItsRate(t *testing.T) {
	for _, rate := range []float64{1, 10e3, 1e6, 100e6} {
		var b bucket
		now := time.Unix(1000, 0)
		start := now
		const burst = 100
		total := 0
		for n := 1; now.Sub(start) < 10*time.Second; n = n%1000 + 7 {
			total += n
			now = b.take(n, now, rate, burst)
		}
		earned := burst + rate*now.Sub(start).Seconds()
		if d := float64(total) - earned; d > 1 || d < -1 {
			t.Errorf("at %v B/s %d bytes passed in %v, want %.0f", rate, total, now.Sub(start), earned)
		}
		// Idle time fills it up to the burst and no further, also after a debt.
		later := now.Add(time.Hour * 24 * 365)
		b.take(0, later, rate, burst)
		if b.tokens != burst {
			t.Errorf("after a year the bucket has %v, want %v", b.tokens, burst)
		}
		// A link makes up for the time by which its lane woke late, up to the grace.
		for late, most := range map[time.Duration]float64{20 * time.Millisecond: max(burst, rate*0.02), time.Hour: max(burst, rate*grace.Seconds())} {
			b.take(int(b.tokens)+1000, later, rate, burst)
			b.wokeLate(late)
			later = later.Add(time.Hour * 24 * 365)
			b.take(0, later, rate, burst)
			if math.Abs(b.tokens-most) > 1 {
				t.Errorf("after a wait of %v too much the bucket has %v, want %v", late, b.tokens, most)
			}
		}
	}
}

// An answer takes as long on a limited link after a pause as after another answer.
func TestALinkSavesNothingUp(t *testing.T) {
	l := bench(t, Bandwidth{Rate: 100e3, Burst: 1000})
	start := time.Now()
	for _, pause := range []time.Duration{0, 0, 50 * time.Millisecond, time.Second, time.Hour} {
		start = start.Add(pause)
		l.advance(0, chunk{at: start, data: make([]byte, 20e3)})
		items := l.passed(start)
		end := items[len(items)-1].at
		if took := end.Sub(start); took < 180*time.Millisecond || took > 200*time.Millisecond {
			t.Errorf("after a pause of %v, 20 kB at 100 kB/s take %v, want 190ms to 200ms", pause, took)
		}
		start = end
	}
}

// The number of sendings that were lost in a row is geometric, and each makes the
// chunk later by twice as much as the one before.
func TestRetransmitDelays(t *testing.T) {
	const share, draws = 0.3, 20000
	lost := map[time.Duration]int{}
	l := bench(t, Retransmit{Share: share})
	for range draws {
		start := time.Now()
		l.advance(0, chunk{at: start, data: []byte("x")})
		lost[l.passed(start)[0].at.Sub(start)]++
	}
	expected := float64(draws) * (1 - share)
	for k := range 4 {
		late := 200 * time.Millisecond * (1<<k - 1)
		// 5 standard deviations of a count.
		if n := float64(lost[late]); math.Abs(n-expected) > 5*math.Sqrt(expected) {
			t.Errorf("%v chunks are late by %v, want about %.0f", n, late, expected)
		}
		expected *= share
	}
	never := bench(t, Retransmit{Share: 1})
	start := time.Now()
	never.advance(0, chunk{at: start, data: []byte("x")})
	if late := never.passed(start)[0].at.Sub(start); late != 2*time.Minute {
		t.Errorf("a chunk that is always lost is late by %v, want 2m", late)
	}
}

func TestConcatenateGivesUpAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := bench(t, Concatenate{Size: 10})
		l.advance(0, chunk{at: time.Now(), data: []byte("few")})
		if next := l.tick(time.Now()); time.Until(next) != time.Minute {
			t.Errorf("looks again in %v, want a minute", time.Until(next))
		}
		time.Sleep(time.Minute)
		l.tick(time.Now())
		if items := l.passed(time.Now()); len(items) != 1 || string(items[0].data) != "few" {
			t.Errorf("passed %v", items)
		}
		if l.slots[0].active.Problem() == nil {
			t.Error("no problem is told")
		}
	})
}

// TestDraws checks that the share of connections hit is the one asked for, and
// that a larger share hits the same connections and more.
func TestDraws(t *testing.T) {
	const n = 100000
	a := &Active{id: 5}
	for _, share := range []float64{0, 0.01, 0.5, 0.99, 1} {
		hit := 0
		for connection := range uint64(n) {
			less := entry{a, &setting{share: share / 2}}.applies(1, connection)
			if (entry{a, &setting{share: share}}).applies(1, connection) {
				hit++
			} else if less {
				t.Fatalf("connection %d is hit at %v and not at %v", connection, share/2, share)
			}
		}
		if d := float64(hit) - share*n; d > 700 || d < -700 { // more than four standard deviations
			t.Errorf("share %v hit %d of %d", share, hit, n)
		}
	}
}

func TestBandwidthIsSharedOrNot(t *testing.T) {
	for _, own := range []bool{false, true} {
		first := bench(t, Bandwidth{Rate: 1000, Burst: 100, PerConnection: own})
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		second := newPair(first.pair.gate, 2, a, b).toServer
		second.follow()
		at := time.Now()
		first.advance(0, chunk{at: at, data: make([]byte, 100)})
		second.advance(0, chunk{at: at, data: make([]byte, 100)})
		if items := first.passed(at); items[len(items)-1].at != at {
			t.Errorf("PerConnection %v: the burst of the first connection is not free", own)
		}
		items := second.passed(at)
		late := items[len(items)-1].at.Sub(at).Round(time.Microsecond)
		if want := map[bool]time.Duration{false: 100 * time.Millisecond, true: 0}[own]; late != want {
			t.Errorf("PerConnection %v: the second connection's data waits %v, want %v", own, late, want)
		}
	}
}

// Jitter neither adds to the mean of a delay nor keeps datagrams in order: each
// is late by its own draw. In a stream what follows waits, so the mean is higher.
func TestJitterOfDatagrams(t *testing.T) {
	const n, by = 4000, 100 * time.Millisecond
	for network, most := range map[string]time.Duration{"udp:": 105 * time.Millisecond, "": 200 * time.Millisecond} {
		g, err := New(Config{Listen: network + "unused:1", Upstream: network + "unused:2", Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.ToServer().Delay(by, by); err != nil {
			t.Fatal(err)
		}
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		l := newPair(g, 1, a, b).toServer
		l.follow()
		start := time.Now()
		var sum time.Duration
		overtaken, last := 0, -1
		take := func(now time.Time) {
			for _, it := range l.queue.items[l.queue.head:] {
				i := int(binary.BigEndian.Uint32(it.data))
				sum += now.Sub(start.Add(time.Duration(i) * 2 * time.Millisecond))
				if i < last {
					overtaken++
				}
				last = i
			}
			l.queue = newQueue()
		}
		for at := start; ; at = at.Add(time.Millisecond) {
			next := l.tick(at)
			take(at)
			if i := int(at.Sub(start) / (2 * time.Millisecond)); i < n && at.Sub(start)%(2*time.Millisecond) == 0 {
				l.advance(0, chunk{at: at, data: binary.BigEndian.AppendUint32(nil, uint32(i))})
			} else if i >= n && next.IsZero() {
				break
			}
		}
		// A uniform draw from 0..200 ms: five standard errors are 4.6 ms.
		if mean := sum / n; mean < 95*time.Millisecond || mean > most || network == "" && mean < 150*time.Millisecond {
			t.Errorf("%q: the mean delay is %v", network, mean)
		}
		if (overtaken > 0) != g.datagrams {
			t.Errorf("%q: %d arrived after a later one", network, overtaken)
		}
	}
}

// Parts of one read have fates of their own: what becomes of one must not give
// the buffer of the others back.
func TestPartsDoNotShareABuffer(t *testing.T) {
	for _, last := range []Condition{Drop{}, Substitute{Pattern: "x+", With: "y"}, Concatenate{Size: 1}} {
		l := bench(t, Slice{Size: smallChunk}, last)
		buf := l.pair.gate.buffer()
		data := (*buf)[:2*smallChunk]
		for i := range data {
			data[i] = 'x'
		}
		l.advance(0, chunk{at: time.Now(), data: data, pooled: buf})
		for i := range data {
			data[i] = 'z' // as the next read would
		}
		for _, it := range l.passed(time.Now()) {
			if bytes.ContainsRune(it.data, 'z') {
				t.Errorf("%s: a part was overwritten", last.Kind())
			}
		}
	}
}
