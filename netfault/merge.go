package netfault

import (
	"errors"
	"math"
	"time"
)

// Merge combines impairments that act one after the other into one, because the
// kernel applies only one per packet.
//
// Delays add, and jitters as independent random variables do (the root of the
// sum of squares; two different shapes become a normal one of the same
// variance). Losses, duplication, corruption and reordering combine as
// independent events. The lowest rate wins. Two models of loss, or two slots,
// cannot be one and are an error.
func Merge(all ...Impairment) (Impairment, error) {
	var out Impairment
	for _, next := range all {
		var err error
		if out, err = merge2(out, next); err != nil {
			return Impairment{}, err
		}
	}
	return out, nil
}

func merge2(a, b Impairment) (Impairment, error) {
	out := Impairment{
		Partition:        a.Partition || b.Partition,
		Delay:            a.Delay + b.Delay,
		DelayCorrelation: max(a.DelayCorrelation, b.DelayCorrelation),
		Duplicate:        mergeChance(a.Duplicate, b.Duplicate),
		Corrupt:          mergeChance(a.Corrupt, b.Corrupt),
		Rate:             a.Rate,
		Slot:             a.Slot,
		ECN:              a.ECN || b.ECN,
		Seed:             a.Seed,
		Limit:            max(a.Limit, b.Limit),
	}
	out.Jitter, out.Distribution = mergeJitter(a, b)
	r := mergeChance(Chance{a.Reorder.Probability, a.Reorder.Correlation}, Chance{b.Reorder.Probability, b.Reorder.Correlation})
	out.Reorder = Reorder{r.Probability, r.Correlation, mergeGap(a.Reorder, b.Reorder)}
	if b.Rate.BytesPerSecond > 0 && (a.Rate.BytesPerSecond == 0 || b.Rate.BytesPerSecond < a.Rate.BytesPerSecond) {
		out.Rate = b.Rate
	}
	if out.Seed == 0 {
		out.Seed = b.Seed
	}
	if b.Slot != (Slot{}) {
		if a.Slot != (Slot{}) {
			return out, errors.New("two slots on the same packets cannot be one; keep one of them")
		}
		out.Slot = b.Slot
	}
	var err error
	out.Loss, err = mergeLoss(a.Loss, b.Loss)
	return out, err
}

// either returns the probability that at least one of two independent events happens.
func either(p, q float64) float64 { return p + q - p*q }

func mergeChance(a, b Chance) Chance {
	return Chance{either(a.Probability, b.Probability), max(a.Correlation, b.Correlation)}
}

// mergeGap keeps the denser of two patterns.
func mergeGap(a, b Reorder) uint32 {
	switch {
	case a.Probability == 0:
		return b.Gap
	case b.Probability == 0:
		return a.Gap
	}
	return min(a.Gap, b.Gap)
}

func mergeJitter(a, b Impairment) (time.Duration, Distribution) {
	switch {
	case a.Jitter == 0:
		return b.Jitter, b.Distribution
	case b.Jitter == 0:
		return a.Jitter, a.Distribution
	}
	shape := func(d Distribution) Distribution {
		if d == "" {
			return Uniform
		}
		return d
	}
	x, y := float64(a.Jitter), float64(b.Jitter)
	if shape(a.Distribution) == shape(b.Distribution) {
		return time.Duration(math.Round(math.Hypot(x, y))), a.Distribution
	}
	// A uniform variable on ±J has the standard deviation J/sqrt(3).
	if shape(a.Distribution) == Uniform {
		x /= math.Sqrt(3)
	}
	if shape(b.Distribution) == Uniform {
		y /= math.Sqrt(3)
	}
	return time.Duration(math.Round(math.Hypot(x, y))), Normal
}

func mergeLoss(a, b Loss) (Loss, error) {
	isRandom := func(l Loss) bool { return l.State == StateLoss{} && l.GilbertElliott == GilbertElliott{} }
	if isRandom(b) {
		a, b = b, a
	}
	// Now a is random if any of them is.
	switch {
	case b == (Loss{}):
		return a, nil
	case a == (Loss{}):
		return b, nil
	case isRandom(a) && isRandom(b):
		c := mergeChance(Chance{a.Probability, a.Correlation}, Chance{b.Probability, b.Correlation})
		return Loss{Probability: c.Probability, Correlation: c.Correlation}, nil
	case isRandom(a) && b.GilbertElliott != GilbertElliott{}:
		// An independent loss on top raises the loss of either state.
		g := b.GilbertElliott.WithDefaults()
		g.LossInBad = either(g.LossInBad, a.Probability)
		g.LossInGood = either(g.LossInGood, a.Probability)
		return Loss{GilbertElliott: g}, nil
	}
	return Loss{}, errors.New("two models of loss on the same packets cannot be one (random with random, and random with gilbertElliott can); keep one of them")
}
