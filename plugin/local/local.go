// Package local connects commands to systems on this machine: it isolates, starts
// and finds them.
package local

import (
	"bytes"
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
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/netfault/edge"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
	"github.com/microsim-dev/kubectl-microsim/workload/service/work"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/console"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

// Flags are the flags of systems that run on this machine.
type Flags struct {
	Isolation string
	PortBase  int
	// TraceSample is the share, from 0 to 1, of requests whose traces services keep
	// even if they do not fail; 0 makes no spans.
	TraceSample float64
	// Verbose logs every request. LogFormat is the format of lines. Tell also logs
	// changes of replicas and faults.
	Verbose   bool
	LogFormat string
	Tell      bool
	// Lines gets the lines that services log, as JSON and without newlines, and other
	// output of their processes, instead of the stream that Deployer is given. Several
	// goroutines call it; it must not keep the text. It may be nil.
	Lines func(service string, replica int, text []byte)
	// Sent adds to a status how the sending of traces and logs to other programs goes;
	// it may be nil.
	Sent func(*control.Status)
	// Entrances are services on whose way from clients outside the system faults may
	// act.
	Entrances []string
	// explicit reports whether --isolation is given.
	explicit func() bool
	// processors do the work of all services in this process.
	processors *work.Processors
}

// AddFlags adds the flags that say how replicas are isolated and where they listen.
func (l *Flags) AddFlags(cmd *cobra.Command) {
	l.TraceSample, l.processors = span.DefaultShare, work.NewProcessors()
	cmd.Flags().StringVar(&l.Isolation, "isolation", string(localsim.InProcess),
		"what keeps services apart: inprocess, process (needed for kill, pause, restart and stress, and taken for systems with other runtimes), or netns (network namespaces: root, Linux)")
	cmd.Flags().IntVar(&l.PortBase, "port-base", 0, "first port to listen on; 0 lets the machine choose")
	l.explicit = func() bool { return cmd.Flags().Changed("isolation") }
	cli.OnlyOn(cmd.Flags(), []string{"local"}, "isolation", "port-base")
	cli.CompleteFlag(cmd, "isolation", string(localsim.InProcess), string(localsim.Process), string(localsim.Namespace))
}

// IsolationArgs returns the flags by which another command line asks for the same
// isolation; none if --isolation is not given.
func (l *Flags) IsolationArgs() []string {
	if l.explicit != nil && !l.explicit() {
		return nil
	}
	return []string{"--isolation", l.Isolation}
}

// Processes makes each replica a process of its own, unless --isolation is given.
func (l *Flags) Processes() {
	if l.explicit == nil || !l.explicit() {
		l.Isolation, l.explicit = string(localsim.Process), func() bool { return true }
	}
}

// Validate refuses isolations and ports that do not exist.
func (l *Flags) Validate() error {
	if l.PortBase < 0 || l.PortBase > 65535 {
		return fmt.Errorf("--port-base %d is not a port: write 1 to 65535, or 0 to let the machine choose", l.PortBase)
	}
	return cli.OneOf("isolation", l.Isolation, string(localsim.InProcess), string(localsim.Process), string(localsim.Namespace))
}

// Deployer returns a deployer of systems on this machine. Other programs find its
// systems in the registry. stderr gets the output of services.
func (l *Flags) Deployer(stderr io.Writer) (*localsim.Deployer, error) {
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	return l.DeployerIn(dir, stderr)
}

// DeployerIn is Deployer with the registry in dir. An empty dir means no registry,
// for systems that no other program needs to find.
func (l *Flags) DeployerIn(dir string, stderr io.Writer) (*localsim.Deployer, error) {
	processors := l.processors
	if processors == nil {
		processors = work.NewProcessors()
	}
	level := slog.LevelWarn
	switch {
	case l.Verbose:
		level = slog.LevelDebug
	case l.Tell:
		level = slog.LevelInfo
	}
	var outputOf func(string, int) io.Writer
	if l.Lines != nil {
		outputOf = func(service string, replica int) io.Writer { return &lineWriter{l.Lines, service, replica} }
		stderr = outputOf("", 0)
	}
	logger, err := service.NewLogger(stderr, l.format(), level)
	if err != nil {
		return nil, err
	}
	ofRuntimes := localsim.Process
	if l.explicit != nil && l.explicit() {
		ofRuntimes = "" // do not change an isolation that the user asked for
	}
	return localsim.New(localsim.Config{
		Isolation: localsim.Isolation(l.Isolation), IsolationOfRuntimes: ofRuntimes,
		NewServer:  func(s localsim.Spec) (supervise.Server, error) { return l.newServer(s, processors, logger) },
		NewStore:   func(s localsim.Spec) (supervise.Server, error) { return newStore(s, dir, logger) },
		CanStore:   store.CanServe,
		Command:    commands{l, dir}.of,
		CanServe:   CanServe(),
		NewGate:    newGateway,
		CanGate:    edge.Can,
		NewNetwork: func(system, mark string) (localsim.Network, error) { return newHostNetwork(system, mark, logger) },
		NewMark:    newMark,
		CanImpair:  canImpair,
		Stress:     stressCommand,
		CanStress:  canStress,
		Entrances:  l.Entrances,
		PortBase:   l.PortBase,
		StateDir:   dir,
		Sent:       l.Sent,
		Logger:     logger,
		Output:     stderr,
		OutputOf:   outputOf,
	})
}

// format returns the format in which services write lines.
func (l *Flags) format() string {
	if l.Lines != nil {
		return service.JSONLogs
	}
	return l.LogFormat
}

// A lineWriter calls a function with each line that is written. Each Write must
// contain whole lines.
type lineWriter struct {
	line    func(service string, replica int, text []byte)
	service string
	replica int
}

func (w *lineWriter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		w.line(w.service, w.replica, bytes.TrimRight(line, "\r\n"))
	}
	return len(p), nil
}

