package tc

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// netem is the kernel's parameters of sch_netem as they are on the wire
// (linux/pkt_sched.h): times in ns, probabilities as parts of 2^32-1.
type netem struct {
	latency, jitter                int64
	limit, loss, gap, duplicate    uint32
	delayCorr, lossCorr, dupCorr   uint32
	reorder, reorderCorr           uint32
	corrupt, corruptCorr           uint32
	rate                           uint64
	packetOverhead                 int32
	cellSize                       uint32
	cellOverhead                   int32
	model                          lossModel
	m                              [5]uint32
	ecn                            bool
	slotMin, slotMax               int64
	slotPackets, slotBytes         int32
	slotDelay, slotJitter          int64
	seed                           uint64
	distribution, slotDistribution netfault.Distribution // never read back
}

type lossModel uint16

const (
	lossRandom lossModel = iota
	lossState            // NETEM_LOSS_GI; m is p13, p31, p32, p14, p23
	lossGE               // NETEM_LOSS_GE; m is p, r, h = 1 - loss in bad, loss in good
)

// Attributes in TCA_OPTIONS of netem, after its fixed structure.
const (
	netemCorr        = 1
	netemDelayDist   = 2
	netemReorder     = 3
	netemCorrupt     = 4
	netemLoss        = 5
	netemRate        = 6
	netemECN         = 7
	netemRate64      = 8
	netemLatency64   = 10
	netemJitter64    = 11
	netemSlot        = 12
	netemSlotDist    = 13
	netemSeed        = 14
	netemFixedSize   = 24
	nanosecondsATick = 64 // of the fields older than the 64-bit ones
)

// scale turns a probability into parts of 2^32-1. A probability too small for one
// part is one part: for the kernel, none means that the field is not given, and
// a reordering without its probability reorders everything.
func scale(p float64) uint32 {
	if p <= 0 {
		return 0
	}
	return uint32(max(1, math.Round(p*math.MaxUint32)))
}

// scaleBeside is scale for the second of two shares of one draw. The kernel adds
// them in 32 bits, so their sum may not be more than the whole.
func scaleBeside(first uint32, p float64) uint32 { return min(scale(p), math.MaxUint32-first) }

// correlated is scale for the number below which the kernel's correlated draws
// must stay so that as much happens as the probability says.
func correlated(p, correlation float64) uint32 {
	if p <= 0 {
		return 0
	}
	return max(1, scale(netfault.Threshold(p, correlation)))
}

func uncorrelated(parts, correlation uint32) float64 {
	return netfault.Probability(unscale(parts), unscale(correlation))
}

func unscale(v uint32) float64 { return float64(v) / math.MaxUint32 }

// newNetem turns an impairment (which must be valid) into netem's parameters.
func newNetem(i netfault.Impairment) netem {
	n := netem{
		latency: int64(i.Delay), jitter: int64(i.Jitter),
		limit: i.QueueLimit(), loss: correlated(i.Loss.Probability, i.Loss.Correlation), duplicate: correlated(i.Duplicate.Probability, i.Duplicate.Correlation),
		delayCorr: scale(i.DelayCorrelation), lossCorr: scale(i.Loss.Correlation), dupCorr: scale(i.Duplicate.Correlation),
		reorder: correlated(i.Reorder.Probability, i.Reorder.Correlation), reorderCorr: scale(i.Reorder.Correlation),
		corrupt: correlated(i.Corrupt.Probability, i.Corrupt.Correlation), corruptCorr: scale(i.Corrupt.Correlation),
		rate: i.Rate.BytesPerSecond, packetOverhead: i.Rate.PacketOverhead, cellSize: i.Rate.CellSize, cellOverhead: i.Rate.CellOverhead,
		ecn:     i.ECN,
		slotMin: int64(i.Slot.MinDelay), slotMax: int64(i.Slot.MaxDelay), slotPackets: i.Slot.Packets, slotBytes: i.Slot.Bytes,
		slotDelay: int64(i.Slot.Delay), slotJitter: int64(i.Slot.Jitter),
		seed: i.Seed, distribution: i.Distribution, slotDistribution: i.Slot.Distribution,
	}
	if i.Reorder.Probability > 0 {
		n.gap = max(1, i.Reorder.Gap) // without a gap the kernel does not reorder
	}
	if n.distribution == netfault.Uniform {
		n.distribution = ""
	}
	if s := i.Loss.State.WithDefaults(); s != (netfault.StateLoss{}) {
		n.model = lossState
		p13, p32 := scale(s.P13), scale(s.P32)
		n.m = [5]uint32{p13, scaleBeside(p32, s.P31), p32, scaleBeside(p13, s.P14), scale(s.P23)}
	}
	if g := i.Loss.GilbertElliott.WithDefaults(); g != (netfault.GilbertElliott{}) {
		n.model = lossGE
		n.m = [5]uint32{scale(g.GoodToBad), scale(g.BadToGood), scale(1 - g.LossInBad), scale(g.LossInGood)}
	}
	return n
}

