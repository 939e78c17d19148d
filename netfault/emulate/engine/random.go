package engine

import (
	"math/rand/v2"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// source is where all the random numbers of one engine come from.
type source struct{ *rand.Rand }

// newSource returns the stream of that number of the seed; seed 0 is a random one.
func newSource(seed, stream uint64) source {
	if seed == 0 {
		seed = rand.Uint64()
	}
	return source{rand.New(rand.NewPCG(seed, stream))}
}

// correlated gives netem's correlated random numbers: each is mixed with the
// one before, which narrows their spread.
type correlated struct {
	source
	correlation float64
	last        float64
}

func newCorrelated(correlation float64, r source) correlated {
	return correlated{source: r, correlation: correlation, last: r.Float64()}
}

func (c *correlated) next() float64 {
	v := c.Float64()
	if c.correlation == 0 {
		return v
	}
	c.last = v*(1-c.correlation) + c.last*c.correlation
	return c.last
}

// chance draws whether events happen that have a probability.
type chance struct {
	number    correlated
	threshold float64
}

func newChance(probability, correlation float64, r source) chance {
	return chance{newCorrelated(correlation, r), netfault.Threshold(probability, correlation)}
}

// happens draws; an event that cannot happen draws nothing.
func (c *chance) happens() bool { return c.threshold > 0 && c.number.next() < c.threshold }

// spread gives delays around a mean.
type spread struct {
	mean, jitter int64
	number       correlated
	table        []float64 // quantiles in jitters; nil is uniform
}

// tableSize is how finely a distribution is cut; netem's own tables have 4096 parts.
const tableSize = 4096

func newSpread(mean, jitter time.Duration, d netfault.Distribution, correlation float64, r source) spread {
	s := spread{mean: int64(mean), jitter: int64(jitter), number: newCorrelated(correlation, r)}
	if jitter == 0 || d == "" || d == netfault.Uniform {
		return s
	}
	s.table = make([]float64, tableSize)
	for n := range s.table {
		s.table[n] = d.Quantile((float64(n) + .5) / tableSize)
	}
	return s
}

// next returns a delay in nanoseconds, never a negative one.
func (s *spread) next() int64 {
	if s.jitter == 0 {
		return s.mean
	}
	v := s.number.next()
	if s.table == nil {
		return s.mean - s.jitter + int64(v*2*float64(s.jitter))
	}
	part := min(int(v*tableSize), tableSize-1)
	return max(0, s.mean+int64(s.table[part]*float64(s.jitter)))
}
