// Package metrics counts what a service does and writes it on pages: one for Prometheus,
// with the buckets that control.DurationBuckets names, and one for our own scraper, with
// histograms whose quantiles are within 1 %.
package metrics

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// Metrics are those of one service. Everything that a request counts is looked
// up once, so that counting takes no lock.
type Metrics struct {
	// Chain counts chains, Other requests for which the service has no endpoint.
	Chain, Other *Endpoint

	handler http.Handler
	service string
	// numbers has all metrics but the histograms.
	numbers      *prometheus.Registry
	histograms   *prometheus.Registry
	requests     *prometheus.CounterVec
	durations    *prometheus.HistogramVec
	calls        *prometheus.CounterVec
	attempts     *prometheus.CounterVec
	fallbacks    *prometheus.CounterVec
	degraded     *prometheus.CounterVec
	callsDegrade *prometheus.CounterVec
	callTimes    *prometheus.HistogramVec
	faultsActive map[fault.Type]prometheus.Gauge

	// mu guards endpoints and fine, which the description of a running service changes.
	mu        sync.Mutex
	endpoints map[usualEnd]*Endpoint
	// fine are the histograms by endpoint; paths that several methods share have one.
	fine map[string]*stats.Recorder
	// callees has *Callee by name.
	callees sync.Map
}

// A Source is what the metrics are of.
type Source struct {
	Service string
	// Callees are those whose series start at zero.
	Callees []string
	// Process adds the metrics of the process and of Go's runtime; OwnNetwork says that
	// they may tell what the network carried, because the process shares its network
	// namespace with no other program.
	Process, OwnNetwork bool
	// Traffic counts the bytes that the service's connections carry.
	Traffic *http1.Traffic
	// InFlight, Queue and Held are asked for each page: the requests being worked on,
	// those that wait, and the bytes of memory held.
	InFlight, Held func() int64
	Queue          func() int
	// Breakers are the callees that have breakers now; Breaker is the worst state of those
	// of one.
	Breakers func() []string
	Breaker  func(callee string) policy.BreakerState
}

