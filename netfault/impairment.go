package netfault

import (
	"math"
	"time"
)

// Impairment is all that happens to the packets of one direction. The zero
// value does nothing. All probabilities and correlations are 0..1.
//
// Correlation is netem's: each random number is mixed with the one before,
// new*(1-c) + previous*c. The share of packets stays the probability (see
// [Threshold]), and comes in runs.
type Impairment struct {
	// Partition drops every packet, whatever the other fields say.
	Partition bool
	// Delay is added to every packet, varied by Jitter. Packets whose delays
	// differ by more than their distance in time overtake each other.
	//
	// DelayCorrelation is handed to netem, whose kernel code takes the
	// correlated number modulo the range of the jitter: the delays therefore
	// show almost no correlation.
	Delay            time.Duration
	Jitter           time.Duration
	Distribution     Distribution
	DelayCorrelation float64
	Loss             Loss
	// Duplicate sends a packet twice; the copy is delayed on its own.
	Duplicate Chance
	// Corrupt flips one random bit; checksums make the receiver drop it.
	Corrupt Chance
	Reorder Reorder
	Rate    Rate
	Slot    Slot
	// ECN marks packets of ECN-capable flows instead of dropping them.
	ECN bool
	// Seed makes the random decisions repeatable; zero means a random seed.
	Seed uint64
	// Limit is how many packets may wait; zero means sized by [Impairment.QueueLimit].
	Limit uint32
}

// Distribution is the shape of the jitter around the delay.
type Distribution string

// The distributions. Uniform spreads over delay ± jitter; for the others
// jitter is the standard deviation of the (untruncated) distribution.
const (
	Uniform      Distribution = "uniform" // also the meaning of ""
	Normal       Distribution = "normal"
	Pareto       Distribution = "pareto"
	ParetoNormal Distribution = "paretonormal"
)

// Chance is a probability per packet, with netem's correlation.
type Chance struct {
	Probability float64 `json:"probability"`
	Correlation float64 `json:"correlation,omitzero"`
}

// Loss drops packets by one of three models: at random (Chance), by a Markov
// chain of four states, or by the Gilbert-Elliott model.
type Loss struct {
	Probability    float64        `json:"probability,omitzero"`
	Correlation    float64        `json:"correlation,omitzero"`
	State          StateLoss      `json:"state,omitzero"`
	GilbertElliott GilbertElliott `json:"gilbertElliott,omitzero"`
}

// StateLoss is netem's four-state Markov chain: 1 received in a gap, 2 received
// in a burst, 3 lost in a burst, 4 lost alone in a gap. PXY is the chance of
// going from X to Y at a packet. Zero P31 means 1-P13, zero P23 means 1.
type StateLoss struct {
	P13 float64 `json:"p13"`
	P31 float64 `json:"p31,omitzero"`
	P32 float64 `json:"p32,omitzero"`
	P23 float64 `json:"p23,omitzero"`
	P14 float64 `json:"p14,omitzero"`
}

// WithDefaults replaces zero values by their meaning.
func (s StateLoss) WithDefaults() StateLoss {
	if s == (StateLoss{}) {
		return s
	}
	if s.P31 == 0 {
		s.P31 = 1 - s.P13
	}
	if s.P23 == 0 {
		s.P23 = 1
	}
	return s
}

// Next returns the state after another packet and whether that packet is lost,
// u being uniform in 0..1. The chain begins in state 1. State 4 always leads
// back to 1 with a packet received.
func (s StateLoss) Next(state int, u float64) (next int, lost bool) {
	switch {
	case state == 1 && u < s.P14:
		return 4, true
	case state == 1 && u < s.P14+s.P13:
		return 3, true
	case state == 2 && u < s.P23:
		return 3, true
	case state == 2:
		return 2, false
	case state == 3 && u < s.P32:
		return 2, false
	case state == 3 && u < s.P32+s.P31:
		return 1, false
	case state == 3:
		return 3, true
	}
	return 1, false
}

// Mean returns the share of packets lost in the long run.
func (s StateLoss) Mean() float64 {
	s = s.WithDefaults()
	at := [5]float64{1: 1}
	var lost float64
	const settle, count = 20_000, 20_000
	for n := range settle + count {
		lostNow := at[1]*(s.P14+s.P13) + at[2]*s.P23 + at[3]*(1-s.P32-s.P31)
		if n >= settle {
			lost += lostNow
		}
		at = [5]float64{
			1: at[1]*(1-s.P14-s.P13) + at[3]*s.P31 + at[4],
			2: at[2]*(1-s.P23) + at[3]*s.P32,
			3: at[1]*s.P13 + at[2]*s.P23 + at[3]*(1-s.P32-s.P31),
			4: at[1] * s.P14,
		}
	}
	return lost / count
}