// impairment is the reverse of newNetem, in real units.
func (n netem) impairment() netfault.Impairment {
	i := netfault.Impairment{
		Delay: time.Duration(n.latency), Jitter: time.Duration(n.jitter), Distribution: n.distribution, DelayCorrelation: unscale(n.delayCorr),
		Loss:      netfault.Loss{Probability: uncorrelated(n.loss, n.lossCorr), Correlation: unscale(n.lossCorr)},
		Duplicate: netfault.Chance{Probability: uncorrelated(n.duplicate, n.dupCorr), Correlation: unscale(n.dupCorr)},
		Corrupt:   netfault.Chance{Probability: uncorrelated(n.corrupt, n.corruptCorr), Correlation: unscale(n.corruptCorr)},
		Reorder:   netfault.Reorder{Probability: uncorrelated(n.reorder, n.reorderCorr), Correlation: unscale(n.reorderCorr), Gap: n.gap},
		Rate:      netfault.Rate{BytesPerSecond: n.rate, PacketOverhead: n.packetOverhead, CellSize: n.cellSize, CellOverhead: n.cellOverhead},
		Slot: netfault.Slot{MinDelay: time.Duration(n.slotMin), MaxDelay: time.Duration(n.slotMax), Distribution: n.slotDistribution,
			Delay: time.Duration(n.slotDelay), Jitter: time.Duration(n.slotJitter), Packets: n.slotPackets, Bytes: n.slotBytes},
		ECN: n.ecn, Seed: n.seed, Limit: n.limit,
	}
	switch n.model {
	case lossRandom:
	case lossState:
		i.Loss.State = netfault.StateLoss{P13: unscale(n.m[0]), P31: unscale(n.m[1]), P32: unscale(n.m[2]), P14: unscale(n.m[3]), P23: unscale(n.m[4])}
	case lossGE:
		i.Loss.GilbertElliott = netfault.GilbertElliott{GoodToBad: unscale(n.m[0]), BadToGood: unscale(n.m[1]), LossInBad: 1 - unscale(n.m[2]), LossInGood: unscale(n.m[3])}
	}
	return i
}

func (n netem) kind() string { return "netem" }

// options encodes TCA_OPTIONS. For a netem that exists already (change) every
// attribute is sent: those that are missing would keep their old values, and
// the old table of a distribution would stay in force.
func (n netem) options(change bool) []byte {
	ticks := func(ns int64) uint32 { return uint32(min(ns/nanosecondsATick, math.MaxUint32)) }
	out := attrs(u32s(ticks(n.latency), n.limit, n.loss, n.gap, n.duplicate, ticks(n.jitter)))
	out.u64(netemLatency64, uint64(n.latency))
	out.u64(netemJitter64, uint64(n.jitter))
	if change || n.delayCorr|n.lossCorr|n.dupCorr != 0 {
		out.u32s(netemCorr, n.delayCorr, n.lossCorr, n.dupCorr)
	}
	if change || n.reorder != 0 {
		out.u32s(netemReorder, n.reorder, n.reorderCorr)
	}
	if change || n.corrupt != 0 {
		out.u32s(netemCorrupt, n.corrupt, n.corruptCorr)
	}
	if change || n.rate != 0 {
		out.u32s(netemRate, uint32(min(n.rate, math.MaxUint32)), uint32(n.packetOverhead), n.cellSize, uint32(n.cellOverhead))
	}
	if n.rate > math.MaxUint32 {
		out.u64(netemRate64, n.rate)
	}
	if change || n.ecn {
		out.u32(netemECN, boolBit(n.ecn))
	}
	n.lossOptions(&out)
	n.slotOptions(&out, change)
	if n.seed != 0 {
		out.u64(netemSeed, n.seed)
	}
	if n.jitter > 0 && (n.distribution != "" || change) {
		out.bytes(netemDelayDist, distributionTable(n.distribution))
	}
	return out
}