// New returns the metrics of a service, which has counted nothing yet.
func New(s Source) *Metrics {
	registry, histograms := prometheus.NewRegistry(), prometheus.NewRegistry()
	labels := prometheus.Labels{control.LabelService: s.Service}
	m := &Metrics{
		service: s.Service, numbers: registry, histograms: histograms,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: control.RequestsTotal, Help: "Requests answered, by endpoint and status; code aborted got no answer.", ConstLabels: labels,
		}, []string{control.LabelEndpoint, control.LabelCode}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: control.RequestDurationSeconds, Help: "Time from the arrival of a request to its answer.", ConstLabels: labels, Buckets: control.DurationBuckets(),
		}, []string{control.LabelEndpoint}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: control.CallsTotal, Help: "Calls made, by callee and by how they ended after all retries.", ConstLabels: labels,
		}, []string{control.LabelCallee, control.LabelOutcome}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: control.CallAttemptsTotal, Help: "Requests sent for calls, by callee and outcome.", ConstLabels: labels,
		}, []string{control.LabelCallee, control.LabelOutcome}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: control.FallbacksTotal, Help: "Calls whose answer a fallback took the place of, by callee.", ConstLabels: labels,
		}, []string{control.LabelCallee}),
		degraded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: control.RequestsDegradedTotal, Help: "Requests answered well, but with parts that are not what they should be, by endpoint.", ConstLabels: labels,
		}, []string{control.LabelEndpoint}),
		callsDegrade: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: control.CallsDegradedTotal, Help: "Calls answered well, but with parts that are not what they should be, by callee.", ConstLabels: labels,
		}, []string{control.LabelCallee}),
		callTimes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: control.CallDurationSeconds, Help: "Time of calls, whatever their outcome.", ConstLabels: labels, Buckets: control.DurationBuckets(),
		}, []string{control.LabelCallee}),
		faultsActive: map[fault.Type]prometheus.Gauge{}, endpoints: map[usualEnd]*Endpoint{}, fine: map[string]*stats.Recorder{},
	}
	active := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: control.FaultActive, Help: "Faults that act now, by type.", ConstLabels: labels,
	}, []string{control.LabelFault})
	for _, e := range fault.Vocabulary() {
		if e.Layer == fault.InService {
			m.faultsActive[e.Type] = active.WithLabelValues(string(e.Type))
		}
	}
	histograms.MustRegister(m.durations, m.callTimes)
	registry.MustRegister(m.requests, m.calls, m.attempts, m.fallbacks, m.degraded, m.callsDegrade, active,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: control.InflightRequests, Help: "Requests being worked on.", ConstLabels: labels,
		}, func() float64 { return float64(s.InFlight()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: control.QueueLength, Help: "Requests that wait inside the service, or connections in the accept queue, where the system tells.", ConstLabels: labels,
		}, func() float64 { return float64(s.Queue()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: control.HeldMemoryBytes, Help: "Memory held for the service, its requests and its leaks.", ConstLabels: labels,
		}, func() float64 { return float64(s.Held()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: control.NetworkReceiveBytes, Help: "Bytes that the connections of the service received: requests to it, and answers to its calls.", ConstLabels: labels,
		}, func() float64 { return float64(s.Traffic.Received()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: control.NetworkTransmitBytes, Help: "Bytes that the connections of the service sent: its answers, and its calls.", ConstLabels: labels,
		}, func() float64 { return float64(s.Traffic.Sent()) }))
	registry.MustRegister(&breakers{of: s, desc: prometheus.NewDesc(control.BreakerState,
		"The worst state of the breakers of the calls to a callee: 0 closed, 1 half-open, 2 open.", []string{control.LabelCallee}, labels)})
	if s.Process {
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	gatherer := prometheus.Gatherer(registry)
	if !s.OwnNetwork {
		gatherer = withoutNetwork{registry}
	}
	m.handler = promhttp.HandlerFor(prometheus.Gatherers{gatherer, histograms}, promhttp.HandlerOpts{})
	m.Chain, m.Other = m.Endpoint(control.EndpointChain, http.StatusOK), m.Endpoint(control.EndpointOther, http.StatusNotFound)
	for _, callee := range s.Callees {
		m.Callee(callee)
	}
	return m
}

// withoutNetwork leaves out what the collector of the process says about the network. It
// reads the counters of the namespace, which are those of the whole machine if the process
// has none of its own.
type withoutNetwork struct{ prometheus.Gatherer }

// Gather implements prometheus.Gatherer.
func (g withoutNetwork) Gather() ([]*dto.MetricFamily, error) {
	families, err := g.Gatherer.Gather()
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return strings.HasPrefix(f.GetName(), "process_network_") }), err
}

// ServeHTTP answers with the page for Prometheus.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// SetFaults says how many faults of each type act now.
func (m *Metrics) SetFaults(acting map[fault.Type]int) {
	for t, gauge := range m.faultsActive {
		gauge.Set(float64(acting[t]))
	}
}

// A usualEnd is an endpoint with the status that it is usually answered with.
type usualEnd struct {
	label  string
	status int
}

