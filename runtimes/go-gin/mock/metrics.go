package mock

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var (
	buckets  = []float64{0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25}
	attempts = []string{"ok", "http_error", "connection_error", "timeout", "cancelled", "malformed"}
)

// metrics are those of the contract. Every series that the System implies starts
// at zero.
type metrics struct {
	handler http.Handler

	requests, degraded, calls, attempts, callsDegraded *prometheus.CounterVec
	durations, callTimes                               *prometheus.HistogramVec

	mu      sync.Mutex
	callees map[string]bool
}

func newMetrics(s *Service) *metrics {
	registry := prometheus.NewRegistry()
	register := prometheus.WrapRegistererWith(prometheus.Labels{"service": s.Name}, registry)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "microsim_" + name, Help: help}, labels)
		register.MustRegister(v)
		return v
	}
	histogram := func(name, help, label string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "microsim_" + name, Help: help, Buckets: buckets}, []string{label})
		register.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels prometheus.Labels, now func() float64) {
		register.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "microsim_" + name, Help: help, ConstLabels: labels}, now))
	}
	m := &metrics{
		handler:       promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		requests:      counter("requests_total", "Requests answered, by endpoint and status; code aborted got no answer.", "endpoint", "code"),
		durations:     histogram("request_duration_seconds", "Time from the arrival of a request to its answer.", "endpoint"),
		degraded:      counter("requests_degraded_total", "Requests answered well, but with parts that are not what they should be.", "endpoint"),
		calls:         counter("calls_total", "Calls made, by callee and by how they ended.", "callee", "outcome"),
		attempts:      counter("call_attempts_total", "Requests sent for calls, by callee and outcome.", "callee", "outcome"),
		callTimes:     histogram("call_duration_seconds", "Time of calls, whatever their outcome.", "callee"),
		callsDegraded: counter("calls_degraded_total", "Calls answered well, but with parts that are not what they should be.", "callee"),
		callees:       map[string]bool{},
	}
	register.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge("inflight_requests", "Requests being worked on.", nil, func() float64 { return float64(s.inflight.Load()) })
	gauge("queue_length", "Requests that wait inside the service: none.", nil, func() float64 { return 0 })
	gauge("held_memory_bytes", "Memory held for requests and leaks.", nil, s.memory.now)
	for _, kind := range faultTypes() {
		gauge("fault_active", "Faults that act now, by type.", prometheus.Labels{"fault": kind}, func() float64 { return float64(s.faults.count(kind)) })
	}
	for i := range s.endpoints {
		e := &s.endpoints[i]
		m.startEndpoint(e.Path, e.Response.Status)
		for _, callee := range e.callees {
			m.startCallee(callee)
		}
	}
	m.startEndpoint("chain", http.StatusOK)
	m.startEndpoint("other", http.StatusNotFound)
	return m
}

func (m *metrics) startEndpoint(endpoint string, usual int) {
	for _, code := range []string{strconv.Itoa(usual), "500", "502", "503", "504", "aborted"} {
		m.requests.WithLabelValues(endpoint, code)
	}
	m.durations.WithLabelValues(endpoint)
	m.degraded.WithLabelValues(endpoint)
}

func (m *metrics) startCallee(callee string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.callees[callee] {
		return
	}
	m.callees[callee] = true
	for _, outcome := range append([]string{"breaker_open", "rejected"}, attempts...) {
		m.calls.WithLabelValues(callee, outcome)
	}
	for _, outcome := range attempts {
		m.attempts.WithLabelValues(callee, outcome)
	}
	m.callTimes.WithLabelValues(callee)
	m.callsDegraded.WithLabelValues(callee)
}

// request counts a request; a status of 0 means that it got no answer.
func (m *metrics) request(endpoint string, status int, took time.Duration, degraded int) {
	code := "aborted"
	if status > 0 {
		code = strconv.Itoa(status)
	}
	m.requests.WithLabelValues(endpoint, code).Inc()
	m.durations.WithLabelValues(endpoint).Observe(took.Seconds())
	if degraded > 0 && status > 0 && status < 400 {
		m.degraded.WithLabelValues(endpoint).Inc()
	}
}

// call counts a call, which is sent once.
func (m *metrics) call(callee, outcome string, took time.Duration, degraded int) {
	m.startCallee(callee)
	m.calls.WithLabelValues(callee, outcome).Inc()
	m.attempts.WithLabelValues(callee, outcome).Inc()
	m.callTimes.WithLabelValues(callee).Observe(took.Seconds())
	if outcome == "ok" && degraded > 0 {
		m.callsDegraded.WithLabelValues(callee).Inc()
	}
}