func (n netem) lossOptions(out *attrs) {
	var model attrs
	switch n.model {
	case lossState:
		model.u32s(uint16(lossState), n.m[:]...)
	case lossGE:
		model.u32s(uint16(lossGE), n.m[:4]...)
	default:
		return // without the attribute the kernel goes back to random loss
	}
	const nested = 1 << 15
	out.bytes(netemLoss|nested, model)
}

func (n netem) slotOptions(out *attrs, change bool) {
	if !change && n.slotMin|n.slotMax|n.slotDelay == 0 {
		return
	}
	var b []byte
	b = binary.NativeEndian.AppendUint64(b, uint64(n.slotMin))
	b = binary.NativeEndian.AppendUint64(b, uint64(max(n.slotMax, n.slotMin)))
	b = binary.NativeEndian.AppendUint32(b, uint32(n.slotPackets))
	b = binary.NativeEndian.AppendUint32(b, uint32(n.slotBytes))
	b = binary.NativeEndian.AppendUint64(b, uint64(n.slotDelay))
	b = binary.NativeEndian.AppendUint64(b, uint64(n.slotJitter))
	out.bytes(netemSlot, b)
	if n.slotJitter > 0 {
		out.bytes(netemSlotDist, distributionTable(n.slotDistribution))
	}
}

func boolBit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// parseNetem reads TCA_OPTIONS as the kernel dumps them.
func parseNetem(b []byte) (netem, error) {
	var n netem
	if len(b) < netemFixedSize {
		return n, fmt.Errorf("netem's parameters are %d bytes long, want at least %d", len(b), netemFixedSize)
	}
	var latency, jitter uint32
	words(b, &latency, &n.limit, &n.loss, &n.gap, &n.duplicate, &jitter)
	n.latency, n.jitter = int64(latency)*nanosecondsATick, int64(jitter)*nanosecondsATick
	a, err := parseAttrs(b[netemFixedSize:])
	if err != nil {
		return n, fmt.Errorf("netem's parameters: %w", err)
	}
	if v, ok := a[netemLatency64]; ok {
		n.latency = int64(u64(v))
	}
	if v, ok := a[netemJitter64]; ok {
		n.jitter = int64(u64(v))
	}
	words(a[netemCorr], &n.delayCorr, &n.lossCorr, &n.dupCorr)
	words(a[netemReorder], &n.reorder, &n.reorderCorr)
	words(a[netemCorrupt], &n.corrupt, &n.corruptCorr)
	var rate, packetOverhead, cellOverhead uint32
	words(a[netemRate], &rate, &packetOverhead, &n.cellSize, &cellOverhead)
	n.rate, n.packetOverhead, n.cellOverhead = max(uint64(rate), u64(a[netemRate64])), int32(packetOverhead), int32(cellOverhead)
	n.ecn = u32(a[netemECN]) != 0
	n.seed = u64(a[netemSeed])
	if v := a[netemSlot]; len(v) >= 40 {
		n.slotMin, n.slotMax = int64(u64(v)), int64(u64(v[8:]))
		n.slotPackets, n.slotBytes = int32(u32(v[16:])), int32(u32(v[20:]))
		n.slotDelay, n.slotJitter = int64(u64(v[24:])), int64(u64(v[32:]))
	}
	return n, n.parseLoss(a[netemLoss])
}

func (n *netem) parseLoss(b []byte) error {
	models, err := parseAttrs(b)
	if err != nil {
		return fmt.Errorf("netem's loss model: %w", err)
	}
	for _, model := range []lossModel{lossState, lossGE} {
		if v, ok := models[uint16(model)]; ok {
			n.model = model
			words(v, &n.m[0], &n.m[1], &n.m[2], &n.m[3], &n.m[4])
		}
	}
	return nil
}

