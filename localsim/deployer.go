// Package localsim runs a system as real servers on this machine: all replicas in
// this process, or each in a process of its own. It supervises the replicas and
// applies faults to them. Other programs of the same user can find, use and end the
// system.
package localsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Isolation says how the replicas of a system are kept apart.
type Isolation string

// The isolations.
const (
	// InProcess serves all replicas from this process: small and fast.
	InProcess Isolation = "inprocess"
	// Process gives each replica a process, so that it can be killed, paused
	// and restarted.
	Process Isolation = "process"
	// Namespace gives each replica a process in a network namespace of its own,
	// so that the kernel can break the network between them. It needs root and
	// Linux.
	Namespace Isolation = "netns"
)

// ownProcesses reports whether replicas are processes, which can be killed,
// paused and restarted.
func (i Isolation) ownProcesses() bool { return i == Process || i == Namespace }

// A Spec tells what one replica is to serve.
type Spec struct {
	System  string
	Service topology.Service
	// Replica counts from 1.
	Replica int
	Seed    uint64
	// Peers are the base URLs of the replicas of each service of the system.
	// Replicas share the map, so it must not be changed. A process may start before
	// the addresses of others are known; it gets them through /admin/peers before
	// the system is ready.
	Peers      map[string][]string
	AllowHosts []string
	// Stores are the data stores of the system.
	Stores []topology.Service
	// Token is the bearer token that requests to /admin need.
	Token string
	// Addr is the address to listen on; port 0 means any. A replica in this
	// process is given a listener instead.
	Addr string
}

// Config says how systems are run.
type Config struct {
	// Isolation is InProcess if it is empty.
	Isolation Isolation
	// IsolationOfRuntimes replaces InProcess for a system with services of other
	// runtimes than the agent, because those must be processes. If it is empty,
	// such systems are refused.
	IsolationOfRuntimes Isolation
	// NewServer makes the server of a replica for InProcess.
	NewServer func(Spec) (supervise.Server, error)
	// CanStore says why a data store cannot be served; nil means that none can.
	// NewStore makes the server of a data store for InProcess.
	CanStore func(*topology.Service) error
	NewStore func(Spec) (supervise.Server, error)
	// Command makes the command of a replica, or of a data store, for Process. The process must
	// listen on Addr, print {"addr":"host:port"} as a line of its own on standard output, and
	// end cleanly when standard input ends. If it serves /admin and /readyz on a second
	// address, which a full accept queue does not block, it prints
	// {"addr":"host:port","control":"host:port"}.
	Command func(Spec) (*exec.Cmd, error)
	// CanServe says why there is no command for a service, such as a runtime that
	// is not installed. If the function is nil, there is one for each service.
	CanServe func(context.Context, *topology.Service) error
	// NewGate starts a gate in front of a host:port. The seed decides its random
	// draws. Without NewGate, faults between services are refused.
	NewGate func(upstream string, seed uint64) (Gate, error)
	// CanGate says why a gate cannot carry out a fault.
	CanGate func(f *fault.Fault) error
	// NewNetwork makes the network of a system for Namespace. It carries the mark,
	// which NewMark makes, by which Down finds the network if this program is gone.
	NewNetwork func(system, mark string) (Network, error)
	NewMark    func() string
	// CanImpair says why such a network cannot carry out a fault.
	CanImpair func(f *fault.Fault) error
	// Stress makes the command of a process that takes resources away, as a stress
	// fault says. The process prints a line when it is ready, begins at a line on
	// standard input, and ends with standard input or after lasting, where 0 means
	// never. CanStress says why a fault is not possible. Without these functions,
	// stress faults are refused.
	Stress    func(f fault.Fault, lasting time.Duration) (*exec.Cmd, error)
	CanStress func(f *fault.Fault) error
	// Entrances are services whose requests from outside go through a gate from the
	// start. A fault that is added later can then act on them.
	Entrances []string
	// PortBase is the first of the ports that the system listens on: the
	// control plane there, the replicas behind it in the order of the file.
	// With 0 the operating system chooses the ports.
	PortBase int
	// StateDir is the directory of the registry. If it is empty, the system is
	// not registered and has no control plane.
	StateDir string
	// Sent adds to a status how the sending of traces and logs to other programs goes;
	// it may be nil.
	Sent func(*control.Status)
	// Logger gets what happens to replicas; nil drops it.
	Logger *slog.Logger
	// Output gets what the processes print; nil drops it. OutputOf, which may be nil,
	// returns another writer for a replica.
	Output   io.Writer
	OutputOf func(service string, replica int) io.Writer
	// ReadyTimeout bounds the start of one replica; 0 means 10 s.
	ReadyTimeout time.Duration
	// Grace is how long a replica may take to end cleanly; 0 means 6 s.
	Grace time.Duration
}

