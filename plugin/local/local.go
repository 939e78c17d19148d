// Package local connects commands to systems on this machine: how they are isolated,
// started and found.
package local

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/netfault/edge"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// local has the flags of systems that run on this machine.
type Flags struct {
	Isolation string
	PortBase  int
	// entrances are services that a fault may part from those outside.
	Entrances []string
}

func (l *Flags) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.Isolation, "isolation", string(localsim.InProcess),
		"what keeps services apart: inprocess, process (needed for kill, pause and restart), or netns (network namespaces: root, Linux)")
	cmd.Flags().IntVar(&l.PortBase, "port-base", 0, "first port to listen on; 0 lets the machine choose")
}

// Deployer wires the mock service into systems on this machine.
func (l *Flags) Deployer(stderr io.Writer, verbose bool) (*localsim.Deployer, error) {
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	return l.DeployerIn(dir, stderr, verbose)
}

// DeployerIn is deployer with a registry of its own; none where dir is empty, for
// systems that nobody else needs to find.
func (l *Flags) DeployerIn(dir string, stderr io.Writer, verbose bool) (*localsim.Deployer, error) {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	return localsim.New(localsim.Config{
		Isolation:  localsim.Isolation(l.Isolation),
		NewServer:  func(s localsim.Spec) (supervise.Server, error) { return newServer(s, logger) },
		Command:    agentCommand,
		NewGate:    newGateway,
		CanGate:    edge.Can,
		NewNetwork: func(system, mark string) (localsim.Network, error) { return newHostNetwork(system, mark, logger) },
		NewMark:    newMark,
		CanImpair:  canImpair,
		Entrances:  l.Entrances,
		PortBase:   l.PortBase,
		StateDir:   dir,
		Logger:     logger,
		Output:     stderr,
	})
}

// newGateway puts a gate in front of a replica.
func newGateway(upstream string, seed uint64) (localsim.Gate, error) {
	e, err := edge.Start("127.0.0.1", upstream, seed)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// EntrancesOf lists the services whose faults on the network concern callers from
// outside as well.
func EntrancesOf(faults []fault.Fault) []string {
	var services []string
	for i := range faults {
		f := &faults[i]
		entry, _ := fault.Lookup(f.Type)
		if (entry.Layer == fault.OnNetwork || entry.Layer == fault.OnEdge) && f.Target.From == "" && !slices.Contains(services, f.Target.Service) {
			services = append(services, f.Target.Service)
		}
	}
	return services
}

// newServer makes a replica's server in this process. It sends its calls by
// itself: a transport of the standard library would send some a second time.
func newServer(s localsim.Spec, logger *slog.Logger) (supervise.Server, error) {
	return service.New(service.Config{
		System: s.System, Service: s.Service, Replica: s.Replica, Seed: s.Seed, Peers: s.Peers, AllowHosts: s.AllowHosts,
		Token: s.Token, Logger: logger,
	})
}

// agentCommand makes the command of a replica in a process of its own: this very
// program, as the agent.
func agentCommand(s localsim.Spec) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program, which serves the replicas: %w", err)
	}
	part, err := json.Marshal(service.Spec{
		System: s.System, Service: s.Service, Replica: s.Replica, Seed: s.Seed, Peers: s.Peers, AllowHosts: s.AllowHosts, Token: s.Token,
	})
	if err != nil {
		return nil, fmt.Errorf("describing service %q for its process: %w", s.Service.Name, err)
	}
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, fmt.Errorf("describing service %q for its process: %w", s.Service.Name, err)
	}
	cmd := exec.Command(self, "agent", "serve", "--watch-stdin", "--addr", s.Addr, "--control-addr", net.JoinHostPort(host, "0"))
	cmd.Env = append(os.Environ(), "SERVICE_NAME="+s.Service.Name, "MICROSIM_SERVICE="+string(part))
	return cmd, nil
}
