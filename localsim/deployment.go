package localsim

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A Deployment is a system that runs on this machine. Several goroutines may call
// its methods at once.
type Deployment struct {
	config  Config
	name    string
	seed    uint64
	token   string
	started time.Time

	entry   *registry.Entry // nil without a registry
	control *control.Server // nil without a registry
	output  io.Writer
	admin   *control.AdminClient
	spawner *supervise.Spawner

	// life ends all replicas and goroutines of the deployment.
	life context.Context
	end  context.CancelFunc
	// hurry is closed when there is no time left for grace.
	hurry     chan struct{}
	hurryOnce sync.Once
	closeOnce sync.Once
	closed    chan struct{}
	closeErr  error
	// asked is closed when another program asks for the end of the system.
	asked     chan struct{}
	askedOnce sync.Once

	// updating is held while replicas are added and removed.
	updating sync.Mutex
	watched  chan struct{}
	// pathsMu is held while gates are added and removed; draining counts gates
	// that are being removed.
	pathsMu  sync.Mutex
	gating   gating
	draining sync.WaitGroup
	// network is nil if replicas have no namespaces. impaired are the faults
	// that act there and their backends; guarded by pathsMu.
	network  Network
	impaired map[slot]impairment
	wake     chan struct{}
	// changes passes on changes of replicas; following ends when the goroutine that
	// reacts to them has ended.
	changes   feed
	stresses  stresses
	following chan struct{}

	mu sync.Mutex
	// The fields below are guarded by mu.
	system   *topology.System
	services map[string]topology.Service // bound
	replicas []*replica
	nextPort int
	// away are the replicas that were told to be down or not ready.
	away map[slot]bool
	desired
}

var _ runner.Deployment = (*Deployment)(nil)

func newDeployment(c Config, system *topology.System, seed uint64) (*Deployment, error) {
	d := &Deployment{
		config: c, name: system.Name, seed: seed, started: time.Now(), token: rand.Text(),
		output: supervise.NewLockedWriter(c.Output),
		hurry:  make(chan struct{}), closed: make(chan struct{}), asked: make(chan struct{}),
		wake: make(chan struct{}, 1), watched: make(chan struct{}), following: make(chan struct{}),
	}
	d.admin = control.NewAdminClient(d.token)
	d.injections, d.away, d.described = map[string]*injection{}, map[slot]bool{}, map[string]int{}
	d.stresses.running = map[stressKey]*supervise.Helper{}
	if c.PortBase > 0 {
		d.nextPort = c.PortBase + 1
	}
	if err := d.register(); err != nil {
		return nil, err
	}
	d.life, d.end = context.WithCancel(context.Background())
	if c.Isolation != InProcess {
		d.spawner = supervise.NewSpawner()
	}
	d.impaired = map[slot]impairment{}
	d.setSystem(system)
	go d.watch()
	go d.followReadiness()
	if err := d.openNetwork(); err != nil {
		err = fmt.Errorf("starting system %q: %w", system.Name, err)
		return nil, errors.Join(err, d.Close(context.Background()))
	}
	return d, nil
}

// start brings up everything that the system describes.
func (d *Deployment) start(ctx context.Context) error {
	batch, err := d.addReplicas(slots(d.system))
	if err != nil {
		return err
	}
	if err := d.startReplicas(ctx, batch); err != nil {
		return err
	}
	if err := d.applyPaths(ctx); err != nil {
		return err
	}
	if d.entry == nil {
		return nil
	}
	if err := d.startControl(); err != nil {
		return err
	}
	return d.entry.Publish(d.control.URL(), d.token)
}

