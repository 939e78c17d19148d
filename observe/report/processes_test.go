package report

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestProcessesOfVariants: a service that another program serves in some variant is
// shown for all, and what is not known is no 0.
func TestProcessesOfVariants(t *testing.T) {
	const mib = 1 << 20
	image := int64(150 * mib)
	of := func(runtime topology.RuntimeName, cpu, peak *result.Figure) []result.ProcessSummary {
		return []result.ProcessSummary{
			{Service: "api", Runtime: runtime, CPUPerRequest: cpu, PeakMemory: peak, Address: figureFor(0.1), Ready: figureFor(0.12)},
			{Service: "left", Runtime: topology.Agent, CPUPerRequest: figureFor(1)},
		}
	}
	low, high := 0.001, 0.003
	c := &result.Comparison{Name: "lab", Variants: []result.VariantSummary{
		{Name: "agent", Processes: of(topology.Agent, &result.Figure{Mean: 0.002, Low: &low, High: &high}, figureFor(20*mib))},
		{Name: "express", Processes: of("express", nil, figureFor(1.5*mib))},
		{Name: "failed"},
	}}
	c.Variants[1].Processes[0].ImageBytes = &image
	var b strings.Builder
	if err := Comparison(&b, c, Style{}); err != nil {
		t.Fatal(err)
	}
	const want = `
Processes of api
VARIANT  RUNTIME  CPU/REQUEST  PEAK MEMORY  ADDRESS  READY    IMAGE
agent    agent            2ms       20 MiB    100ms  120ms        -
                      1ms-3ms
express  express            -      1.5 MiB    100ms  120ms  150 MiB
failed   -                  -            -        -      -        -
Processor time of user and system for each request`
	if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "of left") {
		t.Errorf("printed\n%s\nwant in it\n%s", b.String(), want)
	}
}

// TestSummaryNamesRuntimes: there is a column of runtimes only if another program
// serves something.
func TestSummaryNamesRuntimes(t *testing.T) {
	cpu, peak := 0.0015, int64(64<<20)
	r := &result.Result{Name: "lab", Segments: []result.Segment{{Kind: result.WholeRun, To: 5, Services: []result.ServiceStats{{Service: "web", Requests: 5}, {Service: "cart", Requests: 5}}}},
		Processes: []result.ProcessStats{{Service: "web", Runtime: topology.Agent}, {Service: "cart", Runtime: "flask", CPUPerRequest: &cpu, PeakMemoryBytes: &peak}}}
	print := func() string {
		var b strings.Builder
		if err := Summary(&b, r, Style{}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if text := print(); strings.Contains(text, "RUNTIME") || strings.Contains(text, "PROCESSES") {
		t.Errorf("of agents it printed\n%s", text)
	}
	r.Environment.Runtimes = map[string]topology.RuntimeName{"cart": "flask"}
	text := print()
	fields := func(begin string) (found []string) {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, begin+" ") {
				found = append(found, strings.Join(strings.Fields(line), " "))
			}
		}
		return found
	}
	for begin, want := range map[string]string{
		"SERVICE": "SERVICE RUNTIME WHEN REQUESTS RATE/S ERRORS P50 P99 UP",
		"cart":    "cart flask 5.0s 5 0.0 0% - - 0%|cart flask 1.5ms 64 MiB - - -",
		"web":     "web 5.0s 5 0.0 0% - - 0%|web agent - - - - -",
	} {
		if got := strings.Join(fields(begin), "|"); got != want {
			t.Errorf("%s: got %q, want %q, in\n%s", begin, got, want, text)
		}
	}
}