// A Deployer runs systems on this machine.
type Deployer struct{ config Config }

var (
	_ runner.Deployer = (*Deployer)(nil)
	_ runner.Refuser  = (*Deployer)(nil)

	_ runner.SystemRefuser = (*Deployer)(nil)
)

// New returns a deployer, or an error if the configuration makes no sense.
func New(c Config) (*Deployer, error) {
	c.Isolation = cmp.Or(c.Isolation, InProcess)
	switch {
	case c.Isolation != InProcess && !c.Isolation.ownProcesses():
		return nil, fmt.Errorf("isolation %q is not known; use %s, %s or %s", c.Isolation, InProcess, Process, Namespace)
	case c.Isolation == InProcess && c.NewServer == nil:
		return nil, errors.New("isolation inprocess needs a NewServer function")
	case c.Isolation.ownProcesses() && c.Command == nil:
		return nil, fmt.Errorf("isolation %s needs a Command function", c.Isolation)
	case c.Isolation == Namespace && (c.NewNetwork == nil || c.NewMark == nil || c.CanImpair == nil):
		return nil, errors.New("isolation netns needs NewNetwork, NewMark and CanImpair functions")
	case c.IsolationOfRuntimes != "" && (!c.IsolationOfRuntimes.ownProcesses() || c.Command == nil):
		return nil, fmt.Errorf("isolation %q of runtimes gives them no process", c.IsolationOfRuntimes)
	case c.Isolation == InProcess && (c.NewStore == nil) != (c.CanStore == nil):
		return nil, errors.New("isolation inprocess needs both a NewStore and a CanStore function for stores")
	case (c.NewGate == nil) != (c.CanGate == nil):
		return nil, errors.New("gates need both a NewGate and a CanGate function")
	case (c.Stress == nil) != (c.CanStress == nil):
		return nil, errors.New("stress faults need both a Stress and a CanStress function")
	case c.PortBase < 0 || c.PortBase > 65535:
		return nil, fmt.Errorf("invalid port base %d: use 1 to 65535, or 0 for any free ports", c.PortBase)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Output == nil {
		c.Output = io.Discard
	}
	c.ReadyTimeout = cmp.Or(c.ReadyTimeout, 10*time.Second)
	c.Grace = cmp.Or(c.Grace, 6*time.Second)
	return &Deployer{config: c}, nil
}

// Deploy implements runner.Deployer by Up.
func (d *Deployer) Deploy(ctx context.Context, system *topology.System, seed uint64) (runner.Deployment, error) {
	deployment, err := d.Up(ctx, system, seed)
	if err != nil {
		return nil, err
	}
	return deployment, nil
}

// Up starts every replica of the system and returns when all are ready. On an
// error nothing is left behind. After Up has returned, the end of ctx does not
// end the deployment.
func (d *Deployer) Up(ctx context.Context, system *topology.System, seed uint64) (*Deployment, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting system %q: %w", system.Name, err)
	}
	config := d.config.of(system)
	if err := config.checkServices(ctx, system); err != nil {
		return nil, err
	}
	deployment, err := newDeployment(*config, system, seed) //nolint:contextcheck // a deployment outlives the call that starts it
	if err != nil {
		return nil, err
	}
	if err := deployment.start(ctx); err != nil {
		err = fmt.Errorf("starting system %q: %w", system.Name, err)
		return nil, errors.Join(err, deployment.Close(context.WithoutCancel(ctx)))
	}
	return deployment, nil
}

// CanDeploy says, before anything is started, why the system cannot be started here.
func (d *Deployer) CanDeploy(ctx context.Context, system *topology.System) error {
	return d.config.of(system).checkServices(ctx, system)
}

// of returns the configuration with the isolation that a system gets.
func (c Config) of(system *topology.System) *Config {
	if c.Isolation == InProcess && c.IsolationOfRuntimes != "" && len(system.Foreign()) > 0 {
		c.Isolation = c.IsolationOfRuntimes
	}
	return &c
}

