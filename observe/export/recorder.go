package export

import (
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A Recorder keeps the rows of a run while it goes on, so that an export need not
// write them first and read them again.
type Recorder struct{ run Run }

// Spans keeps the traces of the run.
func (r *Recorder) Spans(origin trace.Origin, traces []trace.Trace) {
	rows := []spanRow{}
	for i := range traces {
		one := origin.Encode(traces[i].Spans)
		rows = appendRows(rows, &one)
	}
	r.run.keptTraces, r.run.keptSpans = traces, rows
}

// Lines keeps what the services logged.
func (r *Recorder) Lines(lines []logline.Line) { r.run.keptLines = newHider().lines(lines) }

// Observe keeps what an event tells.
func (r *Recorder) Observe(e runner.Event) {
	sampled, ok := e.(runner.ServiceSampled)
	if !ok {
		return
	}
	s := &sampled.Sample
	row := serviceRow{
		span:    span{sampled.At.Seconds(), s.Interval().Seconds()},
		service: s.Service, up: float64(s.Up), replicas: float64(s.Replicas),
	}
	if s.Up == 0 {
		r.run.services = append(r.run.services, row.silent())
		return
	}
	row.requests, row.errors, row.degraded = float64(s.Requests), float64(s.Errors), float64(s.Degraded)
	row.latencies = latenciesOf(&s.Latency)
	row.inFlight, row.queue = float64(s.InFlight), float64(s.QueueLength)
	row.memory = float64(s.MemoryBytes)
	row.cpu, row.netIn, row.netOut = perSecond(s.CPUSeconds, s), perSecond(s.BytesReceived, s), perSecond(s.BytesSent, s)
	r.run.services = append(r.run.services, row)
	for i := range s.Calls {
		call := &s.Calls[i]
		calls := result.ClientSecond{Outcomes: call.Calls}
		r.run.edges = append(r.run.edges, edgeRow{
			span: row.span, caller: s.Service, callee: call.Callee,
			calls: float64(calls.Requests()), errors: float64(calls.Errors()), attempts: float64(call.Sent()),
			latencies: latenciesOf(&call.Latency),
		})
	}
}

func perSecond(a measure.Amount, s *measure.Sample) float64 {
	if v, known := a.PerSecond(s.Interval()); known {
		return v
	}
	return unknown()
}

// silent is a row of a service that told nothing, which is not that it did nothing.
func (r serviceRow) silent() serviceRow {
	r.requests, r.errors, r.degraded, r.latencies = unknown(), unknown(), unknown(), noLatencies()
	r.inFlight, r.queue, r.cpu, r.memory, r.netIn, r.netOut = unknown(), unknown(), unknown(), unknown(), unknown(), unknown()
	return r
}

// Finish returns the run with its result.
func (r *Recorder) Finish(name string, res *result.Result) *Run {
	run := r.run
	run.Name, run.Result = name, res
	for i := range res.Timeline {
		s := &res.Timeline[i]
		row := clientRow{
			span:     span{s.At.Seconds(), s.Seconds},
			requests: float64(s.Requests()), errors: float64(s.Errors()), degraded: float64(s.Degraded),
			offered: s.OfferedRate() * s.Seconds, ended: float64(s.Ended), good: float64(s.Good), latencies: noLatencies(),
		}
		if l := s.Latency; l != nil {
			row.latencies = latencies{l.Mean, l.P50, l.P90, l.P95, l.P99}
		}
		run.clients = append(run.clients, row)
	}
	return &run
}

func latenciesOf(h *stats.Histogram) latencies {
	q := result.NewQuantiles(h)
	if q == nil {
		return noLatencies()
	}
	of := func(m experiment.Metric) float64 {
		v, between := q.Of(m)
		if between != nil {
			return unknown()
		}
		return v
	}
	return latencies{q.Mean, of(experiment.P50), of(experiment.P90), of(experiment.P95), of(experiment.P99)}
}
