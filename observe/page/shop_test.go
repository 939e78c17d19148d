package page

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A play makes up a run: a system whose services call each other, and a fault
// on one of them in the middle third. The same play is the same run.
type play struct {
	variant string
	seed    uint64
	seconds int
	// calls are who calls whom; the first caller is the entry.
	calls [][2]string
	// broken is the service with the fault, hurt the share of errors meanwhile.
	broken string
	hurt   float64
}

func shop() play {
	return play{seed: 7, seconds: 60, broken: "pricing", hurt: 0.2, calls: [][2]string{
		{"web", "catalog"}, {"web", "recommend"}, {"web", "cart"}, {"web", "checkout"}, {"catalog", "pricing"}, {"catalog", "stock"},
		{"pricing", "pricing-db"}, {"checkout", "payment"}, {"checkout", "mail"}, {"payment", "pricing"},
	}}
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (p play) services() (names []string) {
	seen := map[string]bool{}
	for _, c := range p.calls {
		for _, name := range c[:] {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

func (p play) system() *topology.System {
	s := &topology.System{Name: "made-up"}
	for _, name := range p.services() {
		var steps []topology.Step
		for _, c := range p.calls {
			if c[0] == name {
				steps = append(steps, topology.Step{Call: &topology.Call{To: c[1], Probability: 1, Count: 1}})
			}
		}
		s.Services = append(s.Services, topology.NewService(name, steps...))
	}
	return s
}

// wave is a number between 0 and 1 that depends on everything it is given.
func (p play) wave(parts ...float64) float64 {
	v := float64(p.seed%97) * 0.7
	for i, x := range parts {
		v += x * (1.3 + float64(i))
	}
	return 0.5 + 0.5*math.Sin(v)
}

func (p play) broke(second int) bool { return second >= p.seconds/3 && second < 2*p.seconds/3 }

// sample is what a service did in one second.
func (p play) sample(service, second int, name string) measure.Sample {
	n := int64(20 + 10*p.wave(float64(service), float64(second)*0.2))
	s := measure.Sample{
		At: start.Add(time.Duration(second+1) * time.Second), Elapsed: time.Second, Counted: time.Second, Service: name, Requests: n, Rate: float64(n), Up: 1, Replicas: 1,
		Codes: map[string]int64{"200": n}, InFlight: n / 5, QueueLength: int64(second % 4),
	}
	if name == p.broken && p.broke(second) {
		s.Errors = int64(float64(n) * p.hurt)
		s.Codes = map[string]int64{"200": n - s.Errors, "503": s.Errors}
		s.Latency.Add(50*time.Millisecond, n)
	} else {
		s.Latency.Add(800*time.Microsecond, n/2)
		s.Latency.Add(5*time.Millisecond, n-n/2)
	}
	for _, c := range p.calls {
		if c[0] != name {
			continue
		}
		call := measure.CallSample{Callee: c[1], Calls: map[outcome.Class]int64{outcome.OK: n}}
		if c[1] == p.broken && p.broke(second) {
			failed := int64(float64(n) * p.hurt)
			call.Calls = map[outcome.Class]int64{outcome.OK: n - failed, outcome.Timeout: failed / 2, outcome.BreakerOpen: failed - failed/2}
		}
		s.Calls = append(s.Calls, call)
	}
	return s
}

func (p play) client(second int) result.ClientSecond {
	n := int64(25 + 10*p.wave(float64(second)*0.3))
	row := result.ClientSecond{At: time.Duration(second+1) * time.Second, Seconds: 1, Outcomes: map[outcome.Class]int64{outcome.OK: n}}
	base := 0.02 * (1 + p.wave(float64(second)))
	if p.broke(second) {
		failed := int64(float64(n) * p.hurt)
		row.Outcomes = map[outcome.Class]int64{outcome.OK: n - failed, outcome.HTTPError: failed / 2, outcome.Timeout: failed - failed/2}
		base *= 6
	}
	row.Ended = row.Requests()
	row.Good = row.Outcomes[outcome.OK]
	row.Latency = &result.Latency{Mean: base, P50: base, P90: base * 2, P95: base * 2.5, P99: base * 4}
	return row
}

// segment sums the seconds from one to before another.
func (p play) segment(kind result.SegmentKind, name string, from, to int) result.Segment {
	s := result.Segment{Kind: kind, Name: name, From: float64(from), To: float64(to), Services: []result.ServiceStats{}, Edges: []result.EdgeStats{}}
	s.Clients.Outcomes = map[outcome.Class]int64{}
	seconds := float64(to - from)
	for second := from; second < to; second++ {
		row := p.client(second)
		s.Clients.Requests += row.Requests()
		s.Clients.Errors += row.Errors()
		s.Clients.Ended += row.Ended
		for class, n := range row.Outcomes {
			s.Clients.Outcomes[class] += n
		}
		s.Clients.Latency = row.Latency
	}
	s.Clients.OfferedRate = float64(s.Clients.Requests) / seconds
	s.Clients.Rate = s.Clients.OfferedRate
	s.Clients.Goodput = float64(s.Clients.Outcomes[outcome.OK]) / seconds
	for i, name := range p.services() {
		stats := result.ServiceStats{Service: name, Seconds: seconds, Availability: 1, Up: 1}
		edges := map[string]*result.EdgeStats{}
		for second := from; second < to; second++ {
			sample := p.sample(i, second, name)
			stats.Requests += sample.Requests
			stats.Errors += sample.Errors
			stats.InFlight = max(stats.InFlight, sample.InFlight)
			stats.Latency = result.NewQuantiles(&sample.Latency)
			for _, c := range sample.Calls {
				if edges[c.Callee] == nil {
					edges[c.Callee] = &result.EdgeStats{Caller: name, Callee: c.Callee, Outcomes: map[outcome.Class]int64{}}
				}
				for class, n := range c.Calls {
					edges[c.Callee].Calls += n
					edges[c.Callee].Outcomes[class] += n
				}
			}
		}
		stats.Rate = float64(stats.Requests) / seconds
		s.Services = append(s.Services, stats)
		for _, c := range p.calls {
			if e := edges[c[1]]; e != nil && c[0] == name {
				e.Errors, e.Rate, e.Latency = e.Calls-e.Outcomes[outcome.OK], float64(e.Calls)/seconds, stats.Latency
				s.Edges = append(s.Edges, *e)
			}
		}
	}
	return s
}

func (p play) result() *result.Result {
	from, to := p.seconds/3, 2*p.seconds/3
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	r := &result.Result{
		APIVersion: result.ResultVersion, Kind: result.ResultKind, Name: "made-up", Seed: p.seed, Target: "local",
		Versions: map[string]string{"kubectl-microsim": "v0.0.0"}, Environment: result.Environment{OS: "linux", Arch: "amd64", CPUs: 4, Go: "go1.26"},
		Command: "kubectl microsim run made-up --on local --seed " + fmt.Sprint(p.seed), Started: start, LoadStarted: start, Ended: at(p.seconds), Passed: false,
		Checks: []result.CheckResult{
			{Check: experiment.Check{Expr: "errors < 1%", Phase: "before"}, Pass: true, Why: "errors was 0%"},
			{Check: experiment.Check{Expr: "p99 < 100ms", Phase: "during"}, Pass: false, Why: "p99 was 611ms"},
		},
		Faults: []result.FaultRecord{{
			ID: "error-1", Label: "error " + p.broken, Fault: fault.Fault{Type: "error", Target: fault.Target{Service: p.broken}}, Replicas: []string{p.broken + "/1"},
			PlannedFrom: float64(from), PlannedTo: float64(to), OrderedAt: at(from), AppliedAt: at(from), ClearedAt: at(to), From: float64(from), To: float64(to), Hits: 123, Gaps: []string{p.broken + "/1: it stopped"},
		}},
		Recoveries: []result.Recovery{{Service: p.broken, Replica: 1, DownAt: at(from), DetectedAt: at(from).Add(300 * time.Millisecond), ReadyAt: at(from + 2), Detection: 0.3, Took: 2}},
	}
	r.Faults[0].Detections = []result.Detection{{Alert: "HighErrors", After: 1, AfterOrder: 1}}
	r.Faults[0].AskedFrom = float64(from)
	r.Alerts = &result.Alerts{Names: []string{"HighErrors"}, Fired: []result.AlertFiring{
		{Alert: "HighErrors", Labels: map[string]string{"service": p.broken}, From: float64(from + 1), Last: float64(to), ResolvedAt: at(to + 1)},
	}}
	r.Timeline = p.timeline()
	r.Segments = []result.Segment{
		p.segment(result.WholeRun, "", 0, p.seconds), p.segment(result.FaultPart, experiment.Before, 0, from),
		p.segment(result.FaultPart, experiment.During, from, to), p.segment(result.FaultPart, experiment.After, to, p.seconds),
	}
	r.Load = &result.LoadReport{Started: start, Elapsed: time.Duration(p.seconds) * time.Second, Total: result.LoadStats{
		Latency: *r.Segments[0].Clients.Latency, Histogram: p.histogram(),
	}}
	return r
}

func (p play) histogram() string {
	h := hdrhistogram.New(1, 3_600_000_000, 3)
	for _, row := range p.timeline() {
		_ = h.RecordValues(int64(row.Latency.P50*1e6), row.Requests())
		_ = h.RecordValues(int64(row.Latency.P99*1e6), 1)
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (p play) timeline() (rows []result.ClientSecond) {
	for second := range p.seconds {
		rows = append(rows, p.client(second))
	}
	return rows
}

// run plays the events of the run to a recorder.
func (p play) run() Run {
	var r Recorder
	for second := range p.seconds {
		for i, name := range p.services() {
			r.Observe(runner.ServiceSampled{At: time.Duration(second+1) * time.Second, Sample: p.sample(i, second, name)})
		}
	}
	return Run{Variant: p.variant, Seed: p.seed, Result: p.result(), Series: r.Series(), System: p.system()}
}

func (p play) page() Page {
	return Page{Title: "made-up", Runs: []Run{p.run()}, Inputs: "kind: Experiment\n"}
}

// lab has variants with several seeds each.
func lab(variants, seeds int) Page {
	page := Page{Title: "outage lab", Inputs: "kind: Experiment\n"}
	names := []string{"none", "timeouts", "timeouts+retries", "timeouts+breakers", "retries", "breakers", "bulkheads", "fallbacks", "everything"}
	for v := range variants {
		for s := range seeds {
			p := shop()
			p.variant, p.seed, p.hurt = names[v%len(names)], uint64(s+1), 0.6/float64(v+1)
			page.Runs = append(page.Runs, p.run())
		}
	}
	return page
}

func written(t testing.TB, p Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
