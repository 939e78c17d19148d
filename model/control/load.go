package control

import (
	"strconv"
	"time"
)

// The paths of a load generator in a pod. HealthPath and ReadyPath are there,
// too; ReadyPath answers 200 when the generator can be started. All others need
// the token.
const (
	// LoadStartPath takes a LoadStart. A generator that runs already goes on.
	LoadStartPath = "/start"
	// LoadOutcomesPath streams lines of outcomes, from the number in
	// FromParameter on, until the last one; see runner/remote.
	LoadOutcomesPath = "/outcomes"
	// LoadControlPath takes LoadFactors.
	LoadControlPath = "/control"
	// LoadSpansPath answers a SpanQuery with the spans of the requests that were sent.
	LoadSpansPath = "/spans"
	// LoadStopPath ends the load early.
	LoadStopPath = "/stop"
	// LoadDonePath says that everything was read: the generator exits.
	LoadDonePath = "/done"
)

// FromParameter of LoadOutcomesPath is the number of the first line wanted.
const FromParameter = "from"

// OutcomesFrom asks for outcomes from a line on.
func OutcomesFrom(line int64) string {
	return LoadOutcomesPath + "?" + FromParameter + "=" + strconv.FormatInt(line, 10)
}

// A LoadStart begins the load.
type LoadStart struct {
	// Delay is how long to wait, so that several generators begin together.
	Delay time.Duration `json:"delayNs"`
}

// LoadFactors change a load that runs; they multiply what its profile says.
type LoadFactors struct {
	Rate  float64 `json:"rate"`
	Burst float64 `json:"burst"`
	Users float64 `json:"users"`
}
