package report

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A Top is how the services of a system are at a moment.
type Top struct {
	System string    `json:"system"`
	At     time.Time `json:"at"`
	// Seconds is the time over which was counted.
	Seconds  float64      `json:"seconds"`
	Services []TopService `json:"services"`
}

// A TopService is the state of one service. Unknown figures are left out:
// latencies without requests, and the use of processors where many services
// share one process.
type TopService struct {
	Name              string  `json:"name"`
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	// Requests and Errors were counted over the time of the Top.
	Requests int64 `json:"requests"`
	Errors   int64 `json:"errors"`
	// Latency is in seconds.
	Latency  *result.Quantiles `json:"latency,omitempty"`
	InFlight int64             `json:"inFlight"`
	Queue    int64             `json:"queue"`
	// CPU is the processors kept busy; Memory is in bytes.
	CPU    *float64 `json:"cpu,omitempty"`
	Memory int64    `json:"memoryBytes"`
	// Up are the replicas that answered.
	Up       int `json:"up"`
	Replicas int `json:"replicas"`
}

// Add takes a sample in; a later one of the same service takes the place of the
// one before.
func (t *Top) Add(s *measure.Sample) {
	row := TopService{
		Name: s.Service, RequestsPerSecond: s.Rate, Requests: s.Requests, Errors: s.Errors, Latency: result.NewQuantiles(&s.Latency),
		InFlight: s.InFlight, Queue: s.QueueLength, Memory: s.MemoryBytes, Up: s.Up, Replicas: s.Replicas,
	}
	t.At, t.Seconds = s.At, s.Elapsed.Seconds()
	i := slices.IndexFunc(t.Services, func(old TopService) bool { return old.Name == s.Service })
	if s.CPUSeconds.Known {
		cpu := 0.0
		if counted := s.Counted.Seconds(); counted > 0 {
			cpu = s.CPUSeconds.Value / counted
		}
		row.CPU = &cpu
	}
	if i < 0 {
		t.Services = append(t.Services, row)
		return
	}
	t.Services[i] = row
}

// Frame draws the table, no higher than height lines; services that do not fit
// are counted.
func (t *Top) Frame(style Style, height int) []string {
	names := len(t.Services)
	lines := []string{style.paint(bold, t.System) + "  " + unit.Count(names, "service") + style.paint(dim, "  "+t.At.Format(time.TimeOnly)), ""}
	room := max(1, height-len(lines)-1)
	shown := t.Services
	if len(shown) > room {
		shown = slices.Clone(shown)
		slices.SortStableFunc(shown, func(a, b TopService) int { return b.trouble() - a.trouble() })
		shown = shown[:max(1, room-1)]
	}
	lines = append(lines, topLines(shown, style)...)
	if hidden := names - len(shown); hidden > 0 {
		lines = append(lines, style.paint(dim, fmt.Sprintf("and %d more", hidden)))
	}
	return lines[:min(len(lines), max(1, height))]
}

// Table draws all services.
func (t *Top) Table(style Style) []string { return topLines(t.Services, style) }

// trouble is large for services that should be seen first.
func (s *TopService) trouble() int {
	switch {
	case s.Up < s.Replicas:
		return 2
	case s.Errors > 0:
		return 1
	}
	return 0
}

func topLines(services []TopService, style Style) []string {
	rows := [][]cell{{{"SERVICE", dim}, {"RATE/S", dim}, {"ERRORS", dim}, {"P50", dim}, {"P99", dim}, {"INFLIGHT", dim}, {"QUEUE", dim}, {"CPU", dim}, {"MEMORY", dim}, {"UP", dim}}}
	for i := range services {
		rows = append(rows, services[i].row())
	}
	g := grid{left: 1, least: 5, rows: rows}
	// If there is no room, drop the columns that say least: first those without
	// values, then the less useful ones.
	for _, column := range []string{"CPU", "MEMORY"} {
		if g.isUnknown(column) {
			g.fit(style, column)
		}
	}
	for _, column := range []string{"INFLIGHT", "QUEUE", "MEMORY", "CPU", "P50"} {
		g.fit(style, column)
	}
	return g.lines(style)
}

func (s *TopService) row() []cell {
	name, up := cell{s.Name, plain}, cell{fmt.Sprintf("%d/%d", s.Up, s.Replicas), plain}
	if s.Up < s.Replicas || s.Replicas == 0 {
		up.tone = bad
	}
	if s.Up == 0 {
		none := cell{unknown, dim}
		return []cell{name, none, none, none, none, none, none, none, none, up}
	}
	ms, cpu, memory := serviceLatencies(s.Latency), unknown, unknown
	if s.CPU != nil {
		cpu = strconv.FormatFloat(*s.CPU, 'f', 2, 64)
	}
	if s.Memory > 0 {
		memory = strconv.FormatInt((s.Memory+1<<20-1)>>20, 10) + "Mi"
	}
	return []cell{
		name, {rate(s.RequestsPerSecond), plain}, {share(s.Errors, s.Requests), errorTone(s.Errors)}, {ms.p50, plain}, {ms.p99, plain},
		{count(s.InFlight), plain}, {count(s.Queue), plain}, {cpu, plain}, {memory, plain}, up,
	}
}
