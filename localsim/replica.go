package localsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A replica is one copy of a service, with the part of the desired state that
// its instance has been sent.
type replica struct {
	*supervise.Replica
	// outside is set if the replica is a server at a URL, which this package neither
	// starts nor controls.
	outside bool
	// batch is what the replica starts with, nil after that.
	batch *batch
	// meter adds up what the replica's processes use.
	meter supervise.Meter
	// builtFor is the system that the newest instance was made for.
	builtFor atomic.Pointer[topology.System]

	// syncing is held while the instance is brought up to date.
	syncing sync.Mutex
	// lastSent belongs to the current instance; guarded by syncing.
	lastSent lastSent
}

func (r *replica) slot() slot { return slot{r.Service(), r.Index()} }

// freeze pauses the instance. The caller of freeze and thaw holds syncing.
func (r *replica) freeze(in supervise.Instance) error {
	if err := r.Freeze(in); err != nil {
		return err
	}
	r.lastSent.paused = true
	return nil
}

// thaw lets the instance go on.
func (r *replica) thaw(in supervise.Instance) error {
	if err := r.Thaw(in); err != nil {
		return err
	}
	r.lastSent.paused = false
	return nil
}

// spec describes the replica as it is wanted now. The supervisor calls it
// before it starts the instance.
func (d *Deployment) spec(r *replica, address string) Spec {
	d.mu.Lock()
	s := Spec{
		System: d.name, Service: d.services[r.Service()], Replica: r.Index(), Seed: d.seed, AllowHosts: d.system.AllowHosts,
		Token: d.token, Addr: address,
	}
	s.Stores = d.storesLocked()
	described := d.described[r.Service()]
	peers, version := d.peersForLocked(r.Service())
	r.builtFor.Store(d.system)
	d.mu.Unlock()
	s.Peers = peers
	r.syncing.Lock()
	defer r.syncing.Unlock()
	r.lastSent = lastSent{peers: version, described: described}
	return s
}

// storesLocked are the data stores of the system. The caller holds the deployment's mu.
func (d *Deployment) storesLocked() (stores []topology.Service) {
	for i := range d.system.Services {
		if t := &d.system.Services[i]; t.Kind.IsStore() {
			stores = append(stores, *t)
		}
	}
	return stores
}

// startServer begins to serve the replica on its listener, or on its address if
// an earlier instance has used the listener.
func (d *Deployment) startServer(_ context.Context, r *replica) (supervise.Instance, error) {
	ln, err := r.TakeListener()
	if err != nil {
		return nil, err
	}
	s := d.service(r.Service())
	isStore := s.Kind.IsStore()
	newServer := d.config.NewServer
	if isStore {
		newServer = d.config.NewStore
	}
	server, err := newServer(d.spec(r, ln.Addr().String()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making its server: %w", err), ln.Close())
	}
	return supervise.Serve(server, ln, isStore || s.Workers > 0 && s.Shed == nil) //nolint:contextcheck // a server ends when its supervisor stops it
}

// attach takes the server at the URL of a service as the replica's instance.
func (d *Deployment) attach(r *replica) (supervise.Instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.services[r.Service()]
	r.builtFor.Store(d.system)
	return supervise.Attach(s.Address()), nil
}

// runtimePatience is how long a runtime may take to load its framework while other
// replicas on this machine load theirs.
const runtimePatience = 45 * time.Second

// startChild starts a process for the replica and waits until it tells its
// address.
func (d *Deployment) startChild(ctx context.Context, r *replica) (supervise.Instance, error) {
	address, _ := r.Address()
	cmd, err := d.config.Command(d.spec(r, address))
	if err != nil {
		return nil, fmt.Errorf("making its command: %w", err)
	}
	patience := d.config.ReadyTimeout
	if s := d.service(r.Service()); len(s.Runtime) > 0 {
		patience = max(patience, runtimePatience)
	}
	return supervise.StartChild(ctx, supervise.Child{
		Command: cmd, Address: address, Output: d.outputOf(r), HelloTimeout: patience, Meter: &r.meter,
		Start: func(start func() error) error {
			if d.network == nil {
				return d.spawner.Do(start)
			}
			return d.spawner.Do(func() error { return d.network.Enter(r.Label(), start) })
		},
		Started: func(pid int) error { return d.noteProcess(pid, r.Label()) },
	})
}

// outputOf returns the writer that gets what the process of a replica prints.
func (d *Deployment) outputOf(r *replica) io.Writer {
	if d.config.OutputOf == nil {
		return d.output
	}
	return d.config.OutputOf(r.Service(), r.Index())
}

// service returns a service as it is wanted now.
func (d *Deployment) service(name string) topology.Service {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.services[name]
}
