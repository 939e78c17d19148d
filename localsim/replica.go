package localsim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A replica is one copy of a service, with what it has been told of the desired
// state.
type replica struct {
	*supervise.Replica
	// batch is what the replica starts with, nil after that.
	batch *batch
	// builtFor is the system that the newest instance was made for.
	builtFor atomic.Pointer[topology.System]

	// syncing is held while the instance is brought up to date.
	syncing sync.Mutex
	// told is what the current instance knows; guarded by syncing.
	told told
}

func (r *replica) slot() slot { return slot{r.Service(), r.Index()} }

// freeze pauses the instance. It needs syncing, as thaw does.
func (r *replica) freeze(in supervise.Instance) error {
	if err := r.Freeze(in); err != nil {
		return err
	}
	r.told.paused = true
	return nil
}

// thaw lets the instance go on.
func (r *replica) thaw(in supervise.Instance) error {
	if err := r.Thaw(in); err != nil {
		return err
	}
	r.told.paused = false
	return nil
}

// spec describes the replica as it is wanted now. It is called by the
// supervisor, before the instance of which it tells is there.
func (d *Deployment) spec(r *replica, address string) Spec {
	d.mu.Lock()
	s := Spec{
		System: d.name, Service: d.services[r.Service()], Replica: r.Index(), Seed: d.seed, AllowHosts: d.system.AllowHosts,
		Token: d.token, Addr: address,
	}
	// A nil pointer would be an interface that is not nil.
	if d.transport != nil && !d.callsQueue(&s.Service) {
		s.Transport = d.transport
	}
	peers, version := d.peersFor(r.Service())
	r.builtFor.Store(d.system)
	d.mu.Unlock()
	s.Peers = peers
	r.syncing.Lock()
	defer r.syncing.Unlock()
	r.told = told{peers: version}
	return s
}

// callsQueue reports whether a service calls one whose requests may have to wait
// for a worker. Such calls are not for the shared transport, which goes on
// connecting when their time is over: the queue would fill with connections that
// nobody wants, and a full queue would look like a slow answer. It needs mu.
func (d *Deployment) callsQueue(s *topology.Service) bool {
	return slices.ContainsFunc(s.Calls(), func(callee string) bool { return d.services[callee].Workers > 0 })
}

// startServer begins to serve the replica on its listener, or on its address if
// the listener has been used up by an instance before.
func (d *Deployment) startServer(_ context.Context, r *replica) (supervise.Instance, error) {
	ln, err := r.TakeListener()
	if err != nil {
		return nil, err
	}
	server, err := d.config.NewServer(d.spec(r, ln.Addr().String()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making its server: %w", err), ln.Close())
	}
	s := d.service(r.Service())
	return supervise.Serve(server, ln, s.Workers > 0 && s.Shed == nil)
}

// startChild starts a process for the replica and waits until it tells its
// address.
func (d *Deployment) startChild(ctx context.Context, r *replica) (supervise.Instance, error) {
	address, _ := r.Address()
	cmd, err := d.config.Command(d.spec(r, address))
	if err != nil {
		return nil, fmt.Errorf("making its command: %w", err)
	}
	return supervise.StartChild(ctx, supervise.Child{
		Command: cmd, Output: d.output, HelloTimeout: d.config.ReadyTimeout,
		Start: func(start func() error) error {
			if d.network == nil {
				return d.spawner.Do(start)
			}
			return d.spawner.Do(func() error { return d.network.Enter(r.Label(), start) })
		},
		Started: func(pid int) error { return d.noteChild(r, pid) },
	})
}

// noteChild writes the process down, so that `down` finds it if this program
// is killed.
func (d *Deployment) noteChild(r *replica, pid int) error {
	if d.entry == nil {
		return nil
	}
	process, err := registry.Identify(pid)
	if err != nil {
		return nil //nolint:nilerr // it has ended already; that is noticed where it is waited for
	}
	return d.entry.AddChild(registry.Child{Process: process, Replica: r.Label()})
}

// service returns a service as it is wanted now.
func (d *Deployment) service(name string) topology.Service {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.services[name]
}
