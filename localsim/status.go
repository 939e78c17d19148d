package localsim

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Status describes a running system.
type Status struct {
	Name      string    `json:"name"`
	Isolation Isolation `json:"isolation"`
	Seed      uint64    `json:"seed"`
	Started   time.Time `json:"started"`
	// PID is the process that holds the system.
	PID        int                    `json:"pid"`
	Control    string                 `json:"control,omitempty"`
	Services   []ServiceStatus        `json:"services"`
	Faults     []experiment.Injection `json:"faults"`
	Recoveries []supervise.Recovery   `json:"recoveries"`
}

// A ServiceStatus describes a service of a running system.
type ServiceStatus struct {
	Name      string        `json:"name"`
	Kind      topology.Kind `json:"kind"`
	Language  string        `json:"language,omitempty"`
	Framework string        `json:"framework,omitempty"`
	// Endpoint is the base URL of the first replica; it stays the same as long
	// as the system runs.
	Endpoint string               `json:"endpoint,omitempty"`
	Calls    []string             `json:"calls"`
	Replicas []experiment.Replica `json:"replicas"`
}

// URLs lists the base URLs, for those outside, of the ready replicas of each service.
func (s *Status) URLs() map[string][]string {
	urls := map[string][]string{}
	for _, service := range s.Services {
		for _, r := range service.Replicas {
			if r.State == experiment.Ready {
				urls[service.Name] = append(urls[service.Name], cmp.Or(r.Entrance, r.URL))
			}
		}
	}
	return urls
}

// System returns the description of the system as it runs now. It must not be
// changed.
func (d *Deployment) System() *topology.System {
	system, _ := d.current()
	return system
}

// Status describes the system as it is now.
func (d *Deployment) Status(ctx context.Context) (*Status, error) {
	replicas, err := d.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	faults, err := d.Active(ctx)
	if err != nil {
		return nil, err
	}
	s := &Status{
		Name: d.name, Isolation: d.config.Isolation, Seed: d.seed, Started: d.started, PID: os.Getpid(),
		Control: d.ControlURL(), Services: []ServiceStatus{}, Faults: faults, Recoveries: append([]supervise.Recovery{}, d.Recoveries()...),
	}
	byService := map[string][]experiment.Replica{}
	for _, r := range replicas {
		byService[r.Service] = append(byService[r.Service], r)
	}
	system := d.System()
	for i := range system.Services {
		service := &system.Services[i]
		status := ServiceStatus{
			Name: service.Name, Kind: service.Kind, Language: service.Language, Framework: service.Framework,
			Calls: append([]string{}, service.Calls()...), Replicas: append([]experiment.Replica{}, byService[service.Name]...),
		}
		if len(status.Replicas) > 0 {
			status.Endpoint = status.Replicas[0].URL
		}
		s.Services = append(s.Services, status)
	}
	return s, nil
}
