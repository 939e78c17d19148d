package virtual

import (
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/calibration"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Calibrated returns a machine with the costs that were measured on a real one.
// Costs that the calibration does not have keep their defaults.
func Calibrated(c *calibration.Calibration) Machine {
	costs := &c.Costs
	m := Machine{
		Cores: float64(c.Machine.CPUs), Latency: measured(costs.Packet), RequestWait: measured(costs.RequestWait), CallWait: measured(costs.CallWait), IdleWait: measured(costs.IdleWait), IdleCallWait: measured(costs.IdleCallWait),
		RequestCPU: measured(costs.Processor), ConnectionCPU: measured(costs.Connection), AloneCPU: measured(costs.Alone), TurnCPU: measured(costs.Turn), CPUUnit: measured(costs.CPUUnit),
		DiskSync: measured(costs.DiskSync), DiskIdle: measured(costs.DiskIdle), DiskRate: costs.DiskRate, StartTime: measured(costs.Start),
	}
	late := costs.Lateness
	if s := costs.Sleeps; s != nil {
		late, m.SleepTick = s.Wake, measured(s.Tick)
	}
	for _, q := range late {
		m.Lateness = append(m.Lateness, Late{q.Share, time.Duration(math.Round(q.Seconds * 1e9))})
	}
	for _, r := range c.Runtimes {
		if m.Runtimes == nil {
			m.Runtimes = map[topology.RuntimeName]RuntimeCosts{}
		}
		m.Runtimes[topology.RuntimeName(r.Name)] = RuntimeCosts{max(0, measured(r.Processor)), max(0, measured(r.Call)), max(0, measured(r.Start))}
	}
	return m
}

// CostsOf returns the note of a calibration for results.
func CostsOf(c *calibration.Calibration) *result.Costs {
	return &result.Costs{Of: c.ID(), Measured: c.Date, Machine: c.Where()}
}

// measured returns a measured time. A measured 0 becomes negative, because 0 means
// the default.
func measured(seconds float64) time.Duration {
	if d := time.Duration(math.Round(seconds * 1e9)); d > 0 {
		return d
	}
	return -1
}

// Lateness is the distribution of how late sleeps are: quantiles in rising order,
// from share 0 to share 1.
type Lateness []Late

// Late is a quantile: this share of all sleeps is at most so late.
type Late struct {
	Share float64
	By    time.Duration
}

// draw returns the lateness of one sleep.
func (l Lateness) draw(k dist.Key) time.Duration { return l.at(k.Float64()) }

// at returns the quantile of a share, interpolated linearly between the known ones.
func (l Lateness) at(u float64) time.Duration {
	for i := 1; i < len(l); i++ {
		if low, high := l[i-1], l[i]; u < high.Share {
			// The conversions prevent fused operations, which some processors round
			// differently.
			part := (float64(u) - low.Share) / float64(high.Share-low.Share)
			return low.By + time.Duration(float64(part*float64(high.By-low.By)))
		}
	}
	return l[len(l)-1].By
}

// late returns by how much the next sleep of a request is late.
func (w *world) late(sv *serving) time.Duration {
	if len(w.machine.Lateness) == 0 {
		return w.machine.SleepLate
	}
	sv.sleeps++
	return w.machine.Lateness.draw(w.lateKey.With(sv.identity.ID).With(sv.identity.Hop).WithInt(sv.sleeps))
}
