package result

import (
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// ProcessStats says what the processes of a service used, by the accounts of the
// operating system, if each replica is a process on this machine. Figures that the
// operating system does not tell are absent.
type ProcessStats struct {
	Service string `json:"service"`
	// Runtime is the program that serves: agent, express.
	Runtime  topology.RuntimeName `json:"runtime"`
	Replicas int                  `json:"replicas"`
	// CPUSeconds is the processor time of all replicas, user and system, from the
	// begin of the load to its last answer. It includes the cost of health checks and
	// scrapes. It is exact to CPUResolution for each replica.
	CPUSeconds *float64 `json:"cpuSeconds,omitempty"`
	// CPUPerRequest is CPUSeconds by the requests that the service counted; absent if
	// it is not known to a tenth.
	CPUPerRequest *float64 `json:"cpuSecondsPerRequest,omitempty"`
	// PeakMemoryBytes is the most memory that a process held resident since its start,
	// MemoryBytes what it held when the load ended; of the replica with the most.
	PeakMemoryBytes *int64 `json:"peakMemoryBytes,omitempty"`
	MemoryBytes     *int64 `json:"memoryBytes,omitempty"`
	// AddressSeconds is from the start of the first process until it printed the
	// address that it listens on, ReadySeconds until it answered that it is ready; of
	// the replica that took longest. All services of a system start at once, so they
	// share the processors meanwhile.
	AddressSeconds *float64 `json:"addressSeconds,omitempty"`
	ReadySeconds   *float64 `json:"readySeconds,omitempty"`
	// ImageBytes is the size of the files in the image that a kind sandbox would load
	// for this runtime: program, loader, libraries, standard library and service, not
	// packed. An image from a registry can be larger by its distribution.
	ImageBytes *int64 `json:"imageBytes,omitempty"`
}

// CPUResolution is by how much the processor time of a replica may be off: at both
// readings the time of the user and that of the system are cut to 10 ms.
const CPUResolution = 0.02

// SetRequests sets CPUPerRequest by what the service counted.
func (p *ProcessStats) SetRequests(stats []ServiceStats) {
	at := slices.IndexFunc(stats, func(s ServiceStats) bool { return s.Service == p.Service })
	if at < 0 || stats[at].Requests == 0 || p.CPUSeconds == nil || *p.CPUSeconds < 10*CPUResolution*float64(p.Replicas) {
		return
	}
	v := *p.CPUSeconds / float64(stats[at].Requests)
	p.CPUPerRequest = &v
}

// A ProcessSummary says what the processes of a service took in the runs of a
// variant; see ProcessStats. A figure that no run knows is absent.
type ProcessSummary struct {
	Service       string               `json:"service"`
	Runtime       topology.RuntimeName `json:"runtime"`
	CPUPerRequest *Figure              `json:"cpuSecondsPerRequest,omitempty"`
	PeakMemory    *Figure              `json:"peakMemoryBytes,omitempty"`
	Memory        *Figure              `json:"memoryBytes,omitempty"`
	Address       *Figure              `json:"addressSeconds,omitempty"`
	Ready         *Figure              `json:"readySeconds,omitempty"`
	// ImageBytes is exact: all runs have the same image.
	ImageBytes *int64 `json:"imageBytes,omitempty"`
}

// summariseProcesses summarises the processes of each service over the runs of a
// variant.
func summariseProcesses(results []*Result) (all []ProcessSummary) {
	if len(results) == 0 {
		return nil
	}
	for _, first := range results[0].Processes {
		var own []*ProcessStats
		for _, r := range results {
			if p := r.Process(first.Service); p != nil {
				own = append(own, p)
			}
		}
		bytes := func(of func(*ProcessStats) *int64) func(*ProcessStats) *float64 {
			return func(p *ProcessStats) *float64 {
				if of(p) == nil {
					return nil
				}
				v := float64(*of(p))
				return &v
			}
		}
		all = append(all, ProcessSummary{
			Service: first.Service, Runtime: first.Runtime,
			CPUPerRequest: processFigure(own, experiment.Seconds, func(p *ProcessStats) *float64 { return p.CPUPerRequest }),
			PeakMemory:    processFigure(own, experiment.Count, bytes(func(p *ProcessStats) *int64 { return p.PeakMemoryBytes })),
			Memory:        processFigure(own, experiment.Count, bytes(func(p *ProcessStats) *int64 { return p.MemoryBytes })),
			Address:       processFigure(own, experiment.Seconds, func(p *ProcessStats) *float64 { return p.AddressSeconds }),
			Ready:         processFigure(own, experiment.Seconds, func(p *ProcessStats) *float64 { return p.ReadySeconds }),
			ImageBytes:    own[0].ImageBytes,
		})
	}
	return all
}

func processFigure(of []*ProcessStats, d experiment.Dimension, value func(*ProcessStats) *float64) *Figure {
	var values []float64
	for _, p := range of {
		if v := value(p); v != nil {
			values = append(values, *v)
		}
	}
	return NewFigure(values, d)
}

// Process returns what the processes of a service took; nil if that is not known.
func (r *Result) Process(service string) *ProcessStats {
	at := slices.IndexFunc(r.Processes, func(p ProcessStats) bool { return p.Service == service })
	if at < 0 {
		return nil
	}
	return &r.Processes[at]
}