// breakers collects the states of the breakers that there are now.
type breakers struct {
	of   Source
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (b *breakers) Describe(to chan<- *prometheus.Desc) { to <- b.desc }

// Collect implements prometheus.Collector.
func (b *breakers) Collect(to chan<- prometheus.Metric) {
	for _, callee := range b.of.Breakers() {
		to <- prometheus.MustNewConstMetric(b.desc, prometheus.GaugeValue, float64(b.of.Breaker(callee)), callee)
	}
}

// An Endpoint is the series of one endpoint.
type Endpoint struct {
	label    string
	usual    int
	ok       prometheus.Counter
	degraded prometheus.Counter
	duration prometheus.Observer
	fine     *stats.Recorder
	requests *prometheus.CounterVec
}

// Endpoint starts the series of an endpoint at zero. usual is the status that
// is counted without a look-up; the others make their series when first seen,
// and the errors that calls lead to are there from the beginning. Series that
// have been started go on.
func (m *Metrics) Endpoint(label string, usual int) *Endpoint {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.endpoints[usualEnd{label, usual}]; e != nil {
		return e
	}
	if m.fine[label] == nil {
		m.fine[label] = &stats.Recorder{}
	}
	e := &Endpoint{
		label: label, usual: usual, requests: m.requests, fine: m.fine[label],
		ok: m.requests.WithLabelValues(label, strconv.Itoa(usual)), duration: m.durations.WithLabelValues(label),
		degraded: m.degraded.WithLabelValues(label),
	}
	for _, code := range []string{"500", "502", "503", "504", control.CodeAborted} {
		m.requests.WithLabelValues(label, code)
	}
	m.endpoints[usualEnd{label, usual}] = e
	return e
}

// Label is the value of control.LabelEndpoint.
func (e *Endpoint) Label() string { return e.label }

// Degraded counts one request that was answered well, but with parts that are not what
// they should be.
func (e *Endpoint) Degraded() { e.degraded.Inc() }

// Count counts one request; status 0 means that no answer was given.
func (e *Endpoint) Count(status int, took time.Duration) {
	e.duration.Observe(took.Seconds())
	e.fine.Record(took)
	switch status {
	case e.usual:
		e.ok.Inc()
	case 0:
		e.requests.WithLabelValues(e.label, control.CodeAborted).Inc()
	default:
		e.requests.WithLabelValues(e.label, strconv.Itoa(status)).Inc()
	}
}

// A Callee is the series of the calls to one service.
type Callee struct {
	name               string
	outcomes, attempts []prometheus.Counter
	duration           prometheus.Observer
	fine               stats.Recorder
	fallbacks          prometheus.Counter
	degraded           prometheus.Counter
}

// Callee returns the series of a callee. There are as many as services that may
// be called, and one for all that is outside.
func (m *Metrics) Callee(name string) *Callee {
	if c, ok := m.callees.Load(name); ok {
		return c.(*Callee)
	}
	c := &Callee{name: name, duration: m.callTimes.WithLabelValues(name), degraded: m.callsDegrade.WithLabelValues(name)}
	for _, class := range outcome.OfAttempts() {
		c.attempts = append(c.attempts, m.attempts.WithLabelValues(name, string(class)))
	}
	for _, class := range outcome.OfCalls() {
		c.outcomes = append(c.outcomes, m.calls.WithLabelValues(name, string(class)))
	}
	// Two that come at once must count into the same.
	known, _ := m.callees.LoadOrStore(name, c)
	return known.(*Callee)
}

// StartFallbacks starts the series of a callee that fallbacks stand in for.
func (m *Metrics) StartFallbacks(callee string) {
	// Once it is set, requests that are under way may read it.
	if c := m.Callee(callee); c.fallbacks == nil {
		c.fallbacks = m.fallbacks.WithLabelValues(callee)
	}
}

// Attempt counts one request that was sent.
func (c *Callee) Attempt(class outcome.Class) {
	if class == outcome.OK {
		c.attempts[0].Inc()
		return
	}
	c.attempts[slices.Index(outcome.OfAttempts(), class)].Inc()
}

// Degraded counts one call that was answered well, but with parts that are not what
// they should be.
func (c *Callee) Degraded() { c.degraded.Inc() }

// FellBack counts one call whose answer a fallback took the place of; StartFallbacks
// must have been called.
func (c *Callee) FellBack() { c.fallbacks.Inc() }

// Count counts one call that has ended, after all its attempts.
func (c *Callee) Count(class outcome.Class, took time.Duration) {
	c.duration.Observe(took.Seconds())
	c.fine.Record(took)
	if class == outcome.OK {
		c.outcomes[0].Inc()
		return
	}
	c.outcomes[slices.Index(outcome.OfCalls(), class)].Inc()
}
