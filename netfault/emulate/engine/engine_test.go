package engine

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

const ms = int64(time.Millisecond)

// sent is one packet that left, with the time it took.
type sent struct {
	Packet
	took int64
}

// play offers count packets, a step apart, to an engine and lets time pass
// until all have left. It returns what left, in order.
func play(t *testing.T, imp netfault.Impairment, count int, step int64, p Packet) ([]sent, Stats) {
	t.Helper()
	if err := imp.Validate(); err != nil {
		t.Fatal(err)
	}
	if imp.Seed == 0 {
		imp.Seed = 7
	}
	e := New(imp, 1, 0)
	var out []sent
	take := func(now int64) {
		for {
			p, ok := e.Take(now)
			if !ok {
				return
			}
			out = append(out, sent{p, now - int64(p.ID)*step})
		}
	}
	until := func(end int64) {
		for {
			at, ok := e.Next()
			if !ok || at >= end {
				return
			}
			take(at)
		}
	}
	for n := range count {
		now := int64(n) * step
		until(now)
		p.ID = uint32(n)
		e.Offer(now, p)
		take(now)
	}
	until(math.MaxInt64)
	if e.Held() != 0 {
		t.Errorf("%d packets never left", e.Held())
	}
	return out, e.Stats()
}

// binomial fails if n of count is not what a probability p gives, within four
// standard deviations.
func binomial(t *testing.T, what string, n uint64, count int, p float64) {
	t.Helper()
	mean, deviation := p*float64(count), math.Sqrt(p*(1-p)*float64(count))
	if math.Abs(float64(n)-mean) > 4*deviation {
		t.Errorf("%s: %d of %d, want %.0f ± %.0f", what, n, count, mean, 4*deviation)
	}
}

func TestProbabilities(t *testing.T) {
	const count = 100_000
	for _, p := range []float64{.001, .01, .1, .5, .99} {
		for seed := range uint64(5) {
			imp := netfault.Impairment{
				Seed: seed + 1, Delay: time.Second, Loss: netfault.Loss{Probability: p},
				Duplicate: netfault.Chance{Probability: p}, Corrupt: netfault.Chance{Probability: p},
			}
			imp.Limit = 4 << 20
			out, stats := play(t, imp, count, ms, Packet{Length: 100})
			binomial(t, "lost", stats.Lost, int(stats.Offered), p)
			binomial(t, "duplicated", stats.Duplicated, count, p)
			// Only packets that were not lost can be corrupted.
			binomial(t, "corrupted", stats.Corrupted, len(out), p)
		}
	}
}

func TestReorderSendsSomeAtOnce(t *testing.T) {
	const count = 50_000
	for _, gap := range []uint32{0, 1, 2, 5} {
		out, stats := play(t, netfault.Impairment{Delay: 50 * time.Millisecond, Reorder: netfault.Reorder{Probability: .3, Gap: gap}}, count, ms, Packet{})
		atOnce := 0
		for _, s := range out {
			switch s.took {
			case 0:
				atOnce++
			case 50 * ms:
			default:
				t.Fatalf("packet %d took %v, want 0 or 50 ms", s.ID, time.Duration(s.took))
			}
		}
		if atOnce != int(stats.Reordered) {
			t.Errorf("gap %d: %d packets left at once, and %d were counted", gap, atOnce, stats.Reordered)
		}
		// Between two that leave at once lie gap-1 that cannot, and then one
		// chance a packet: 1/(gap-1 + 1/p) of all.
		between := float64(max(gap, 1)-1) + 1/.3
		if got := float64(atOnce) / count; math.Abs(got-1/between) > .01 {
			t.Errorf("gap %d: a share of %.3f left at once, want %.3f", gap, got, 1/between)
		}
	}
}

func TestGapIsExact(t *testing.T) {
	out, _ := play(t, netfault.Impairment{Delay: 50 * time.Millisecond, Reorder: netfault.Reorder{Probability: 1, Gap: 5}}, 100, ms, Packet{})
	for _, s := range out {
		if ahead := s.ID%5 == 4; ahead != (s.took == 0) {
			t.Errorf("packet %d took %v", s.ID, time.Duration(s.took))
		}
	}
}

func TestUniformJitterStaysInside(t *testing.T) {
	out, _ := play(t, netfault.Impairment{Delay: 100 * time.Millisecond, Jitter: 30 * time.Millisecond}, 50_000, ms, Packet{})
	var took []float64
	for _, s := range out {
		took = append(took, float64(s.took)/float64(ms))
	}
	slices.Sort(took)
	if took[0] < 70 || took[0] > 70.1 || took[len(took)-1] > 130 || took[len(took)-1] < 129.9 {
		t.Errorf("delays from %v to %v ms, want 70 to 130", took[0], took[len(took)-1])
	}
	for _, u := range []float64{.1, .5, .9} {
		if got := took[int(u*float64(len(took)))]; math.Abs(got-(70+60*u)) > .6 {
			t.Errorf("quantile %v is %v ms, want %v", u, got, 70+60*u)
		}
	}
}

