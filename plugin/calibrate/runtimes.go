package calibrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/calibration"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runtimes"
)

// The time for which a runtime is warmed up, the time for which each of its figures
// is measured, and the number of users of the load.
const (
	warmTime       = 2 * time.Second
	runtimeTime    = 3 * time.Second
	runtimeUsers   = 4
	runtimeStarts  = 3
	longestRuntime = 60 * time.Second
)

// checkRuntimes says which of the runtimes cannot be measured here, before anything
// is, and returns them by their names.
func checkRuntimes(ctx context.Context, names []string) (all []topology.RuntimeName, err error) {
	can := local.CanServe()
	for _, name := range names {
		m, err := runtimes.Lookup(topology.RuntimeName(strings.TrimSpace(name)))
		if err != nil {
			return nil, fmt.Errorf("--runtime: %w", err)
		}
		if slices.Contains(all, m.Name) {
			return nil, fmt.Errorf("--runtime names %s twice", m.Name)
		}
		if err := can(ctx, &topology.Service{Runtime: m.Name}); err != nil {
			return nil, fmt.Errorf("--runtime: %w", err)
		}
		all = append(all, m.Name)
	}
	return all, nil
}

// measureRuntime measures what a request, a call and a start take in a runtime.
func measureRuntime(ctx context.Context, name topology.RuntimeName) (calibration.RuntimeCosts, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longestRuntime, fmt.Errorf("it was not done within %s: is the machine busy?", longestRuntime))
	defer cancel()
	c := calibration.RuntimeCosts{Name: string(name)}
	leaf, front := topology.NewService("leaf"), topology.NewService("front", topology.CallTo("back"))
	leaf.Runtime, front.Runtime = name, name
	start, err := startTime(ctx, leaf, runtimeStarts)
	if err != nil {
		return c, err
	}
	c.Start = start.Seconds()
	one, two, err := measureRequests(ctx, topology.System{Name: "calibration", Services: []topology.Service{leaf, front, topology.NewService("back")}})
	if err != nil {
		return c, err
	}
	c.Processor = nanoseconds(one.served + one.asked)
	// The callee counts a client of the agent's, so that much of the call is there.
	c.Call = nanoseconds(max(0, two.served-one.served-one.asked))
	return c, nil
}

// runtimeRequests are what requests to a service took of processors, in seconds: in its
// process, and at the client.
type runtimeRequests struct{ served, asked float64 }

func measureRequests(ctx context.Context, system topology.System) (leaf, front runtimeRequests, err error) {
	b, end, err := deploy(ctx, local.Flags{Isolation: string(localsim.Process)}, system)
	defer func() { err = errors.Join(err, end()) }()
	if err != nil {
		return leaf, front, err
	}
	if _, err := b.load(ctx, load.Phase{Users: runtimeUsers, Duration: unit.Duration(warmTime)}, "leaf", "front"); err != nil {
		return leaf, front, err
	}
	if leaf, err = b.runtimeRequests(ctx, "leaf"); err == nil {
		front, err = b.runtimeRequests(ctx, "front")
	}
	return leaf, front, err
}

// runtimeRequests puts a load on a service.
func (b *bench) runtimeRequests(ctx context.Context, service string) (r runtimeRequests, err error) {
	before, err := b.processorTime(ctx, service)
	if err != nil {
		return r, err
	}
	answers, err := b.load(ctx, load.Phase{Users: runtimeUsers, Duration: unit.Duration(runtimeTime)}, service)
	if err != nil {
		return r, err
	}
	after, err := b.processorTime(ctx, service)
	if err != nil {
		return r, err
	}
	took := (after - before).Seconds()
	if took < 10*result.CPUResolution {
		return r, fmt.Errorf("service %q had %.2f s of processor time in %s, too little to tell what a request takes: is the machine busy?", service, took, runtimeTime)
	}
	return runtimeRequests{took / float64(len(answers.latencies[0])), answers.cpu}, nil
}

// processorTime is what the process of a service has had.
func (b *bench) processorTime(ctx context.Context, service string) (time.Duration, error) {
	if source, ok := b.deployment.(runner.ProcessSource); ok {
		for _, p := range source.Processes(ctx) {
			if p.Service == service && p.CPU != nil {
				return *p.CPU, nil
			}
		}
	}
	return 0, errors.New("this system does not tell the processor time of another process that runs, so --runtime works on Linux only")
}
