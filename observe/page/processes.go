package page

import (
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
)

// A processRow is what the processes of a service took in the runs of a variant.
type processRow struct {
	Variant string `json:"variant"`
	Service string `json:"service"`
	Runtime string `json:"runtime"`
	// Figures are by name: cpu (seconds for each request), peak and memory in bytes,
	// address and ready in seconds, image in bytes.
	Figures map[string]figure `json:"figures"`
}

// processes has a row for each variant and each service that another program than the
// agent serves in any run; none if there is no such service.
func processes(runs []Run) (rows []processRow) {
	var services []string
	for i := range runs {
		r := runs[i].Result
		for j := range r.Processes {
			if name := r.Processes[j].Service; r.Environment.Runtimes[name] != "" && !slices.Contains(services, name) {
				services = append(services, name)
			}
		}
	}
	names, groups := variants(runs)
	for _, service := range services {
		for _, name := range names {
			if row := newProcessRow(name, service, groups[name]); row.Runtime != "" {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// newProcessRow gathers what is known; without a runtime nothing is.
func newProcessRow(variant, service string, runs []*Run) processRow {
	row := processRow{Variant: variant, Service: service, Figures: map[string]figure{}}
	values := map[string][]float64{}
	add := func(name string, v *float64) {
		if v != nil {
			values[name] = append(values[name], *v)
		}
	}
	bytes := func(n *int64) *float64 {
		if n == nil {
			return nil
		}
		v := float64(*n)
		return &v
	}
	for _, run := range runs {
		if p := run.Result.Process(service); p != nil {
			row.Runtime = string(p.Runtime)
			add("cpu", p.CPUPerRequest)
			add("peak", bytes(p.PeakMemoryBytes))
			add("memory", bytes(p.MemoryBytes))
			add("address", p.AddressSeconds)
			add("ready", p.ReadySeconds)
			add("image", bytes(p.ImageBytes))
		}
	}
	for name, v := range values {
		d := experiment.Seconds
		if name == "peak" || name == "memory" || name == "image" {
			d = experiment.Count
		}
		row.Figures[name] = newFigure(v, d)
	}
	return row
}
