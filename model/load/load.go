// Package load describes the load put on a system: which requests, how many
// and when, as pure arithmetic without a clock.
package load

import (
	"slices"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Profile is a mix of requests sent through phases, one after another. A phase
// begins when the one before it ends, while answers to that one may still come.
type Profile struct {
	// Requests are drawn by weight. Empty means every entry of the system with the
	// same weight. The arrival's number decides the draw, so a burst repeats one
	// request.
	Requests []Request `json:"requests,omitempty"`
	Phases   []Phase   `json:"phases"`
	// Timeout bounds each request, counted from when it is really sent.
	Timeout unit.Duration `json:"timeout"`
	// MaxInFlight bounds the requests that wait for an answer in an open loop; an
	// arrival beyond it is dropped, and counted as dropped.
	MaxInFlight int `json:"maxInFlight"`
	// NoKeepAlive opens a new connection for each request.
	NoKeepAlive bool `json:"noKeepAlive,omitempty"`
	// TLS says how the certificates of https URLs are checked. Without it, they are
	// checked with the authorities that the sending machine trusts.
	TLS *TLS `json:"tls,omitempty"`
}

// A Request is what one arrival sends. It goes to a service of the system, to a
// URL, or carries its own route as a chain.
type Request struct {
	// Name labels the request in reports; empty means service and endpoint.
	Name    string `json:"name,omitempty"`
	Service string `json:"service,omitempty"`
	// Endpoint is the path; empty means the service's first endpoint.
	Endpoint string `json:"endpoint,omitempty"`
	Method   string `json:"method,omitempty"`
	// URL is used as it is, in place of a service.
	URL string `json:"url,omitempty"`
	// Chain is a MicroSim request in JSON, posted to the service it designates.
	// Its probabilities are decided anew for each arrival.
	Chain string `json:"chain,omitempty"`
	// Body is sent as it is; BodySize sends as many zeros.
	Body     string            `json:"body,omitempty"`
	BodySize unit.Size         `json:"bodySize,omitzero"`
	Headers  map[string]string `json:"headers,omitempty"`
	// Weight is this request's share in the mix, relative to the others'; 0 means 1.
	Weight float64 `json:"weight"`
	// Beat gives the request a rate of its own where each arrival sends every
	// request.
	Beat *Beat `json:"beat,omitempty"`
}

// Arrivals says how an open loop spaces its requests.
type Arrivals string

// The spacings of an open loop.
const (
	Constant Arrivals = "constant"
	Poisson  Arrivals = "poisson"
)

// A Phase is a part of the load with one shape: an open loop, which sends at Rate
// without waiting for answers, or a closed loop of Users, each of whom waits for an
// answer before the next request.
type Phase struct {
	// Name labels the phase in reports; empty means its number, from 1.
	Name string `json:"name"`
	// Duration is the length of the phase. 0 means until Count is reached or,
	// without a Count, until the load is stopped; only the last phase may have
	// neither.
	Duration unit.Duration `json:"duration"`

	// Rate is in arrivals per second, the first of them at once unless they are
	// Poisson; RateTo, where given, is reached linearly at the end of the phase.
	Rate     float64  `json:"rate,omitempty"`
	RateTo   *float64 `json:"rateTo,omitempty"`
	Arrivals Arrivals `json:"arrivals,omitempty"`
	// Sine swings the rate by Amplitude around Rate.
	Sine *Sine `json:"sine,omitempty"`
	// Burst is how many equal requests each arrival sends at once; 0 means 1. A
	// chain's probabilities are decided once for all of them.
	Burst int `json:"burst,omitempty"`

	// Users is the size of a closed loop; UsersTo is reached linearly.
	Users   int  `json:"users,omitempty"`
	UsersTo *int `json:"usersTo,omitempty"`
	// Think is how long a user waits after an answer.
	Think dist.Delay `json:"think,omitzero"`
	// Every is the fixed interval of each user's requests, from the first one on; a
	// user who still waits for an answer skips a request. It excludes Think.
	Every unit.Duration `json:"every,omitzero"`

	// Count ends the phase after that many arrivals; 0 means no limit.
	Count int `json:"count,omitempty"`
	// Each takes all requests of the mix in place of one drawn by weight: each
	// arrival of an open loop sends every request (Burst times), and the users of
	// a closed loop are dealt the requests in turn and stay with their own.
	Each bool `json:"each,omitempty"`
}

// Sine is a swing of the rate, in arrivals per second.
type Sine struct {
	Amplitude float64       `json:"amplitude"`
	Period    unit.Duration `json:"period"`
}

// Defaults of the fields that a file may leave out.
const (
	DefaultTimeout     = unit.Duration(15e9)
	DefaultMaxInFlight = 4096
)

// WithDefaults returns a copy in which the fields that were left out have their
// defaults. Validate and everything that runs a profile expect such a copy.
func (p Profile) WithDefaults() Profile {
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	if p.MaxInFlight == 0 {
		p.MaxInFlight = DefaultMaxInFlight
	}
	p.Requests = slices.Clone(p.Requests)
	for i := range p.Requests {
		p.Requests[i].setDefaults()
	}
	p.Phases = slices.Clone(p.Phases)
	for i := range p.Phases {
		p.Phases[i].setDefaults(i)
	}
	return p
}

func (r *Request) setDefaults() {
	if r.Weight == 0 {
		r.Weight = 1
	}
	if r.Name == "" {
		switch {
		case r.URL != "":
			r.Name = problem.CleanURL(r.URL)
		case r.Chain != "":
			r.Name = "chain"
		default:
			r.Name = r.Service + r.Endpoint
		}
	}
}

func (p *Phase) setDefaults(index int) {
	if p.Name == "" {
		p.Name = strconv.Itoa(index + 1)
	}
	if p.IsOpen() {
		p.Burst = max(p.Burst, 1)
		if p.Arrivals == "" {
			p.Arrivals = Constant
		}
	}
}

// IsOpen reports whether the phase is an open loop.
func (p *Phase) IsOpen() bool { return p.Rate != 0 || p.RateTo != nil }

// IsClosed reports whether the phase is a closed loop.
func (p *Phase) IsClosed() bool { return p.Users != 0 || p.UsersTo != nil }

// Endless reports whether the phase has no end of its own.
func (p *Phase) Endless() bool { return p.Duration == 0 && p.Count == 0 }

// Endless reports whether the load goes on until it is stopped.
func (p *Profile) Endless() bool {
	return slices.ContainsFunc(p.Phases, func(phase Phase) bool { return phase.Endless() })
}