// canonical drops what the kernel fills in or does not tell, so that what was
// asked and what is there can be compared.
func (n netem) canonical(asked netem) netem {
	if n.slotPackets == math.MaxInt32 {
		n.slotPackets = 0
	}
	if n.slotBytes == math.MaxInt32 {
		n.slotBytes = 0
	}
	if asked.seed == 0 {
		n.seed = 0 // drawn by the kernel
	}
	n.distribution, n.slotDistribution = asked.distribution, asked.slotDistribution
	return n
}

// String writes the parameters in the words of the tc program.
func (n netem) String() string {
	var w strings.Builder
	percent := func(p, corr uint32) string {
		if corr == 0 {
			return fmt.Sprintf("%.6g%%", unscale(p)*100)
		}
		return fmt.Sprintf("%.6g%% %.6g%%", unscale(p)*100, unscale(corr)*100)
	}
	fmt.Fprintf(&w, "limit %d", n.limit)
	if n.latency != 0 || n.jitter != 0 {
		fmt.Fprintf(&w, " delay %v", time.Duration(n.latency))
		if n.jitter != 0 {
			fmt.Fprintf(&w, " %v", time.Duration(n.jitter))
		}
		if n.delayCorr != 0 {
			fmt.Fprintf(&w, " %.6g%%", unscale(n.delayCorr)*100)
		}
		if n.distribution != "" {
			fmt.Fprintf(&w, " distribution %s", n.distribution)
		}
	}
	switch {
	case n.model == lossState:
		fmt.Fprintf(&w, " loss state p13 %s p31 %s p32 %s p14 %s p23 %s", percent(n.m[0], 0), percent(n.m[1], 0), percent(n.m[2], 0), percent(n.m[3], 0), percent(n.m[4], 0))
	case n.model == lossGE:
		fmt.Fprintf(&w, " loss gemodel p %s r %s 1-h %s 1-k %s", percent(n.m[0], 0), percent(n.m[1], 0), percent(math.MaxUint32-n.m[2], 0), percent(n.m[3], 0))
	case n.loss != 0:
		fmt.Fprintf(&w, " loss %s", percent(n.loss, n.lossCorr))
	}
	if n.ecn {
		w.WriteString(" ecn")
	}
	if n.duplicate != 0 {
		fmt.Fprintf(&w, " duplicate %s", percent(n.duplicate, n.dupCorr))
	}
	if n.corrupt != 0 {
		fmt.Fprintf(&w, " corrupt %s", percent(n.corrupt, n.corruptCorr))
	}
	if n.reorder != 0 {
		fmt.Fprintf(&w, " reorder %s gap %d", percent(n.reorder, n.reorderCorr), n.gap)
	}
	if n.rate != 0 {
		fmt.Fprintf(&w, " rate %dbps packetoverhead %d cellsize %d celloverhead %d", n.rate, n.packetOverhead, n.cellSize, n.cellOverhead)
	}
	if n.slotDelay != 0 {
		fmt.Fprintf(&w, " slot distribution %s %v %v", n.slotDistribution, time.Duration(n.slotDelay), time.Duration(n.slotJitter))
	} else if n.slotMin|n.slotMax != 0 {
		fmt.Fprintf(&w, " slot %v %v", time.Duration(n.slotMin), time.Duration(n.slotMax))
	}
	if n.slotPackets != 0 {
		fmt.Fprintf(&w, " packets %d", n.slotPackets)
	}
	if n.slotBytes != 0 {
		fmt.Fprintf(&w, " bytes %d", n.slotBytes)
	}
	if n.seed != 0 {
		fmt.Fprintf(&w, " seed %d", n.seed)
	}
	return w.String()
}

// distributionTable holds 4096 quantiles as the kernel looks them up: signed
// 16-bit, 8192 to a jitter.
func distributionTable(d netfault.Distribution) []byte {
	const size = 4096
	out := make([]byte, 0, 2*size)
	for n := range size {
		v := math.Round(8192 * d.Quantile((float64(n)+0.5)/size))
		out = binary.NativeEndian.AppendUint16(out, uint16(int16(min(max(v, math.MinInt16), math.MaxInt16))))
	}
	return out
}
