package record

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// timelineColumns returns the columns of timeline.csv. Times are seconds: time_s
// since 1970 in UTC, elapsed_s since the load began; both are the end of the row's
// interval_s. Rows of kind service have the counts of a service, rows of kind
// client those of the load's clients.
//
// In rows of clients, requests, errors, degraded, outcomes, latencies and
// offered_per_s are about requests that were to start in the interval; ended,
// rate_per_s and goodput_per_s about those that ended in it. A cell is empty if the
// figure is not known, such as the offered rate of a service.
func timelineColumns() []string {
	columns := append(commonColumns(), "kind", "service", "requests", "errors", "rate_per_s")
	for _, class := range outcome.Classes() {
		columns = append(columns, string(class))
	}
	columns = append(append(columns, latencyColumns()...), "in_flight", "queue_length", "cpu_cores", "memory_bytes", "replicas_up", "replicas")
	return append(columns, "offered_per_s", "ended", "goodput_per_s", "degraded", "network_in_per_s", "network_out_per_s", "lag_messages", "lag_s")
}

// edgeColumns returns the columns of edges.csv: what a caller saw of its calls.
// Attempts counts requests sent for them, retries and hedges included; fallbacks
// counts calls whose answer a fallback replaced; breaker is the worst state of
// their breakers.
func edgeColumns() []string {
	columns := append(commonColumns(), "caller", "callee", "calls", "errors", "rate_per_s")
	for _, class := range outcome.Classes() {
		columns = append(columns, string(class))
	}
	return append(append(columns, latencyColumns()...), "attempts", "fallbacks", "breaker", "goodput_per_s", "degraded")
}

// commonColumns returns the columns with which every row begins. faults has the
// faults that acted in the interval, by the name that the user gave them or else by
// id, separated by semicolons.
func commonColumns() []string {
	return []string{"time_s", "elapsed_s", "interval_s", "phase", "faults"}
}

func latencyColumns() []string {
	return []string{"latency_mean_s", "latency_p50_s", "latency_p90_s", "latency_p95_s", "latency_p99_s"}
}

// state is the state of the run that rows need.
type state struct {
	began  time.Time
	phases []string
	faults []result.FaultRecord // by Place, as in the result
}

func (s *state) observe(e runner.Event) {
	switch e := e.(type) {
	case runner.LoadBegun:
		s.began, s.phases = e.At, e.Phases
	case runner.FaultApplied:
		s.faults = result.InsertFault(s.faults, e.Record)
	case runner.FaultCleared:
		for i := range s.faults {
			if s.faults[i].ID == e.Record.ID {
				s.faults[i] = e.Record
			}
		}
	case runner.ServiceSampled:
		// Drop faults that ended long ago.
		s.faults = slices.DeleteFunc(s.faults, func(f result.FaultRecord) bool {
			return !f.ClearedAt.IsZero() && f.To < e.At.Seconds()-60
		})
	}
}

func (s *state) phase(i int) string {
	switch {
	case i < 0 || len(s.phases) == 0:
		return ""
	case i >= len(s.phases):
		return experiment.AfterLoad
	}
	return s.phases[i]
}

// begin writes the cells with which every row begins.
func (s *state) begin(t *table, at, interval time.Duration, phase int, faults []result.FaultRecord) {
	t.number(float64(s.began.Add(at).UnixMicro()) / 1e6)
	t.number(at.Seconds())
	t.number(interval.Seconds())
	t.text(s.phase(phase))
	t.text(acting(faults, (at - interval).Seconds(), at.Seconds()))
}

