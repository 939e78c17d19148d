// Package control is the contract of everything that MicroSim controls over
// HTTP, as types: paths, headers, bodies and metric names of a mock service,
// of a load generator, of a node's helper and of the control plane of a system
// on this machine. It knows no HTTP; internal/controlhttp sends and answers.
package control

import (
	"bytes"
	"encoding/json"
	"net/url"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// The paths of every mock service. The first three are open to everybody, the
// others need the token.
const (
	HealthPath  = "/healthz"
	ReadyPath   = "/readyz"
	MetricsPath = "/metrics"

	// AdminPath and the paths below it belong to the service itself.
	AdminPath = "/admin"
	// FaultsPath lists the faults of a service as Injections.
	FaultsPath = "/admin/faults"
	// PeersPath takes Peers.
	PeersPath = "/admin/peers"
	// UnreachablePath lists the names of peers that accept no connection.
	UnreachablePath = "/admin/peers/unreachable"
	// SpansPath answers a SpanQuery by POST with Spans.
	SpansPath = "/admin/spans"
	// SetDelayPath takes a SetDelay. A service whose System has an endpoint of
	// this path keeps the path for the endpoint.
	SetDelayPath = "/set-delay"
)

// FaultPath is where the fault with an id is added and cleared.
func FaultPath(id string) string { return FaultsPath + "/" + url.PathEscape(id) }

// MaxBody bounds, in bytes, the body of a control request to a service. The
// peers of 20 000 services fit.
const MaxBody = 8 << 20

// A FaultRequest is the body of PUT FaultPath.
type FaultRequest struct {
	Fault fault.Fault `json:"fault"`
	// Deadline is when the fault ends by itself; zero means that it acts until
	// it is cleared.
	Deadline time.Time `json:"deadline,omitzero"`
}

// UnmarshalJSON refuses fields that are not known. A fault without a probability
// always acts, as in files.
func (r *FaultRequest) UnmarshalJSON(data []byte) error {
	type plain FaultRequest
	read := plain{Fault: fault.Fault{Probability: 1}}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		return err
	}
	*r = FaultRequest(read)
	return nil
}

// An Injection is a fault that acts.
type Injection struct {
	ID       string      `json:"id"`
	Fault    fault.Fault `json:"fault"`
	Since    time.Time   `json:"since"`
	Deadline time.Time   `json:"deadline,omitzero"`
	// Replicas are the ones it acts on, as service/index.
	Replicas []string `json:"replicas"`
	// Hits counts the requests it has acted on; -1 if the count is not known.
	Hits int64 `json:"hits"`
	// By names what carries it out if there is a choice: a gate, or a backend of
	// the network.
	By string `json:"by,omitempty"`
	// Effective describes, for people, the values in force if they are known.
	Effective string `json:"effective,omitempty"`
	// Errors are what keeps it from acting where it should.
	Errors []string `json:"errors,omitempty"`
	// ActsSince is when it began to act on each replica, by the clock of the machine
	// that carries it out, if that is another one. A time that has changed means that
	// it did not act in between.
	ActsSince map[string]time.Time `json:"actsSince,omitempty"`
}

// Peers are the base URLs of services by name. A key of the form host:port
// redirects what would go to that address.
type Peers map[string][]string

// A SpanQuery is the body of POST SpansPath, and Spans the answer.
type (
	SpanQuery = span.Query
	Spans     = span.Answer
)

// MaxTracesAsked bounds the traces of one SpanQuery.
const MaxTracesAsked = span.MaxWanted

// A SetDelay is the body of POST SetDelayPath, in VECROsim's format. It delays
// all requests by Delay milliseconds, with a uniform jitter to either side.
type SetDelay struct {
	Delay *float64 `json:"delay"`
	// Jitter is in milliseconds; nil means a tenth of the delay.
	Jitter *float64 `json:"jitter"`
}

// A SetDelayDone answers a SetDelay.
type SetDelayDone struct {
	Payload string `json:"payload"`
}
