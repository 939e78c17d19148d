package otlp

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	metricspb "go.opentelemetry.io/proto/slim/otlp/metrics/v1"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A metric is what points are of.
type metric int

// The metrics.
const (
	requests metric = iota
	duration
	active
	queue
	cpuTime
	memory
	network
	up
	calls
	attempts
	callDuration
	arrivals
)

// kind says how points of a metric add up.
type kind int

const (
	// total grows from the beginning of the run on, level may fall, durations is a
	// histogram of all since the beginning.
	total kind = iota
	level
	durations
)

type definition struct {
	name, unit, description string
	kind                    kind
}

// define describes a metric. Names are those of OpenTelemetry's semantic conventions,
// where they have one.
func (m metric) define() definition {
	return [...]definition{
		requests:     {"microsim.requests", "{request}", "requests answered or given up, as the service counts them", total},
		duration:     {"http.server.request.duration", "s", "latencies of requests, as the service measures them", durations},
		active:       {"http.server.active_requests", "{request}", "requests in work", level},
		queue:        {"microsim.queue.length", "{request}", "requests that wait for a worker", level},
		cpuTime:      {"process.cpu.time", "s", "processor time", total},
		memory:       {"process.memory.usage", "By", "memory in use", level},
		network:      {"microsim.network.io", "By", "bytes that the connections of the service carried", total},
		up:           {"microsim.replicas.up", "{replica}", "replicas that answer", level},
		calls:        {"microsim.calls", "{call}", "calls, as they ended after all retries", total},
		attempts:     {"microsim.call.attempts", "{attempt}", "attempts of calls", total},
		callDuration: {"microsim.call.duration", "s", "latencies of calls, retries included", durations},
		arrivals:     {"microsim.client.requests", "{request}", "requests of the load that have ended, by what became of them", total},
	}[m]
}

// A point is a value of a metric at a time.
type point struct {
	metric     metric
	service    string
	attributes []trace.Attribute
	from, at   time.Time
	value      float64
	histogram  stats.Histogram
}

// bounds are the upper ends of the buckets of histograms, in seconds: those of the
// semantic conventions for HTTP.
func bounds() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

// An account adds up what samples tell, so that points are sums since the beginning.
type account struct {
	mu     *sync.Mutex
	from   time.Time
	zero   time.Time
	sums   map[string]float64
	shapes map[string]*stats.Histogram
}

func newAccount() account {
	return account{mu: &sync.Mutex{}, sums: map[string]float64{}, shapes: map[string]*stats.Histogram{}}
}

// observe makes the points of an event; none of most.
func (a *account) observe(event runner.Event) []point {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch e := event.(type) {
	case runner.LoadBegun:
		a.zero = e.At
		a.begin(e.At)
	case runner.ServiceSampled:
		a.begin(e.Sample.At.Add(-e.Sample.Interval()))
		return a.sample(&e.Sample)
	case runner.ClientSampled:
		p := pointer{account: a, service: trace.LoadService, at: a.zero.Add(e.Second.At)}
		for _, class := range outcome.Classes() {
			if n := e.Second.Outcomes[class]; n > 0 {
				p.add(arrivals, float64(n), trace.Text("microsim.outcome", string(class)))
			}
		}
		return p.points
	}
	return nil
}

// begin notes when the sums begin.
func (a *account) begin(at time.Time) {
	if a.from.IsZero() {
		a.from = at
	}
}

func (a *account) sample(s *measure.Sample) []point {
	p := pointer{account: a, service: s.Service, at: s.At}
	p.set(up, float64(s.Up))
	if s.Up == 0 {
		return p.points // nothing else is known
	}
	for _, code := range slices.Sorted(maps.Keys(s.Codes)) {
		attribute := trace.Text("error.type", code)
		if n, err := strconv.ParseInt(code, 10, 64); err == nil {
			attribute = trace.Number("http.response.status_code", n)
		}
		p.add(requests, float64(s.Codes[code]), attribute)
	}
	p.merge(duration, &s.Latency)
	p.set(active, float64(s.InFlight))
	p.set(queue, float64(s.QueueLength))
	if s.MemoryBytes > 0 {
		p.set(memory, float64(s.MemoryBytes))
	}
	if s.CPUSeconds.Known {
		p.add(cpuTime, s.CPUSeconds.Value)
	}
	if s.BytesReceived.Known {
		p.add(network, s.BytesReceived.Value, trace.Text("network.io.direction", "receive"))
	}
	if s.BytesSent.Known {
		p.add(network, s.BytesSent.Value, trace.Text("network.io.direction", "transmit"))
	}
	for i := range s.Calls {
		c := &s.Calls[i]
		callee := trace.Text("peer.service", c.Callee)
		for _, class := range outcome.Classes() {
			if n := c.Calls[class]; n > 0 {
				p.add(calls, float64(n), callee, trace.Text("microsim.outcome", string(class)))
			}
			if n := c.Attempts[class]; n > 0 {
				p.add(attempts, float64(n), callee, trace.Text("microsim.outcome", string(class)))
			}
		}
		p.merge(callDuration, &c.Latency, callee)
	}
	return p.points
}

