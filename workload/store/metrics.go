package store

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// metrics are those of one store. Operations take the place of endpoints, and end
// with control.CodeOK or control.CodeError.
type metrics struct {
	numbers *prometheus.Registry
	handler http.Handler
	active  map[fault.Type]prometheus.Gauge
	series  []*series // by operation
}

type series struct {
	label      string
	ok, failed prometheus.Counter
	duration   prometheus.Observer
	fine       stats.Recorder
}

func newMetrics(s *Server) *metrics {
	numbers, histograms := prometheus.NewRegistry(), prometheus.NewRegistry()
	labels := prometheus.Labels{control.LabelService: s.cfg.Service.Name}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: control.RequestsTotal, Help: "Operations answered, by operation and by how they ended.", ConstLabels: labels,
	}, []string{control.LabelEndpoint, control.LabelCode})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: control.RequestDurationSeconds, Help: "Time from the arrival of an operation to its answer.", ConstLabels: labels, Buckets: control.DurationBuckets(),
	}, []string{control.LabelEndpoint})
	active := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: control.FaultActive, Help: "Faults that act now, by type.", ConstLabels: labels,
	}, []string{control.LabelFault})
	m := &metrics{numbers: numbers, active: map[fault.Type]prometheus.Gauge{}}
	for _, e := range fault.Vocabulary() {
		if e.Layer == fault.InStore {
			m.active[e.Type] = active.WithLabelValues(string(e.Type))
		}
	}
	for _, op := range s.cfg.Service.Kind.Operations() {
		label := string(op)
		m.series = append(m.series, &series{
			label: label, ok: requests.WithLabelValues(label, control.CodeOK), failed: requests.WithLabelValues(label, control.CodeError),
			duration: durations.WithLabelValues(label),
		})
	}
	count := func(name, help string, of func(store.Counts) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, func() (n float64) {
			s.look(func(m *store.Store, _ time.Duration) { n = float64(of(m.Counts())) })
			return n
		})
	}
	numbers.MustRegister(requests, active,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: control.StoreConnections, Help: "Clients that are connected.", ConstLabels: labels,
		}, func() (n float64) {
			s.look(func(m *store.Store, _ time.Duration) { n = float64(m.Connections()) })
			return n
		}))
	if s.cfg.ProcessMetrics {
		numbers.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	if s.cfg.Service.Kind == topology.Kafka && (!s.real || s.cfg.Lags != nil) {
		numbers.MustRegister(newLags(s, labels))
	}
	if !s.real { // a real engine keeps these to itself
		numbers.MustRegister(
			count(control.StoreMissedTotal, "Reads that found no item.", func(c store.Counts) int64 { return c.Missed }),
			count(control.StoreStaleTotal, "Reads that were answered with an older version than there was.", func(c store.Counts) int64 { return c.Stale }),
			count(control.StoreRefusedTotal, "Connections over the bound.", func(c store.Counts) int64 { return c.Refused }))
	}
	histograms.MustRegister(durations)
	m.handler = promhttp.HandlerFor(prometheus.Gatherers{numbers, histograms}, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) count(op topology.Operation, code store.Code, took time.Duration) {
	s := m.series[max(slices.IndexFunc(m.series, func(s *series) bool { return s.label == string(op) }), 0)]
	s.duration.Observe(took.Seconds())
	s.fine.Record(took)
	if code == store.OK {
		s.ok.Inc()
	} else {
		s.failed.Inc()
	}
}

func (m *metrics) setFaults(running []*runningFault) {
	counts := map[fault.Type]float64{}
	for _, r := range running {
		counts[r.fault.Type]++
	}
	for t, gauge := range m.active {
		gauge.Set(counts[t])
	}
}

// serve answers with the metrics for Prometheus, or with those that our own scraper
// asks for, which have fine histograms; see control.FineQuery.
func (m *metrics) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != control.FineQuery {
		m.handler.ServeHTTP(w, r)
		return
	}
	families, err := m.numbers.Gather()
	var page bytes.Buffer
	encoder := expfmt.NewEncoder(&page, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err == nil {
			err = encoder.Encode(family)
		}
	}
	if err != nil {
		answer(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	text := page.Bytes()
	for _, s := range m.series {
		var h stats.Histogram
		s.fine.AddTo(&h)
		text = append(text, control.RequestDurationFine+"{"+control.LabelEndpoint+"="...)
		text = append(strconv.AppendQuote(text, s.label), "} "...)
		text = append(h.AppendText(text), '\n')
	}
	answer(w, http.StatusOK, string(text))
}
