package localsim

import (
	"cmp"
	"context"
	"os"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// startControl serves the control plane.
func (d *Deployment) startControl() (err error) {
	d.control, err = control.Start(control.Config{
		System: controlled{d}, Token: d.token, Seed: d.seed, Port: d.config.PortBase, Logger: d.config.Logger,
	})
	return err
}

// controlled is a deployment as its control plane sees it.
type controlled struct{ *Deployment }

func (d controlled) Name() string                   { return d.name }
func (d controlled) Entrance(address string) string { return d.entrance(address) }
func (d controlled) CheckUpdate(ctx context.Context, next *topology.System) error {
	return d.checkUpdate(ctx, next)
}
func (d controlled) RequestShutdown() { d.askedOnce.Do(func() { close(d.asked) }) }

// System returns the description of the system as it runs now. It must not be
// changed.
func (d *Deployment) System() *topology.System {
	system, _ := d.current()
	return system
}

// Status describes the system as it is now.
func (d *Deployment) Status(ctx context.Context) (*control.Status, error) {
	replicas, err := d.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	faults, err := d.Active(ctx)
	if err != nil {
		return nil, err
	}
	s := &control.Status{
		Name: d.name, Isolation: control.Isolation(d.config.Isolation), Seed: d.seed, Started: d.started, PID: os.Getpid(),
		Control: d.ControlURL(), Services: []control.ServiceStatus{}, Faults: faults, Outages: append([]supervise.Outage{}, d.Outages()...),
	}
	if d.config.Sent != nil {
		d.config.Sent(s)
	}
	byService := map[string][]runner.Replica{}
	for _, r := range replicas {
		byService[r.Service] = append(byService[r.Service], r)
	}
	system := d.System()
	for i := range system.Services {
		service := &system.Services[i]
		status := control.ServiceStatus{
			Name: service.Name, Kind: service.Kind, Language: service.Language, Framework: service.Framework,
			Calls: append([]string{}, service.Calls()...), Replicas: append([]runner.Replica{}, byService[service.Name]...),
		}
		if r, foreign := service.Foreign(); foreign {
			status.Runtime = r.Name
		}
		status.URL = service.URL
		if service.Kind.IsStore() {
			status.Engine = service.StoreSettings().Engine
			for i := range status.Replicas {
				r := &status.Replicas[i]
				r.URL = string(service.Kind) + strings.TrimPrefix(r.URL, "http") // it speaks its own protocol
			}
		}
		if len(status.Replicas) > 0 {
			status.Endpoint = cmp.Or(service.URL, status.Replicas[0].URL)
		}
		s.Services = append(s.Services, status)
	}
	return s, nil
}
