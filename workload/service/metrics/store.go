package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An Operation counts the operations of one kind on a data store.
type Operation struct {
	outcomes map[outcome.Class]prometheus.Counter
	duration prometheus.Observer
}

// Count counts one operation.
func (s *Operation) Count(class outcome.Class, took time.Duration) {
	s.duration.Observe(took.Seconds())
	s.outcomes[class].Inc()
}

// Store starts the series of the operations on a store, and those of its driver.
func (m *Metrics) Store(callee string, kind topology.Kind, usage func() store.Usage) map[topology.Operation]*Operation {
	labels := prometheus.Labels{control.LabelService: m.service, control.LabelCallee: callee}
	operations := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: control.DriverOperationsTotal, Help: "Operations on data stores, by callee, operation and outcome.", ConstLabels: labels,
	}, []string{control.LabelOperation, control.LabelOutcome})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: control.DriverOperationDurationSeconds, Help: "Time of operations on data stores, with the wait for a connection.", ConstLabels: labels, Buckets: control.DurationBuckets(),
	}, []string{control.LabelOperation})
	series := map[topology.Operation]*Operation{}
	for _, op := range kind.Operations() {
		s := &Operation{outcomes: map[outcome.Class]prometheus.Counter{}, duration: durations.WithLabelValues(string(op))}
		for _, class := range outcome.OfAttempts() {
			s.outcomes[class] = operations.WithLabelValues(string(op), string(class))
		}
		series[op] = s
	}
	m.histograms.MustRegister(durations)
	m.numbers.MustRegister(operations, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: control.DriverConnections, Help: "Connections that the driver has open, by callee.", ConstLabels: labels,
	}, func() float64 { return float64(usage().Open) }))
	for _, c := range []struct {
		name, help string
		of         func(store.Usage) float64
	}{
		{control.DriverPoolWaitsTotal, "Operations that waited for a connection of the pool, by callee.", func(u store.Usage) float64 { return float64(u.Waits) }},
		{control.DriverPoolWaitSecondsTotal, "Time that operations waited for a connection of the pool, by callee.", func(u store.Usage) float64 { return u.WaitSeconds }},
		{control.DriverPoolTimeoutsTotal, "Operations that got no connection of the pool in time, by callee.", func(u store.Usage) float64 { return float64(u.Timeouts) }},
		{control.DriverRetriesTotal, "Operations that the driver has sent again by itself, by callee.", func(u store.Usage) float64 { return float64(u.Retries) }},
	} {
		m.numbers.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help, ConstLabels: labels},
			func() float64 { return c.of(usage()) }))
	}
	return series
}
