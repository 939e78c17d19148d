package result

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// A LoadReport says what load was sent and what came back.
type LoadReport struct {
	Started time.Time     `json:"started"`
	Elapsed time.Duration `json:"elapsedNs"`
	Total   LoadStats     `json:"total"`
	Phases  []PhaseReport `json:"phases"`
	// Requests has one entry for each request of the mix.
	Requests []RequestReport `json:"requests,omitempty"`
	// Incomplete is set where the load was stopped early.
	Incomplete bool `json:"incomplete,omitempty"`
	// Details say why requests did not end well.
	Details
}

// A PhaseReport is the part of a report that one phase made.
type PhaseReport struct {
	Name  string    `json:"name"`
	Stats LoadStats `json:"stats"`
}

// A RequestReport is the part of a report that one request of the mix made.
type RequestReport struct {
	Name  string    `json:"name"`
	Stats LoadStats `json:"stats"`
}

// LoadStats are counts and latencies. Latencies are in seconds, from the
// intended start, of all requests that were sent and not cut off by the end of
// the load.
type LoadStats struct {
	// Arrivals are the intended starts; Sent those really sent.
	Arrivals int64 `json:"arrivals"`
	Sent     int64 `json:"sent"`
	// Late counts starts more than 1 ms after their time, Dropped those that
	// found too many requests in flight.
	Late    int64 `json:"late"`
	Dropped int64 `json:"dropped"`
	// Degraded ended well, but a fallback took the place of a part, or nothing
	// did, at any hop.
	Degraded int64                   `json:"degraded"`
	Outcomes map[outcome.Class]int64 `json:"outcomes"`
	Statuses map[string]int64        `json:"statuses,omitempty"`
	Bytes    int64                   `json:"bytes"`
	// OfferedRate is requests that were to start, per second of the load, by
	// intended start; dropped ones included, and those cut off by the end.
	OfferedRate float64 `json:"offeredRate"`
	// Ended counts the requests that ended while the phase lasted, or the load,
	// which last until the last request has ended; dropped ones and those cut off
	// by the end did not. Good counts those that ended well at every hop: without
	// an error and not degraded. Rate and Goodput are their numbers per second.
	Ended   int64   `json:"ended"`
	Good    int64   `json:"good"`
	Rate    float64 `json:"rate"`
	Goodput float64 `json:"goodput"`
	// Sending is how long requests were sent, Seconds how long it took until the
	// last had ended: what OfferedRate and the other rates are of.
	Sending float64 `json:"sendingSeconds"`
	Seconds float64 `json:"seconds"`
	Latency Latency `json:"latency"`
	// Histogram is the latency distribution in HdrHistogram's compressed V2
	// format, base64, in microseconds.
	Histogram string `json:"histogram,omitempty"`
}

// SetRates divides the counts by the time that they took.
func (s *LoadStats) SetRates() {
	s.OfferedRate, s.Rate, s.Goodput = 0, 0, 0
	if s.Sending > 0 {
		s.OfferedRate = float64(CountRequests(s.Outcomes)+s.Outcomes[outcome.Cancelled]) / s.Sending
	}
	if s.Seconds > 0 {
		s.Rate, s.Goodput = float64(s.Ended)/s.Seconds, float64(s.Good)/s.Seconds
	}
}

// Latency summarises a distribution, in seconds. Mean, Min and Max are exact;
// quantiles are within 0.8 % of the true order statistic.
type Latency struct {
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}