// A pointer makes the points of one service at one time.
type pointer struct {
	account *account
	service string
	at      time.Time
	points  []point
}

func (p *pointer) key(m metric, attributes []trace.Attribute) string {
	key := m.define().name + "\x00" + p.service
	for i := range attributes {
		key += "\x00" + attributes[i].Key + "\x00"
		if v := &attributes[i].Value; v.String != nil {
			key += *v.String
		} else if v.Int != nil {
			key += *v.Int
		}
	}
	return key
}

func (p *pointer) point(m metric, attributes []trace.Attribute) *point {
	p.points = append(p.points, point{metric: m, service: p.service, attributes: attributes, from: p.account.from, at: p.at})
	return &p.points[len(p.points)-1]
}

// set makes a point with a value, add one with a sum, merge one with a histogram.
func (p *pointer) set(m metric, v float64) { p.point(m, nil).value = v }

func (p *pointer) add(m metric, v float64, attributes ...trace.Attribute) {
	key := p.key(m, attributes)
	p.account.sums[key] += v
	p.point(m, attributes).value = p.account.sums[key]
}

func (p *pointer) merge(m metric, h *stats.Histogram, attributes ...trace.Attribute) {
	key := p.key(m, attributes)
	sum := p.account.shapes[key]
	if sum == nil {
		sum = &stats.Histogram{}
		p.account.shapes[key] = sum
	}
	if sum.Merge(h); sum.Count() > 0 {
		p.point(m, attributes).histogram = sum.Clone()
	}
}

// metricsOf are points; those of one service and metric are together.
func metricsOf(origin *trace.Origin, points []point) []*metricspb.ResourceMetrics {
	scopes, messages := map[string]*metricspb.ScopeMetrics{}, []*metricspb.ResourceMetrics{}
	type key struct {
		service string
		metric  metric
	}
	metrics := map[key]*metricspb.Metric{}
	for i := range points {
		pt := &points[i]
		scope := scopes[pt.service]
		if scope == nil {
			scope = &metricspb.ScopeMetrics{Scope: scopeOf(origin.Scope())}
			scopes[pt.service] = scope
			messages = append(messages, &metricspb.ResourceMetrics{Resource: resourceOf(origin.Resource(pt.service, 0)), ScopeMetrics: []*metricspb.ScopeMetrics{scope}})
		}
		m := metrics[key{pt.service, pt.metric}]
		if m == nil {
			m = pt.metric.message()
			metrics[key{pt.service, pt.metric}] = m
			scope.Metrics = append(scope.Metrics, m)
		}
		pt.addTo(m)
	}
	return messages
}

// message is the metric without points.
func (m metric) message() *metricspb.Metric {
	d := m.define()
	to := &metricspb.Metric{Name: d.name, Unit: d.unit, Description: d.description}
	const cumulative = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	switch d.kind {
	case total:
		to.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{AggregationTemporality: cumulative, IsMonotonic: true}}
	case level:
		to.Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{}}
	case durations:
		to.Data = &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{AggregationTemporality: cumulative}}
	}
	return to
}

func (pt *point) addTo(m *metricspb.Metric) {
	at := uint64(pt.at.UnixNano())
	number := func() *metricspb.NumberDataPoint {
		return &metricspb.NumberDataPoint{Attributes: attributesOf(pt.attributes), TimeUnixNano: at, Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: pt.value}}
	}
	switch data := m.GetData().(type) {
	case *metricspb.Metric_Gauge:
		data.Gauge.DataPoints = append(data.Gauge.DataPoints, number())
	case *metricspb.Metric_Sum:
		n := number()
		n.StartTimeUnixNano = uint64(pt.from.UnixNano())
		data.Sum.DataPoints = append(data.Sum.DataPoints, n)
	case *metricspb.Metric_Histogram:
		sum := pt.histogram.Sum().Seconds()
		data.Histogram.DataPoints = append(data.Histogram.DataPoints, &metricspb.HistogramDataPoint{
			Attributes: attributesOf(pt.attributes), StartTimeUnixNano: uint64(pt.from.UnixNano()), TimeUnixNano: at,
			Count: uint64(pt.histogram.Count()), Sum: &sum, ExplicitBounds: bounds(), BucketCounts: bucketsOf(&pt.histogram),
		})
	}
}

// bucketsOf counts durations by bounds. One that may lie on either side of a bound,
// because it is known to 0.8 % only, counts above it.
func bucketsOf(h *stats.Histogram) []uint64 {
	ends := bounds()
	counts := make([]uint64, len(ends)+1)
	var before int64
	for i, bound := range ends {
		n := h.AtMost(time.Duration(bound * 1e9))
		counts[i] = uint64(n - before)
		before = n
	}
	counts[len(ends)] = uint64(h.Count() - before)
	return counts
}