// setSystem sets the desired system.
func (d *Deployment) setSystem(system *topology.System) {
	byName := make(map[string]*topology.Service, len(system.Services))
	for i := range system.Services {
		byName[system.Services[i].Name] = &system.Services[i]
	}
	bound := make(map[string]topology.Service, len(system.Services))
	for name, s := range byName {
		bound[name] = behave.BindTo(s, func(name string) *topology.Service { return byName[name] })
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.system, d.services = system, bound
	for _, in := range d.injections {
		in.findCallersLocked(system)
	}
}

// A slot names a replica of a system.
type slot struct {
	service string
	index   int
}

func (s slot) label() string { return fmt.Sprintf("%s/%d", s.service, s.index) }

// addReplicas makes the replicas of the slots, with the addresses that are
// known before they start, and adds them to the peers. It makes all or none.
func (d *Deployment) addReplicas(slots []slot) (*batch, error) {
	listeners, addresses := make([]net.Listener, len(slots)), []string(nil)
	var err error
	if d.network != nil {
		addresses, err = d.addHosts(slots)
	} else {
		listeners, err = d.listenAll(slots)
	}
	if err != nil {
		return nil, err
	}
	batch := newBatch()
	for i, s := range slots {
		r := &replica{batch: batch}
		t := d.service(s.service)
		c := supervise.Config{
			Service: s.service, Index: s.index, Grace: d.config.grace(&t), Hurry: d.hurry, Address: "127.0.0.1:0",
			Start:  func(ctx context.Context) (supervise.Instance, error) { return d.startServer(ctx, r) },
			Sync:   func(ctx context.Context, in supervise.Instance) error { return d.syncNew(ctx, r, in) },
			Notify: func(event string, err error) { d.notify(s, event, err) },
			Checks: func() []supervise.HealthCheck { return d.checks(s.service) }, Check: check, Changed: d.changes.publish,
		}
		if d.config.Isolation.ownProcesses() {
			c.Start = func(ctx context.Context) (supervise.Instance, error) { return d.startChild(ctx, r) }
		}
		if r.outside = t.URL != ""; r.outside {
			c.Start = func(context.Context) (supervise.Instance, error) { return d.attach(r) }
			c.Address, c.Known, c.Silent = t.Address(), true, true
		} else if addresses != nil {
			c.Address, c.Known = addresses[i], true
		}
		if ln := listeners[i]; ln != nil {
			c.Address, c.Known = ln.Addr().String(), true
			if c.Listener = ln; d.config.Isolation == Process {
				// Release the port: it is free, and the process itself listens
				// on it.
				c.Listener = nil
				ln.Close()
			}
		}
		r.Replica = supervise.New(d.life, c)
		batch.replicas = append(batch.replicas, r)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replicas = append(d.replicas, batch.replicas...)
	d.sortReplicasLocked()
	return batch, nil
}

// listenAll opens the port of every slot in this process, and of every slot
// whose port is given. An entry is nil if the process chooses its own port.
func (d *Deployment) listenAll(slots []slot) (listeners []net.Listener, err error) {
	defer func() {
		if err != nil {
			closeAll(listeners)
		}
	}()
	port := d.nextPort
	for _, s := range slots {
		if t := d.service(s.service); t.URL != "" || port == 0 && d.config.Isolation == Process {
			listeners = append(listeners, nil)
			continue
		}
		if port > 65535 {
			return listeners, fmt.Errorf("service %s/%d: no port is left above %d; choose a lower --port-base", s.service, s.index, d.config.PortBase)
		}
		ln, err := supervise.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return listeners, fmt.Errorf("service %s/%d: %w", s.service, s.index, err)
		}
		listeners = append(listeners, ln)
		if port > 0 {
			port++
		}
	}
	d.nextPort = port
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, ln := range listeners {
		if ln != nil {
			ln.Close()
		}
	}
}

// sortReplicasLocked puts the replicas in the order of the file.
func (d *Deployment) sortReplicasLocked() {
	order := map[string]int{}
	for i := range d.system.Services {
		order[d.system.Services[i].Name] = i + 1
	}
	slices.SortStableFunc(d.replicas, func(a, b *replica) int {
		return cmp.Or(cmp.Compare(order[a.Service()], order[b.Service()]), cmp.Compare(a.Index(), b.Index()))
	})
	d.peersChangedLocked()
}

// list returns the replicas there are now.
func (d *Deployment) list() []*replica {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.replicas)
}

// Replicas lists the replicas in the order of the file.
func (d *Deployment) Replicas(context.Context) ([]runner.Replica, error) {
	if d.life.Err() != nil {
		return nil, control.ErrClosed
	}
	var replicas []runner.Replica
	for _, r := range d.list() {
		s := r.Snapshot()
		if address := strings.TrimPrefix(s.URL, "http://"); s.URL != "" && d.entrance(address) != address {
			s.Entrance = "http://" + d.entrance(address)
		}
		replicas = append(replicas, s)
	}
	return replicas, nil
}