func TestDistributions(t *testing.T) {
	for _, d := range []netfault.Distribution{netfault.Normal, netfault.Pareto, netfault.ParetoNormal} {
		out, _ := play(t, netfault.Impairment{Delay: 100 * time.Millisecond, Jitter: 10 * time.Millisecond, Distribution: d}, 50_000, ms, Packet{})
		var took []float64
		for _, s := range out {
			took = append(took, float64(s.took)/float64(ms))
		}
		slices.Sort(took)
		for _, u := range []float64{.05, .25, .5, .75, .95} {
			want := 100 + 10*d.Quantile(u)
			if got := took[int(u*float64(len(took)))]; math.Abs(got-want) > .4 {
				t.Errorf("%s: quantile %v is %.2f ms, want %.2f", d, u, got, want)
			}
		}
	}
}

func TestCorrelationNarrowsTheSpread(t *testing.T) {
	deviation := func(correlation float64) float64 {
		out, _ := play(t, netfault.Impairment{Delay: 100 * time.Millisecond, Jitter: 20 * time.Millisecond, DelayCorrelation: correlation}, 50_000, ms, Packet{})
		var sum, squares float64
		for _, s := range out {
			v := float64(s.took) / float64(ms)
			sum, squares = sum+v, squares+v*v
		}
		n := float64(len(out))
		return math.Sqrt(squares/n - sum*sum/n/n)
	}
	plain := 40 / math.Sqrt(12)
	for _, c := range []float64{0, .25, .5, .9} {
		want := plain * math.Sqrt((1-c)/(1+c))
		if got := deviation(c); math.Abs(got-want) > want*.06 {
			t.Errorf("correlation %v: deviation %.2f ms, want %.2f", c, got, want)
		}
	}
}

func TestLossModels(t *testing.T) {
	const count = 400_000
	bursts := func(out []sent) (lost float64, mean float64) {
		next, runs := uint32(0), 0
		for _, s := range out {
			if s.ID != next {
				runs++
			}
			next = s.ID + 1
		}
		n := count - len(out)
		return float64(n) / count, float64(n) / float64(max(runs, 1))
	}
	ge := netfault.GilbertElliott{GoodToBad: .02, BadToGood: .2, LossInBad: .7, LossInGood: .01}
	gilbert := netfault.GilbertElliott{GoodToBad: .02, BadToGood: .25}
	for _, c := range []struct {
		name       string
		loss       netfault.Loss
		want, mean float64 // mean 0: not checked
	}{
		{"Gilbert-Elliott", netfault.Loss{GilbertElliott: ge}, ge.Mean(), 0},
		{"Gilbert", netfault.Loss{GilbertElliott: gilbert}, gilbert.Mean(), 4},
		{"two states", netfault.Loss{State: netfault.StateLoss{P13: .05, P31: .5}}, .05 / .55, 2},
		{"single losses", netfault.Loss{State: netfault.StateLoss{P14: .1}}, .1 / 1.1, 1},
		{"four states", netfault.Loss{State: netfault.StateLoss{P13: .05, P31: .3, P32: .2, P23: .4, P14: .02}},
			netfault.StateLoss{P13: .05, P31: .3, P32: .2, P23: .4, P14: .02}.Mean(), 0},
	} {
		out, _ := play(t, netfault.Impairment{Loss: c.loss}, count, ms, Packet{})
		lost, mean := bursts(out)
		if math.Abs(lost-c.want) > .04*c.want+.001 {
			t.Errorf("%s: lost %.4f, want %.4f", c.name, lost, c.want)
		}
		if c.mean != 0 && math.Abs(mean-c.mean) > .05*c.mean {
			t.Errorf("%s: losses come %.2f in a row, want %.2f", c.name, mean, c.mean)
		}
	}
}

func TestRate(t *testing.T) {
	for _, bytes := range []uint64{8_000, 125_000, 25_000_000} {
		const count = 1000
		imp := netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: bytes}, Delay: 20 * time.Millisecond, Limit: count}
		out, _ := play(t, imp, count, 1, Packet{Length: 1000})
		first, last := out[0].took, out[count-1].took+int64(out[count-1].ID)
		one := float64(1000) / float64(bytes) * 1e9
		if want := 20e6 + one; math.Abs(float64(first)-want) > 1 {
			t.Errorf("%d bytes/s: the first packet took %d ns, want %.0f", bytes, first, want)
		}
		if want := 20e6 + count*one; math.Abs(float64(last)-want) > want/1000 {
			t.Errorf("%d bytes/s: the last packet left after %d ns, want %.0f", bytes, last, want)
		}
	}
}

