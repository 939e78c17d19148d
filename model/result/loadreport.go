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
// intended start, of all requests that were sent.
type LoadStats struct {
	// Arrivals are the intended starts; Sent those really sent.
	Arrivals int64 `json:"arrivals"`
	Sent     int64 `json:"sent"`
	// Late counts starts more than 1 ms after their time, Dropped those that
	// found too many requests in flight.
	Late     int64                   `json:"late"`
	Dropped  int64                   `json:"dropped"`
	Outcomes map[outcome.Class]int64 `json:"outcomes"`
	Statuses map[string]int64        `json:"statuses,omitempty"`
	Bytes    int64                   `json:"bytes"`
	// Rate is answers of any kind per second.
	Rate    float64 `json:"rate"`
	Latency Latency `json:"latency"`
	// Histogram is the latency distribution in HdrHistogram's compressed V2
	// format, base64, in microseconds.
	Histogram string `json:"histogram,omitempty"`
}

// Latency summarises a distribution, in seconds.
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