// Outages lists when replicas were away, the oldest first.
func (d *Deployment) Outages() []supervise.Outage {
	var all []supervise.Outage
	for _, r := range d.list() {
		all = append(all, r.Outages()...)
	}
	slices.SortStableFunc(all, func(a, b supervise.Outage) int { return a.Down.Compare(b.Down) })
	return all
}

// ControlURL is where the control plane listens; it is empty if there is none.
func (d *Deployment) ControlURL() string {
	if d.control == nil {
		return ""
	}
	return d.control.URL()
}

// ShutdownRequested is closed when another program asks for the end of the
// system. The program that holds the deployment must then call Close.
func (d *Deployment) ShutdownRequested() <-chan struct{} { return d.asked }

func (d *Deployment) notify(s slot, event string, err error) {
	log := d.config.Logger.With("system", d.name, "service", s.service, "replica", s.index)
	d.mu.Lock()
	returned := err == nil && d.away[s]
	d.away[s] = err != nil
	d.mu.Unlock()
	switch {
	case err != nil:
		log.Warn("replica "+event, "error", err)
	case returned:
		log.Info("replica " + event + " again")
	default:
		log.Debug("replica " + event)
	}
}

// Close ends every replica and waits until nothing of the system is left. Every
// call returns the error of the first; a runner.CleanupError names what could not
// be ended. When ctx ends, replicas that still run are killed.
func (d *Deployment) Close(ctx context.Context) error {
	closing := false
	d.closeOnce.Do(func() { closing = true })
	defer context.AfterFunc(ctx, func() { d.hurryOnce.Do(func() { close(d.hurry) }) })()
	if closing {
		d.closeErr = d.takeDown() //nolint:contextcheck // the end of ctx hurries the taking down, and does not stop it
		close(d.closed)
	}
	<-d.closed
	return d.closeErr
}

func (d *Deployment) takeDown() error {
	d.end()
	<-d.watched
	<-d.following
	// Close the gates first, because requests that a fault holds back would delay
	// the end of replicas.
	gatesErr := d.closeGates()
	stressErr := d.stresses.close()
	d.updating.Lock()
	defer d.updating.Unlock()
	left := awaitEnded(d.list())
	if d.control != nil {
		d.control.Stop()
	}
	if gatesErr != nil {
		return &runner.CleanupError{Left: []string{fmt.Sprintf("a gate of system %q", d.name)}, Err: gatesErr, Remedy: "end this program"}
	}
	if stressErr != nil {
		left = append(left, stressErr.Error())
	}
	if len(left) > 0 {
		// The entry stays, so that `down` can try again.
		remedy := fmt.Sprintf("end process %s", strings.Join(left, ", "))
		if d.entry != nil {
			remedy = fmt.Sprintf("run `kubectl microsim down %s --on local` when this program has ended", d.name)
		}
		return &runner.CleanupError{Left: left, Remedy: remedy}
	}
	if d.spawner != nil {
		d.spawner.Stop()
	}
	if d.network != nil {
		if err := d.network.Close(); err != nil {
			return &runner.CleanupError{
				Left: []string{fmt.Sprintf("the network of system %q", d.name)}, Err: err,
				Remedy: fmt.Sprintf("run `kubectl microsim down %s --on local`", d.name),
			}
		}
	}
	if d.entry == nil {
		return nil
	}
	if err := d.entry.Remove(); err != nil {
		return &runner.CleanupError{
			Left: []string{fmt.Sprintf("the state of system %q", d.name)}, Err: err,
			Remedy: fmt.Sprintf("run `kubectl microsim down %s --on local`", d.name),
		}
	}
	return nil
}

// awaitEnded waits until the replicas, which have been stopped, have ended, and
// returns what could not be ended.
func awaitEnded(replicas []*replica) (left []string) {
	for _, r := range replicas {
		<-r.Ended()
		if what := r.Left(); what != "" {
			left = append(left, what)
		}
	}
	return left
}