// GilbertElliott has a good and a bad state, each with its loss. Zero BadToGood
// means 1-GoodToBad, zero LossInBad means 1 (the Gilbert model).
type GilbertElliott struct {
	GoodToBad  float64 `json:"goodToBad"`
	BadToGood  float64 `json:"badToGood,omitzero"`
	LossInBad  float64 `json:"lossInBad,omitzero"`
	LossInGood float64 `json:"lossInGood,omitzero"`
}

// WithDefaults replaces zero values by their meaning.
func (g GilbertElliott) WithDefaults() GilbertElliott {
	if g == (GilbertElliott{}) {
		return g
	}
	if g.BadToGood == 0 {
		g.BadToGood = 1 - g.GoodToBad
	}
	if g.LossInBad == 0 {
		g.LossInBad = 1
	}
	return g
}

// Mean returns the share of packets lost in the long run.
func (g GilbertElliott) Mean() float64 {
	g = g.WithDefaults()
	sum := g.GoodToBad + g.BadToGood
	if sum == 0 {
		return g.LossInGood
	}
	return (g.GoodToBad*g.LossInBad + g.BadToGood*g.LossInGood) / sum
}

// Reorder sends some packets at once while the others wait their delay.
type Reorder struct {
	Probability float64 `json:"probability"`
	Correlation float64 `json:"correlation,omitzero"`
	// Gap makes only every Gap-th packet a candidate; zero means 1.
	Gap uint32 `json:"gap,omitzero"`
}

// Rate is a link speed: a packet occupies the link for its length divided by
// the speed, and the next one waits.
type Rate struct {
	BytesPerSecond uint64 `json:"bytesPerSecond"`
	// PacketOverhead is added to every packet's length; it may be negative.
	PacketOverhead int32 `json:"packetOverhead,omitzero"`
	// CellSize rounds lengths up to whole cells, each with CellOverhead more.
	CellSize     uint32 `json:"cellSize,omitzero"`
	CellOverhead int32  `json:"cellOverhead,omitzero"`
}

// Slot releases packets in bursts: after each pause, drawn uniformly from
// MinDelay..MaxDelay or from Distribution around Delay by Jitter, at most
// Packets packets and Bytes bytes leave (zero: no bound).
type Slot struct {
	MinDelay, MaxDelay time.Duration
	Distribution       Distribution
	Delay, Jitter      time.Duration
	Packets, Bytes     int32
}

// IsZero reports whether the impairment does nothing.
func (i Impairment) IsZero() bool {
	i.Seed, i.Limit = 0, 0
	return i == Impairment{}
}

// RateOnly reports whether a rate is the only impairment, which a token bucket
// can apply if netem is missing.
func (i Impairment) RateOnly() bool {
	r := i.Rate
	i.Rate, i.Seed, i.Limit = Rate{}, 0, 0
	return i == Impairment{} && r.BytesPerSecond > 0
}

// Bounds that keep every value inside what the kernel's fields hold.
const (
	MaxDelay = time.Hour
	MaxLimit = 4 << 20
	MinLimit = 1000
	// assumedRate is the expected number of packets per second if no rate
	// limits them; assumedSize is their expected length if one does.
	assumedRate = 200_000
	assumedSize = 500
)

// QueueLimit returns how many packets must be able to wait so that the delay
// itself drops none: Limit if it is set; else the packets that arrive during
// the delay and four jitters, at the rate (packets of 500 bytes) or at 200 000
// packets/s, and a buffer for bursts (100 ms at the rate, or 1000 packets).
func (i Impairment) QueueLimit() uint32 {
	if i.Limit != 0 {
		return i.Limit
	}
	seconds := (i.Delay + 4*i.Jitter + i.Slot.MaxDelay + i.Slot.Delay + 4*i.Slot.Jitter).Seconds()
	if bps := float64(i.Rate.BytesPerSecond); bps > 0 {
		return uint32(math.Min(math.Max(64, (seconds+0.1)*bps/assumedSize), MaxLimit))
	}
	return uint32(math.Min(MinLimit+seconds*assumedRate, MaxLimit))
}
