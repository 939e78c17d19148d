package control

import (
	"cmp"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Isolation is the name of what keeps the replicas of a system apart; package
// localsim defines the values.
type Isolation string

// A Status describes a running system.
type Status struct {
	Name      string    `json:"name"`
	Isolation Isolation `json:"isolation"`
	Seed      uint64    `json:"seed"`
	Started   time.Time `json:"started"`
	// PID is the process that holds the system.
	PID      int                `json:"pid"`
	Control  string             `json:"control,omitempty"`
	Services []ServiceStatus    `json:"services"`
	Faults   []runner.Injection `json:"faults"`
	Outages  []supervise.Outage `json:"recoveries"`
	// OTLP counts the data that a collector has received from the system so far; it
	// is absent if there is no collector.
	OTLP *result.OTLP `json:"otlp,omitempty"`
	// Fluent counts the same for a receiver of logs.
	Fluent *result.Fluent `json:"fluent,omitempty"`
}

// A ServiceStatus describes a service of a running system.
type ServiceStatus struct {
	Name string        `json:"name"`
	Kind topology.Kind `json:"kind"`
	// Engine is the engine of a data store.
	Engine topology.Engine `json:"engine,omitempty"`
	// Runtime is the program that serves the service, if it is not the agent.
	Runtime topology.RuntimeName `json:"runtime,omitempty"`
	// URL is the address of a program that is not of this project.
	URL       string `json:"url,omitempty"`
	Language  string `json:"language,omitempty"`
	Framework string `json:"framework,omitempty"`
	// Endpoint is the base URL of the first replica; it stays the same as long
	// as the system runs.
	Endpoint string           `json:"endpoint,omitempty"`
	Calls    []string         `json:"calls"`
	Replicas []runner.Replica `json:"replicas"`
}

// URLs lists the base URLs, for those outside, of the ready replicas of each service.
func (s *Status) URLs() map[string][]string {
	urls := map[string][]string{}
	for _, service := range s.Services {
		for _, r := range service.Replicas {
			if r.State == runner.Ready {
				urls[service.Name] = append(urls[service.Name], cmp.Or(r.Entrance, r.URL))
			}
		}
	}
	return urls
}
