package measure

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Process is what the processes of one replica have used, all that ran one after
// another.
type Process struct {
	Service string
	// Replica counts from 1.
	Replica int
	// Ended counts the processes that have ended.
	Ended int
	// CPU is the processor time of all of them. Resident is the memory that the
	// running one holds now, and Peak the most it has held, in bytes. They are nil if
	// not known.
	CPU            *time.Duration
	Resident, Peak *int64
	// Address is how long the first took from its start until it printed its
	// address, and Healthy until it answered that it is ready; 0 if not known.
	Address, Healthy time.Duration
}

// Processes returns what the processes of each service used between two readings,
// in the order of the system's file. stats is what the services counted in that
// time.
func Processes(system *topology.System, before, after []Process, stats []result.ServiceStats) (all []result.ProcessStats) {
	for i := range system.Services {
		s := &system.Services[i]
		of := func(readings []Process) (own []*Process) {
			for j := range readings {
				if readings[j].Service == s.Name {
					own = append(own, &readings[j])
				}
			}
			return own
		}
		if own := of(after); len(own) > 0 {
			p := processStats(of(before), own)
			p.Service = s.Name
			if r, known := topology.LookupRuntime(s.Runtime); known {
				p.Runtime = r.Name
			}
			p.SetRequests(stats)
			all = append(all, p)
		}
	}
	return all
}

func processStats(before, after []*Process) result.ProcessStats {
	p := result.ProcessStats{Replicas: len(after), CPUSeconds: cpuBetween(before, after)}
	for i, now := range after {
		// The peak memory of a process that has ended since the first reading is
		// not known.
		if i < len(before) && before[i].Ended == now.Ended {
			p.PeakMemoryBytes = most(p.PeakMemoryBytes, now.Peak)
		}
		p.MemoryBytes = most(p.MemoryBytes, now.Resident)
		p.AddressSeconds = most(p.AddressSeconds, seconds(now.Address))
		p.ReadySeconds = most(p.ReadySeconds, seconds(now.Healthy))
	}
	return p
}

// cpuBetween returns the processor time of all replicas between two readings, or
// nil if one of them is not known.
func cpuBetween(before, after []*Process) *float64 {
	if len(before) != len(after) {
		return nil
	}
	sum := 0.0
	for i, now := range after {
		then := before[i]
		if now.CPU == nil || then.CPU == nil || now.Replica != then.Replica {
			return nil
		}
		sum += (*now.CPU - *then.CPU).Seconds()
	}
	return &sum
}

func most[T int64 | float64](a, b *T) *T {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func seconds(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	v := d.Seconds()
	return &v
}