func TestSerialization(t *testing.T) {
	for _, c := range []struct {
		rate   netfault.Rate
		length int
		want   time.Duration
	}{
		{netfault.Rate{BytesPerSecond: 1000}, 500, 500 * time.Millisecond},
		{netfault.Rate{BytesPerSecond: 1000, PacketOverhead: 100}, 500, 600 * time.Millisecond},
		{netfault.Rate{BytesPerSecond: 1000, PacketOverhead: -600}, 500, 0},
		{netfault.Rate{BytesPerSecond: 1000, CellSize: 48, CellOverhead: 5}, 49, 106 * time.Millisecond},
		{netfault.Rate{BytesPerSecond: 1000, CellSize: 48, CellOverhead: 5}, 48, 53 * time.Millisecond},
	} {
		if got := Serialization(c.rate, c.length); got != c.want {
			t.Errorf("%+v, %d bytes: %v, want %v", c.rate, c.length, got, c.want)
		}
	}
}

func TestSlots(t *testing.T) {
	imp := netfault.Impairment{Slot: netfault.Slot{MinDelay: 10 * time.Millisecond, MaxDelay: 10 * time.Millisecond, Packets: 4}}
	out, _ := play(t, imp, 400, ms, Packet{Length: 100})
	at := map[int64]int{}
	for _, s := range out {
		at[s.took+int64(s.ID)*ms]++
	}
	for when, n := range at {
		if n > 4 {
			t.Errorf("%d packets left at %v, want at most 4", n, time.Duration(when))
		}
	}
	if want := 400 / 4; len(at) < want {
		t.Errorf("packets left at %d moments, want at least %d", len(at), want)
	}
}

func TestLimitDropsTheRest(t *testing.T) {
	out, stats := play(t, netfault.Impairment{Delay: time.Second, Limit: 10}, 25, 1, Packet{})
	if len(out) != 10 || stats.Overlimit != 15 {
		t.Errorf("%d left and %d were over the limit, want 10 and 15", len(out), stats.Overlimit)
	}
}

func TestPartitionDropsAll(t *testing.T) {
	if out, stats := play(t, netfault.Impairment{Partition: true, Duplicate: netfault.Chance{Probability: .5}}, 100, 1, Packet{}); len(out) != 0 || stats.Lost != 100 {
		t.Errorf("%d left, %d lost", len(out), stats.Lost)
	}
}

func TestECNMarksInsteadOfLosing(t *testing.T) {
	imp := netfault.Impairment{Loss: netfault.Loss{Probability: .5}, ECN: true}
	out, stats := play(t, imp, 1000, 1, Packet{ECNCapable: true})
	if len(out) != 1000 || stats.Marked < 400 {
		t.Errorf("%d left, %d marked; want all, and about half of them marked", len(out), stats.Marked)
	}
	if out, _ = play(t, imp, 1000, 1, Packet{}); len(out) > 600 {
		t.Errorf("%d packets of flows without ECN left, want about half", len(out))
	}
}

func TestSeedRepeats(t *testing.T) {
	imp := netfault.Impairment{Seed: 42, Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: netfault.Loss{Probability: .2}, Duplicate: netfault.Chance{Probability: .1}}
	a, _ := play(t, imp, 1000, ms, Packet{})
	b, _ := play(t, imp, 1000, ms, Packet{})
	same := func(x, y sent) bool { return x.ID == y.ID && x.took == y.took && x.Copy == y.Copy }
	if !slices.EqualFunc(a, b, same) {
		t.Error("the same seed decided differently")
	}
	imp.Seed = 43
	if c, _ := play(t, imp, 1000, ms, Packet{}); slices.EqualFunc(a, c, same) {
		t.Error("another seed decided alike")
	}
}

// TestQueueOrder holds the ring and heap against sorting.
func TestQueueOrder(t *testing.T) {
	r := newSource(5, 5)
	var q queue
	var want []item
	for range 200 {
		for range r.IntN(20) {
			due := int64(r.IntN(50))
			p := Packet{ID: r.Uint32()}
			q.push(due, p)
			want = append(want, item{due, q.seq, p})
		}
		slices.SortFunc(want, func(a, b item) int {
			if a.before(&b) {
				return -1
			}
			return 1
		})
		for range r.IntN(20) {
			if len(want) == 0 {
				break
			}
			if due, ok := q.next(); !ok || due != want[0].due {
				t.Fatalf("next is %d, %v; want %d", due, ok, want[0].due)
			}
			if p := q.pop(); p.ID != want[0].ID {
				t.Fatalf("popped the wrong packet")
			}
			want = want[1:]
		}
		if q.len() != len(want) {
			t.Fatalf("holds %d, want %d", q.len(), len(want))
		}
	}
}

func BenchmarkEngine(b *testing.B) {
	for name, imp := range map[string]netfault.Impairment{
		"delay":  {Delay: 10 * time.Millisecond},
		"jitter": {Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond},
		"all": {Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Distribution: netfault.Normal, Loss: netfault.Loss{Probability: .01},
			Duplicate: netfault.Chance{Probability: .01}, Reorder: netfault.Reorder{Probability: .01}, Rate: netfault.Rate{BytesPerSecond: 1 << 30}},
	} {
		b.Run(name, func(b *testing.B) {
			e := New(imp, 0, 0)
			now := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				now += 10_000 // 100 000 packets a second
				e.Offer(now, Packet{Length: 1000})
				for {
					if _, ok := e.Take(now); !ok {
						break
					}
				}
			}
		})
	}
}