// checkServices refuses data stores and services that cannot be started.
func (c *Config) checkServices(ctx context.Context, system *topology.System) error {
	for i := range system.Services {
		s := &system.Services[i]
		if s.Kind.IsStore() {
			if err := c.checkStore(s); err != nil {
				return fmt.Errorf("starting store %q of system %q: %w", s.Name, system.Name, err)
			}
			continue
		}
		r, foreign := s.Foreign()
		if err := canWrite(s); err != nil && !foreign && s.URL == "" {
			return fmt.Errorf("starting service %q of system %q: %w", s.Name, system.Name, err)
		}
		switch {
		case s.Image != "":
			return fmt.Errorf("starting service %q of system %q: image %s runs on clusters only; start it on this machine yourself and write its url, such as http://127.0.0.1:%d, or choose a runtime", s.Name, system.Name, s.Image, s.ServingPort())
		case s.URL != "" && c.Isolation == Namespace:
			return fmt.Errorf("starting service %q of system %q: its url is not reached from the network namespaces of --isolation %s; start the system with --isolation %s", s.Name, system.Name, Namespace, Process)
		case !foreign:
		case system.CallsStore(s):
			return fmt.Errorf("starting service %q of system %q: runtime %s has no drivers of data stores; leave runtime out, or call the store from another service", s.Name, system.Name, r.Name)
		case !c.Isolation.ownProcesses():
			return fmt.Errorf("starting service %q of system %q: runtime %s is a process of its own; start the system with --isolation process", s.Name, system.Name, r.Name)
		case c.CanServe != nil:
			if err := c.CanServe(ctx, s); err != nil {
				return fmt.Errorf("starting service %q of system %q: %w", s.Name, system.Name, err)
			}
		}
	}
	return nil
}

// canWrite says why a service could not do its work on the disk: each request that does
// some would fail.
func canWrite(s *topology.Service) error {
	writes := func(e topology.Endpoint) bool { return writesToDisk(e.Steps) }
	if !slices.ContainsFunc(s.Endpoints, writes) {
		return nil
	}
	f, err := os.CreateTemp("", "microsim-io-*")
	if err != nil {
		return fmt.Errorf("its work is to write to the disk (io), in the directory for temporary files: %w; set TMPDIR to a directory that takes files", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func writesToDisk(steps []topology.Step) bool {
	return slices.ContainsFunc(steps, func(s topology.Step) bool {
		return s.Work != nil && s.Work.IO > 0 || writesToDisk(s.Parallel)
	})
}

// checkStore says why a data store cannot be started.
func (c *Config) checkStore(t *topology.Service) error {
	if c.CanStore == nil {
		return fmt.Errorf("data stores, such as of kind %s, are not served here", t.Kind)
	}
	if settings := t.StoreSettings(); settings.Address != "" && c.Isolation == Namespace {
		return fmt.Errorf("its address %s is not reached from the network namespaces of --isolation %s; start the system with --isolation %s", settings.Address, Namespace, Process)
	}
	return c.CanStore(t)
}

// register adds the system to the registry, where other programs find it.
func (d *Deployment) register() error {
	if d.config.StateDir == "" {
		return nil
	}
	reg, err := registry.Open(d.config.StateDir)
	if err != nil {
		return err
	}
	d.entry, err = reg.Create(d.name)
	return err
}

// realStorePatience is how long a real server of a data store may take to make its
// data directory, to start, and to be filled.
const realStorePatience = 2 * time.Minute

// realStoreGrace is how long a real server may take to end. Its process asks it to
// end, and kills it after ten seconds.
const realStoreGrace = 15 * time.Second

// patience bounds the start of a replica of a service.
func (c *Config) patience(s *topology.Service) time.Duration {
	if isRealStore(s) {
		return max(c.ReadyTimeout, realStorePatience)
	}
	return c.ReadyTimeout
}

// grace bounds the clean end of a replica of a service.
func (c *Config) grace(s *topology.Service) time.Duration {
	if isRealStore(s) {
		return max(c.Grace, realStoreGrace)
	}
	return c.Grace
}

func isRealStore(s *topology.Service) bool {
	return s.Kind.IsStore() && s.StoreSettings().Engine == topology.Real
}
