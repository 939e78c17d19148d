package export

import (
	"fmt"
	"math"

	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// Confidence is that of all intervals of one impact together: each of its effects
// has a share of the rest (Bonferroni).
const Confidence = 0.95

// An Impact says what a fault did to the clients, by their figures while it acted
// and before any fault did.
type Impact struct {
	// NormalSeconds and FaultySeconds are how long either was seen.
	NormalSeconds float64 `json:"normalSeconds"`
	FaultySeconds float64 `json:"faultySeconds"`
	// Verdict is effective if an effect is seen that matters, none if all effects
	// were measured and none is seen, and unknown if there was too little to measure.
	Verdict Verdict  `json:"verdict"`
	Why     string   `json:"why,omitempty"`
	Effects []Effect `json:"effects"`
}

// A Verdict says whether a fault had an effect on the clients.
type Verdict string

// The verdicts.
const (
	Effective Verdict = "effective"
	None      Verdict = "none"
	Unknown   Verdict = "unknown"
)

// An Effect is the change of one figure of the clients.
type Effect struct {
	// Figure is errors (a share), latency (the mean, in seconds) or goodput
	// (requests per second).
	Figure string  `json:"figure"`
	Normal float64 `json:"normal"`
	Faulty float64 `json:"faulty"`
	// Change is the difference of shares, or else the share by which the figure is
	// higher; Low and High are the ends of its interval.
	Change float64 `json:"change"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	// Matters is the smallest change that counts; the effect is seen if the whole
	// interval is beyond it.
	Matters float64 `json:"matters"`
	Seen    bool    `json:"seen"`
}

// The smallest changes that count.
const (
	mattersErrors  = 0.001
	mattersLatency = 0.05
	mattersGoodput = 0.05
)

// batches are so many at least, where there are as many seconds, each of at most
// maxBatch: neighbouring seconds are alike, and means of several are less so.
const (
	minBatches = 10
	maxBatch   = 10
)

// A batch is some seconds of the clients together.
type batch struct{ seconds, requests, errors, good, latencySum, latencies float64 }

func (b *batch) add(r *clientRow) {
	b.seconds += r.seconds
	b.requests += r.requests
	b.errors += r.errors
	b.good += r.good
	if isKnown(r.mean) {
		b.latencySum += r.mean * r.requests
		b.latencies += r.requests
	}
}

// inWindow returns the rows of clients that lie in a window, as batches.
func (r *Run) inWindow(from, to float64) (list []batch, all batch) {
	const slack = 1e-6
	var rows []*clientRow
	for i := range r.clients {
		c := &r.clients[i]
		if c.at-c.seconds >= from-slack && c.at <= to+slack {
			rows = append(rows, c)
		}
	}
	size := min(max(len(rows)/minBatches, 1), maxBatch)
	for i := 0; i+size <= len(rows); i += size {
		var b batch
		for _, row := range rows[i : i+size] {
			b.add(row)
		}
		list = append(list, b)
	}
	for _, row := range rows {
		all.add(row)
	}
	return list, all
}

// Impact compares the clients in two windows, in seconds since the load began.
func (r *Run) Impact(normalFrom, normalTo, from, to float64) Impact {
	normal, normalAll := r.inWindow(normalFrom, normalTo)
	faulty, faultyAll := r.inWindow(from, to)
	p := Impact{NormalSeconds: normalAll.seconds, FaultySeconds: faultyAll.seconds, Verdict: Unknown, Effects: []Effect{}}
	switch {
	case len(normal) < 2:
		p.Why = fmt.Sprintf("there are %.0f s of load before the faults, and two are needed at least", normalAll.seconds)
		return p
	case len(faulty) < 2:
		p.Why = fmt.Sprintf("there are %.0f s of load while the fault acted, and two are needed at least", faultyAll.seconds)
		return p
	case normalAll.requests == 0:
		p.Why = "there were no requests before the faults"
		return p
	}
	p.Effects = append(p.Effects, errorsEffect(normal, faulty, &normalAll, &faultyAll))
	if e, ok := latencyEffect(normal, faulty, &normalAll, &faultyAll); ok {
		p.Effects = append(p.Effects, e)
	}
	if e, ok := goodputEffect(normal, faulty, &normalAll, &faultyAll); ok {
		p.Effects = append(p.Effects, e)
	}
	p.Verdict = None
	for i := range p.Effects {
		e := &p.Effects[i]
		if e.Seen = e.Low > e.Matters || e.High < -e.Matters; e.Seen {
			p.Verdict = Effective
		}
	}
	return p
}

const figures = 3

// errorsEffect takes the wider of two intervals: that of the batches, which knows
// that errors come together, and that of the counts (Newcombe, Interval Estimation
// for the Difference Between Independent Proportions, 1998), which knows that none
// among few requests is not none at all.
func errorsEffect(normal, faulty []batch, all, allFaulty *batch) Effect {
	share := func(b *batch) (float64, bool) { return b.errors / b.requests, b.requests > 0 }
	e := Effect{Figure: "errors", Matters: mattersErrors}
	e.Normal, _ = share(all)
	if e.Faulty = 0; allFaulty.requests > 0 {
		e.Faulty, _ = share(allFaulty)
	}
	e.Change = e.Faulty - e.Normal
	each := 1 - (1-Confidence)/figures
	a := stats.Wilson(int64(all.errors), int64(all.requests), each)
	b := stats.Wilson(int64(allFaulty.errors), int64(allFaulty.requests), each)
	e.Low = e.Change - math.Hypot(e.Faulty-b.Low, a.High-e.Normal)
	e.High = e.Change + math.Hypot(b.High-e.Faulty, e.Normal-a.Low)
	if half, ok := welch(values(normal, share), values(faulty, share)); ok {
		e.Low, e.High = min(e.Low, e.Change-half), max(e.High, e.Change+half)
	}
	e.Low, e.High = max(e.Low, -1), min(e.High, 1)
	return e
}

// latencyEffect compares mean latencies as logarithms, because they vary by factors.
func latencyEffect(normal, faulty []batch, all, allFaulty *batch) (Effect, bool) {
	mean := func(b *batch) (float64, bool) { return b.latencySum / b.latencies, b.latencies > 0 && b.latencySum > 0 }
	logMean := func(b *batch) (float64, bool) {
		v, ok := mean(b)
		return math.Log(v), ok
	}
	e := Effect{Figure: "latency", Matters: mattersLatency}
	var ok, okFaulty bool
	e.Normal, ok = mean(all)
	e.Faulty, okFaulty = mean(allFaulty)
	if !ok || !okFaulty {
		return e, false
	}
	half, ok := welch(values(normal, logMean), values(faulty, logMean))
	if !ok {
		return e, false
	}
	change := math.Log(e.Faulty / e.Normal)
	e.Change, e.Low, e.High = math.Expm1(change), math.Expm1(change-half), math.Expm1(change+half)
	return e, true
}

// goodputEffect is the difference as a share of the goodput before.
func goodputEffect(normal, faulty []batch, all, allFaulty *batch) (Effect, bool) {
	rate := func(b *batch) (float64, bool) { return b.good / b.seconds, b.seconds > 0 }
	e := Effect{Figure: "goodput", Matters: mattersGoodput}
	e.Normal, _ = rate(all)
	e.Faulty, _ = rate(allFaulty)
	half, ok := welch(values(normal, rate), values(faulty, rate))
	if !ok || e.Normal == 0 {
		return e, false
	}
	e.Change = e.Faulty/e.Normal - 1
	e.Low, e.High = max(e.Change-half/e.Normal, -1), e.Change+half/e.Normal
	return e, true
}

func values(batches []batch, of func(*batch) (float64, bool)) (list []float64) {
	for i := range batches {
		if v, ok := of(&batches[i]); ok {
			list = append(list, v)
		}
	}
	return list
}

// welch returns half the width of the interval for the difference of two means
// (Welch, The Generalization of Student's Problem when Several Different Population
// Variances are Involved, 1947).
func welch(a, b []float64) (half float64, ok bool) {
	if len(a) < 2 || len(b) < 2 {
		return 0, false
	}
	va, vb := variance(a)/float64(len(a)), variance(b)/float64(len(b))
	if va+vb == 0 {
		return 0, true
	}
	degrees := (va + vb) * (va + vb) / (va*va/float64(len(a)-1) + vb*vb/float64(len(b)-1))
	each := 1 - (1-Confidence)/figures/2
	return stats.StudentQuantile(each, degrees) * math.Sqrt(va+vb), true
}

func variance(list []float64) (sum float64) {
	var mean float64
	for _, v := range list {
		mean += v / float64(len(list))
	}
	for _, v := range list {
		sum += (v - mean) * (v - mean)
	}
	return sum / float64(len(list)-1)
}
