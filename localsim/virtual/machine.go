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
		RequestCPU: measured(costs.Processor), ConnectionCPU: measured(costs.Connection), CPUUnit: measured(costs.CPUUnit),
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

// CostsOf tells results of a calibration.
func CostsOf(c *calibration.Calibration) *result.Costs {
	return &result.Costs{Of: c.ID(), Measured: c.Date, Machine: c.Where()}
}

// measured is a time that was measured: of nothing, too, which is no default.
func measured(seconds float64) time.Duration {
	if d := time.Duration(math.Round(seconds * 1e9)); d > 0 {
		return d
	}
	return -1
}

// Lateness is by how much sleeps are late: quantiles in rising order, of which the
// first has share 0 and the last share 1.
type Lateness []Late

// Late says that a share of all sleeps is at most so late.
type Late struct {
	Share float64
	By    time.Duration
}

// draw returns the lateness of one sleep.
func (l Lateness) draw(k dist.Key) time.Duration { return l.at(k.Float64()) }

// at is the quantile of a share. Between two that are known it rises evenly.
func (l Lateness) at(u float64) time.Duration {
	for i := 1; i < len(l); i++ {
		if low, high := l[i-1], l[i]; u < high.Share {
			// Conversions keep processors from rounding once where others round twice.
			part := (float64(u) - low.Share) / float64(high.Share-low.Share)
			return low.By + time.Duration(float64(part*float64(high.By-low.By)))
		}
	}
	return l[len(l)-1].By
}

// late is by how much the next sleep of a request is late.
func (w *world) late(sv *serving) time.Duration {
	if len(w.machine.Lateness) == 0 {
		return w.machine.SleepLate
	}
	sv.sleeps++
	return w.machine.Lateness.draw(w.lateKey.With(sv.identity.ID).With(sv.identity.Hop).WithInt(sv.sleeps))
}
