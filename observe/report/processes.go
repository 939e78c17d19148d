package report

import (
	"slices"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// processNote says what the columns of processes are.
const processNote = "Processor time of user and system for each request the service counted; the most memory held resident since the start; from the start of the process to its address, and to its first answer that it is ready; the files of the image that a kind sandbox would load, unpacked."

// processes prints what the processes took of each service that another program than
// the agent serves in any variant.
func (p *comparison) processes() {
	for _, service := range servedByOthers(p.Variants) {
		g := grid{left: 2}
		g.head("VARIANT", "RUNTIME", "CPU/REQUEST", "PEAK MEMORY", "ADDRESS", "READY", "IMAGE")
		for i := range p.Variants {
			v := &p.Variants[i]
			at := slices.IndexFunc(v.Processes, func(s result.ProcessSummary) bool { return s.Service == service })
			if at < 0 {
				g.add(cell{nameOf(v.Name), bold}, cell{unknown, dim}, cell{unknown, dim}, cell{unknown, dim}, cell{unknown, dim}, cell{unknown, dim}, cell{unknown, dim})
				continue
			}
			s := &v.Processes[at]
			g.add(cell{nameOf(v.Name), bold}, cell{string(s.Runtime), plain}, mean(s.CPUPerRequest, experiment.FormatSeconds), mean(s.PeakMemory, memory), mean(s.Address, experiment.FormatSeconds), mean(s.Ready, experiment.FormatSeconds), known(float(s.ImageBytes), memory))
			below := []string{interval(s.CPUPerRequest, experiment.FormatSeconds), interval(s.PeakMemory, memory), interval(s.Address, experiment.FormatSeconds), interval(s.Ready, experiment.FormatSeconds)}
			if slices.ContainsFunc(below, func(text string) bool { return text != "" }) {
				g.add(cell{}, cell{}, cell{below[0], dim}, cell{below[1], dim}, cell{below[2], dim}, cell{below[3], dim}, cell{})
			}
		}
		p.section("Processes of "+service, append(g.lines(p.style), noteLines(p.style)...))
	}
}

// servedByOthers are the services that another program than the agent serves in any
// variant, in the order of the file.
func servedByOthers(variants []result.VariantSummary) (services []string) {
	for i := range variants {
		for _, s := range variants[i].Processes {
			if s.Runtime != topology.Agent && !slices.Contains(services, s.Service) {
				services = append(services, s.Service)
			}
		}
	}
	return services
}

func noteLines(style Style) (lines []string) {
	for _, line := range wrap(processNote, style.width()) {
		lines = append(lines, style.paint(dim, line))
	}
	return lines
}

// processes prints what the processes of a run took, if another program than the
// agent serves one of them.
func (s *summary) processes() {
	if len(s.result.Environment.Runtimes) == 0 || len(s.result.Processes) == 0 {
		return
	}
	g := grid{left: 2}
	g.head("PROCESSES OF", "RUNTIME", "CPU/REQUEST", "PEAK MEMORY", "ADDRESS", "READY", "IMAGE")
	for i := range s.result.Processes {
		p := &s.result.Processes[i]
		g.add(cell{p.Service, plain}, cell{string(p.Runtime), plain}, known(p.CPUPerRequest, experiment.FormatSeconds), known(float(p.PeakMemoryBytes), memory), known(p.AddressSeconds, experiment.FormatSeconds), known(p.ReadySeconds, experiment.FormatSeconds), known(float(p.ImageBytes), memory))
	}
	s.section("", append(g.lines(s.style), noteLines(s.style)...))
}

func known(v *float64, format func(float64) string) cell {
	if v == nil {
		return cell{unknown, dim}
	}
	return cell{format(*v), plain}
}

func float(n *int64) *float64 {
	if n == nil {
		return nil
	}
	v := float64(*n)
	return &v
}

// memory prints an amount of memory with three digits.
func memory(v float64) string {
	for _, unit := range []struct {
		name string
		size float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if v >= unit.size {
			return strconv.FormatFloat(roundDigits(v/unit.size, 3), 'f', -1, 64) + " " + unit.name
		}
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " B"
}
