package des

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const ms = time.Millisecond

// ends plays jobs on processors until all have ended.
func ends(p *Processors, groups int, arrivals map[time.Duration][]arrival) map[int32]time.Duration {
	k, ended := New[int32](), map[int32]time.Duration{}
	timers := make([]Timer, groups)
	set := func() {
		for _, g := range p.Changed() {
			k.Cancel(timers[g])
			timers[g] = k.At(p.Next(int(g)), g)
		}
	}
	for at := range arrivals {
		k.At(at, int32(-1-at/ms))
	}
	for e, ok := k.Next(Never); ok; e, ok = k.Next(Never) {
		if e < 0 {
			for _, a := range arrivals[time.Duration(-1-e)*ms] {
				p.Add(a.group, k.Now(), a.work, a.id)
			}
		} else {
			ended[p.Pop(int(e), k.Now())] = k.Now()
		}
		set()
	}
	return ended
}

type arrival struct {
	group int
	work  time.Duration
	id    int32
}

func TestSharingIsExact(t *testing.T) {
	for name, tt := range map[string]struct {
		capacity float64
		quotas   []float64
		arrivals map[time.Duration][]arrival
		want     map[int32]time.Duration
	}{
		"one alone": {1, []float64{0}, map[time.Duration][]arrival{0: {{0, 10 * ms, 1}}}, map[int32]time.Duration{1: 10 * ms}},
		"two share": {1, []float64{0}, map[time.Duration][]arrival{0: {{0, 10 * ms, 1}, {0, 20 * ms, 2}}}, map[int32]time.Duration{1: 20 * ms, 2: 30 * ms}},
		"one comes later": {1, []float64{0}, map[time.Duration][]arrival{0: {{0, 10 * ms, 1}}, 5 * ms: {{0, 10 * ms, 2}}},
			map[int32]time.Duration{1: 15 * ms, 2: 20 * ms}},
		"two processors": {2, []float64{0}, map[time.Duration][]arrival{0: {{0, 10 * ms, 1}, {0, 10 * ms, 2}, {0, 10 * ms, 3}}},
			map[int32]time.Duration{1: 15 * ms, 2: 15 * ms, 3: 15 * ms}},
		"a quota of a half": {4, []float64{.5, 0}, map[time.Duration][]arrival{0: {{0, 10 * ms, 1}, {1, 10 * ms, 2}}},
			map[int32]time.Duration{1: 20 * ms, 2: 10 * ms}},
		// One processor: the quota lets group 0 have 1/4, the two of group 1 share 3/4.
		"a quota on a full machine": {1, []float64{.25, 0}, map[time.Duration][]arrival{0: {{0, 10 * ms, 1}, {1, 15 * ms, 2}, {1, 15 * ms, 3}}},
			map[int32]time.Duration{1: 40 * ms, 2: 40 * ms, 3: 40 * ms}},
		"groups share by jobs": {1, []float64{0, 0}, map[time.Duration][]arrival{0: {{0, 10 * ms, 1}, {1, 10 * ms, 2}, {1, 10 * ms, 3}}},
			map[int32]time.Duration{1: 30 * ms, 2: 30 * ms, 3: 30 * ms}},
	} {
		p := NewProcessors(tt.capacity)
		for _, q := range tt.quotas {
			p.Group(q)
		}
		got := ends(p, len(tt.quotas), tt.arrivals)
		for id, want := range tt.want {
			if d := got[id] - want; d.Abs() > 2 {
				t.Errorf("%s: job %d ended at %v, want %v", name, id, got[id], want)
			}
		}
	}
}

// step is that of the machine of TestSharingAgreesWithSmallSteps.
const step = 10 * time.Microsecond

// TestSharingAgreesWithSmallSteps compares random groups, quotas and jobs with a
// machine that moves on step by step.
func TestSharingAgreesWithSmallSteps(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 2))
		capacity := []float64{0.5, 1, 2, 3.5}[random.IntN(4)]
		p := NewProcessors(capacity)
		quotas := make([]float64, 1+random.IntN(4))
		for i := range quotas {
			quotas[i] = []float64{0, 0.3, 1, 2}[random.IntN(4)]
			p.Group(quotas[i])
		}
		arrivals := map[time.Duration][]arrival{}
		var left []float64 // of jobs, in steps
		var of []int
		var from []int
		for id := range int32(12) {
			at := random.IntN(20)
			a := arrival{random.IntN(len(quotas)), time.Duration(1+random.IntN(15)) * ms, id}
			arrivals[time.Duration(at)*ms] = append(arrivals[time.Duration(at)*ms], a)
			left, of, from = append(left, float64(a.work/step)), append(of, a.group), append(from, at*100)
		}
		got := ends(p, len(quotas), arrivals)
		for at := 0; at < 200_000; at++ {
			busy, all := make([]float64, len(quotas)), 0
			for i := range left {
				if left[i] > 0 && from[i] <= at {
					busy[of[i]]++
					all++
				}
			}
			if all == 0 && at > 2000 {
				break
			}
			rates := fair(capacity, quotas, busy)
			for i := range left {
				if left[i] <= 0 || from[i] > at {
					continue
				}
				if left[i] -= rates[of[i]]; left[i] <= 1e-9 {
					if d := float64(got[int32(i)])/float64(step) - float64(at+1); math.Abs(d) > 8 {
						t.Fatalf("seed %d: job %d ended at %v, want %v", seed, i, got[int32(i)], time.Duration(at+1)*step)
					}
				}
			}
		}
	}
}

// fair raises all rates together until a bound is met, in small steps.
func fair(capacity float64, quotas, busy []float64) []float64 {
	low, high := 0.0, 1.0
	rates := make([]float64, len(quotas))
	for range 40 {
		level := (low + high) / 2
		sum := 0.0
		for i := range quotas {
			rates[i] = level
			if quotas[i] > 0 && busy[i] > 0 {
				rates[i] = min(level, quotas[i]/busy[i])
			}
			sum += rates[i] * busy[i]
		}
		if sum > capacity {
			high = level
		} else {
			low = level
		}
	}
	return rates
}

func TestBurdenAndRemove(t *testing.T) {
	p := NewProcessors(1)
	p.Group(0)
	p.Add(0, 0, 10*ms, 1)
	p.Burden(0, 0, 1)
	if at := p.Next(0); at != 20*ms {
		t.Errorf("beside a job that never ends it takes %v, want 20ms", at)
	}
	p.Burden(0, 10*ms, 0)
	if at := p.Next(0); at != 15*ms {
		t.Errorf("ends at %v, want 15ms", at)
	}
	p.Add(0, 10*ms, 50*ms, 2)
	left, ok := p.Remove(0, 12*ms, 2)
	if _, twice := p.Remove(0, 12*ms, 2); !ok || twice || left != 49*ms {
		t.Errorf("a job is there once, with %v left", left)
	}
	if at := p.Next(0); at != 16*ms {
		t.Errorf("ends at %v, want 16ms", at)
	}
	p.Pop(0, 16*ms)
	if used := p.Used(0, 20*ms); (used - 11*ms).Abs() > 2 {
		t.Errorf("used %v, want 11ms", used)
	}
}