// acting returns the names of the faults that acted in an interval.
func acting(faults []result.FaultRecord, from, to float64) string {
	var names []string
	for i := range faults {
		f := &faults[i]
		if f.Applied() && f.From < to && (f.ClearedAt.IsZero() || f.To > from) {
			if name := cmp.Or(f.Fault.Name, f.ID); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ";")
}

func (r *Recorder) sample(e runner.ServiceSampled) error {
	s, t := &e.Sample, r.timeline
	r.state.begin(t, e.At, s.Interval(), e.Phase, r.state.faults)
	t.text("service")
	t.text(s.Service)
	if s.Up == 0 {
		// Leave the cells of a service that is down empty: it reported nothing, not
		// zero requests.
		t.empty(slices.Index(timelineColumns(), "replicas_up") - len(t.row))
		t.count(0)
		t.count(int64(s.Replicas))
		t.empty(len(timelineColumns()) - len(t.row))
		return t.end()
	}
	t.count(s.Requests)
	t.count(s.Errors)
	// Counts by the interval of the row, so that rates and counts of a table agree.
	seconds := s.Interval().Seconds()
	t.number(float64(s.Requests) / seconds)
	t.empty(len(outcome.Classes()))
	t.latency(&s.Latency)
	t.count(s.InFlight)
	t.count(s.QueueLength)
	t.amount(s.CPUSeconds, s.Interval())
	t.count(s.MemoryBytes)
	t.count(int64(s.Up))
	t.count(int64(s.Replicas))
	t.empty(1)
	t.count(s.Requests)
	t.number(float64(s.Requests-s.Errors-s.Degraded) / seconds)
	t.count(s.Degraded)
	t.amount(s.BytesReceived, s.Interval())
	t.amount(s.BytesSent, s.Interval())
	if s.Lag.Known {
		t.count(s.Lag.Messages)
		t.number(s.Lag.Seconds)
	} else {
		t.empty(2)
	}
	if err := t.end(); err != nil {
		return err
	}
	for i := range s.Calls {
		if err := r.edge(e, &s.Calls[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recorder) edge(e runner.ServiceSampled, call *measure.CallSample) error {
	t := r.edges
	r.state.begin(t, e.At, e.Sample.Interval(), e.Phase, r.state.faults)
	t.text(e.Sample.Service)
	t.text(call.Callee)
	calls := result.ClientSecond{Outcomes: call.Calls}
	t.count(calls.Requests())
	t.count(calls.Errors())
	t.number(float64(calls.Requests()) / e.Sample.Interval().Seconds())
	t.outcomes(call.Calls)
	t.latency(&call.Latency)
	t.count(call.Sent())
	t.count(call.Fallbacks)
	if call.Breaker != nil {
		t.text(call.Breaker.String())
	} else {
		t.empty(1)
	}
	t.number(float64(call.Calls[outcome.OK]-call.Degraded) / e.Sample.Interval().Seconds())
	t.count(call.Degraded)
	return t.end()
}

// clientRows writes the rows of clients. It is called last, because the figures of
// a second are known only when its last request has ended.
func (r *Recorder) clientRows(result *result.Result) error {
	t := r.timeline
	for i := range result.Timeline {
		s := &result.Timeline[i]
		r.state.begin(t, s.At, time.Duration(s.Seconds*1e9), s.Phase, result.Faults)
		t.text("client")
		t.text("")
		t.count(s.Requests())
		t.count(s.Errors())
		t.number(s.Rate())
		t.outcomes(s.Outcomes)
		if l := s.Latency; l != nil {
			t.numbers(l.Mean, l.P50, l.P90, l.P95, l.P99)
		} else {
			t.empty(len(latencyColumns()))
		}
		t.empty(6)
		t.number(s.OfferedRate())
		t.count(s.Ended)
		t.number(s.Goodput())
		t.count(s.Degraded)
		t.empty(4)
		if err := t.end(); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) outcomes(outcomes map[outcome.Class]int64) {
	for _, class := range outcome.Classes() {
		t.count(outcomes[class])
	}
}

// latency writes quantiles. It leaves those empty that are known only between two
// bounds.
func (t *table) latency(h *stats.Histogram) {
	q := result.NewQuantiles(h)
	if q == nil {
		t.empty(len(latencyColumns()))
		return
	}
	t.number(q.Mean)
	for _, m := range []experiment.Metric{experiment.P50, experiment.P90, experiment.P95, experiment.P99} {
		if v, between := q.Of(m); between == nil {
			t.number(v)
		} else {
			t.empty(1)
		}
	}
}

func (t *table) numbers(values ...float64) {
	for _, v := range values {
		t.number(v)
	}
}