// newGateway starts a gate in front of a replica.
func newGateway(upstream string, seed uint64) (localsim.Gate, error) {
	e, err := edge.Start("127.0.0.1", upstream, seed)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// EntrancesOf lists the services with faults that also act on requests from outside
// the system.
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

// newServer makes a replica's server in this process. It uses the service's own
// HTTP client, because a transport of the standard library would send some requests
// twice.
func (l *Flags) newServer(s localsim.Spec, processors *work.Processors, logger *slog.Logger) (supervise.Server, error) {
	return service.New(service.Config{
		System: s.System, Service: s.Service, Replica: s.Replica, Seed: s.Seed, Peers: s.Peers, AllowHosts: s.AllowHosts,
		Stores: s.Stores, NewDriver: driver.New, Token: s.Token, TraceSample: l.TraceSample, Logger: logger, Processors: processors,
	})
}

// newStore makes a data store's server in this process. A real server keeps its data
// below the state directory.
func newStore(s localsim.Spec, dir string, logger *slog.Logger) (supervise.Server, error) {
	return store.New(store.Config{
		Service: s.Service, Replica: s.Replica, Seed: s.Seed, Token: s.Token, Data: dir, Prepare: driver.Prepare, Console: console.Open, Lags: driver.Lags, Logger: logger.With("system", s.System),
	})
}

// commands makes the commands of replicas of systems whose state is in dir.
type commands struct {
	*Flags
	dir string
}

// of returns the command of a replica in a process of its own: that of its runtime, or
// this program as the agent or as a data store. A real server keeps its data below the
// state directory.
func (c commands) of(s localsim.Spec) (*exec.Cmd, error) {
	part := service.Spec{
		System: s.System, Service: s.Service, Replica: s.Replica, Seed: s.Seed, Peers: s.Peers, AllowHosts: s.AllowHosts, Token: s.Token,
		TraceSample: c.TraceSample,
	}
	_, foreign := s.Service.Foreign()
	args := []string{"serve"}
	switch {
	case s.Service.Kind.IsStore():
		args = []string{"store", "--data", c.dir}
	case !foreign: // other runtimes have no drivers
		part.Stores = s.Stores
	}
	text, err := json.Marshal(part)
	if err != nil {
		return nil, fmt.Errorf("describing service %q for its process: %w", s.Service.Name, err)
	}
	if foreign {
		return runtimeCommand(s, string(text))
	}
	return c.ownCommand(s, args, string(text))
}

// ownCommand returns the command by which this program serves a part of a system.
func (l *Flags) ownCommand(s localsim.Spec, args []string, part string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program, which serves the replicas: %w", err)
	}
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, fmt.Errorf("describing service %q for its process: %w", s.Service.Name, err)
	}
	cmd := exec.Command(self, slices.Concat([]string{"agent"}, args, []string{"--watch-stdin", "--addr", s.Addr, "--control-addr", net.JoinHostPort(host, "0")})...)
	var network []string
	if l.Isolation == string(localsim.Namespace) {
		network = []string{"MICROSIM_OWN_NETWORK=1"}
	}
	if l.Verbose {
		cmd.Args = append(cmd.Args, "--verbose")
	}
	if format := l.format(); format != "" {
		cmd.Args = append(cmd.Args, "--log-format", format)
	}
	cmd.Env = slices.Concat(os.Environ(), []string{"SERVICE_NAME=" + s.Service.Name, "MICROSIM_SERVICE=" + part}, network)
	return cmd, nil
}
