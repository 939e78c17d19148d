// Package calibrate is the command that measures what this machine takes for
// requests, calls and sleeps, and the flag by which runs in virtual time use it.
package calibrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/calibration"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
	"github.com/microsim-dev/kubectl-microsim/workload/service/work"
)

// The time for which each figure is measured. Together with starts and ends, all
// take at most Longest.
const (
	trialTime      = time.Second
	requestsTime   = 5 * time.Second
	connectionTime = 2 * time.Second
	diskTime       = time.Second // of each size
	sleepTime      = 2 * time.Second
	idleTime       = 4 * time.Second
	aloneTime      = time.Second / 2 // without and with work
	starts         = 5
	// Longest bounds a calibration. One that is not done by then has failed.
	Longest = 25 * time.Second
)

// busy is how busy the processors are to be while requests are measured: the
// wake-ups of a machine that does nothing else are slower. The first trial is at
// trialRate; mostRate is as many requests as one program sends without falling behind.
const (
	busy      = 0.3
	trialRate = 300.0
	mostRate  = 20000.0
	leastRate = 60.0
	// idleRate lets the processors sleep between two requests.
	idleRate = 25.0
	// quiet is what a request without work takes at most, in seconds, on a machine that
	// has nothing else to do.
	quiet = 0.001
	// aloneRate is that of requests each of which finds the program asleep.
	aloneRate = 300.0
)

// The system that is measured: its requests show by their differences what calls,
// sleeps and writes take.
const (
	asleep     = 5 * time.Millisecond
	tick       = time.Millisecond // of the runtime of Go on Linux
	fewBytes   = 1 << 10
	manyBytes  = 512 << 10 // what services write between two syncs
	leastTimes = 20
	worked     = 100 * time.Microsecond // in one turn
	// chained is how many calls a request to the chain makes, each of another service
	// that does a unit of CPU, so that who waits for it falls asleep.
	chained = 3
)

func measured() topology.System {
	sleep := func(d time.Duration) topology.Step {
		return topology.Step{Work: &topology.Work{Sleep: dist.Fixed(d)}}
	}
	write := func(bytes unit.Size) topology.Step { return topology.Step{Work: &topology.Work{IO: bytes}} }
	unitOfCPU := topology.Step{Work: &topology.Work{CPUUnits: 1}}
	chain := []topology.Service{topology.NewService("link0", unitOfCPU)}
	for i := range chained {
		chain = append(chain, topology.NewService(fmt.Sprint("link", i+1), unitOfCPU, topology.CallTo(fmt.Sprint("link", i))))
	}
	return topology.System{Name: "calibration", Services: append(chain,
		topology.NewService("leaf"), topology.NewService("front", topology.CallTo("leaf")), topology.NewService("sleeper", sleep(asleep)),
		topology.NewService("worker", topology.Step{Work: &topology.Work{CPU: dist.Fixed(worked)}}),
		topology.NewService("whole", sleep(tick)), topology.NewService("tenth", sleep(tick/10)),
		topology.NewService("few", write(fewBytes)), topology.NewService("many", write(manyBytes)),
	)}
}

// Measure calibrates this machine, with services in this process. It puts load on
// loopback only, and tells what it does.
func Measure(ctx context.Context, say func(string), named ...topology.RuntimeName) (*calibration.Calibration, error) {
	c, err := measureMachine(ctx, say)
	if err != nil {
		return nil, err
	}
	for _, name := range named {
		say("runtime " + string(name))
		costs, err := measureRuntime(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("calibrating: measuring runtime %s: %w", name, err)
		}
		c.Runtimes = append(c.Runtimes, costs)
	}
	if problems := c.Validate(); len(problems) > 0 {
		return nil, fmt.Errorf("calibrating: what was measured makes no sense: %w", problems.Err())
	}
	return c, nil
}

func measureMachine(ctx context.Context, say func(string)) (*calibration.Calibration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Longest, fmt.Errorf("it was not done within %s: is the machine, or its disk, busy?", Longest))
	defer cancel()
	c := &calibration.Calibration{
		APIVersion: calibration.Version, Kind: calibration.Kind, Program: version.String(), Date: time.Now().UTC().Truncate(time.Second),
		Machine: calibration.Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()},
	}
	say("starts of processes")
	start, err := startTime(ctx, topology.NewService("leaf"), starts)
	if err != nil {
		return nil, fmt.Errorf("calibrating: measuring the start of a process: %w", err)
	}
	c.Costs.Start = start.Seconds()
	c.Costs.CPUUnit = work.Calibrate().Unit.Seconds()
	if c.Load, err = measureLoad(ctx, say, &c.Costs); err != nil {
		return nil, fmt.Errorf("calibrating: %w", err)
	}
	return c, nil
}

// startTime is the median time that a process of a service takes until it is ready.
func startTime(ctx context.Context, service topology.Service, starts int) (time.Duration, error) {
	l := local.Flags{Isolation: string(localsim.Process)}
	var times []time.Duration
	for range starts {
		began := time.Now()
		_, end, err := deploy(ctx, l, topology.System{Name: "calibration", Services: []topology.Service{service}})
		took := time.Since(began)
		if err = errors.Join(err, end()); err != nil {
			return 0, err
		}
		times = append(times, took)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// deploy starts a system that nobody else finds. The caller must call the returned
// function to end it, even after an error.
func deploy(ctx context.Context, l local.Flags, s topology.System) (*bench, func() error, error) {
	none := func() error { return nil }
	deployer, err := l.DeployerIn("", io.Discard)
	if err != nil {
		return nil, none, err
	}
	d, err := deployer.Deploy(ctx, &s, 1)
	if err != nil {
		return nil, none, err
	}
	end := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runner.DefaultCleanupTimeout)
		defer cancel()
		return d.Close(ctx)
	}
	replicas, err := d.Replicas(ctx)
	if err != nil {
		return nil, end, err
	}
	b := &bench{deployment: d, target: runner.LoadTarget{System: &s, URLs: map[string][]string{}, Seed: 1}}
	for _, r := range replicas {
		b.target.URLs[r.Service] = append(b.target.URLs[r.Service], r.URL)
	}
	return b, end, nil
}

// A bench is a system that runs, to be loaded.
type bench struct {
	deployment runner.Deployment
	target     runner.LoadTarget
	// fresh lets each request make its own connection.
	fresh bool
}

// An answered load is what its requests took.
type answered struct {
	// latencies are those of each service, in seconds, in rising order.
	latencies [][]float64
	// cpu is the processor time for each request, of all who took part, and busy how
	// many processors they kept busy.
	cpu, busy float64
}

// load puts a load on services, equally often on each.
func (b *bench) load(ctx context.Context, phase load.Phase, services ...string) (*answered, error) {
	profile := load.Profile{Phases: []load.Phase{phase}, NoKeepAlive: b.fresh}
	for _, s := range services {
		profile.Requests = append(profile.Requests, load.Request{Name: s, Service: s, Weight: 1})
	}
	a := &answered{latencies: make([][]float64, len(services))}
	var mu sync.Mutex
	before, err := cpuTime()
	if err != nil {
		return nil, err
	}
	report, err := (&loadgen.Generator{}).Load(ctx, profile.WithDefaults(), b.target, func(o measure.Outcome) {
		if o.Class == outcome.OK {
			mu.Lock()
			defer mu.Unlock()
			a.latencies[o.Request] = append(a.latencies[o.Request], o.Latency.Seconds())
		}
	})
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	after, err := cpuTime()
	if err != nil {
		return nil, err
	}
	if len(report.Failures) > 0 {
		f := &report.Failures[0]
		return nil, fmt.Errorf("%d requests to services on this machine failed, as by %s: is it busy?", f.Count, f.Example.Text)
	}
	all := 0
	for i, list := range a.latencies {
		if all += len(list); len(list) < leastTimes {
			//nolint:gosec // both have one for each service
			return nil, fmt.Errorf("service %q answered %d requests in %s, too few to tell: is the machine, or its disk, busy?", services[i], len(list), phase.Duration)
		}
		slices.Sort(list)
	}
	a.cpu, a.busy = (after-before).Seconds()/float64(all), (after-before).Seconds()/report.Elapsed.Seconds()
	return a, nil
}

// measureLoad measures what requests show, and returns how busy it kept the
// processors meanwhile.
func measureLoad(ctx context.Context, say func(string), c *calibration.Costs) (busyFor float64, err error) {
	b, end, err := deploy(ctx, local.Flags{Isolation: string(localsim.InProcess)}, measured())
	defer func() { err = errors.Join(err, end()) }()
	if err != nil {
		return 0, err
	}
	say("what a request takes at all")
	processors, rate := float64(min(runtime.NumCPU(), runtime.GOMAXPROCS(0))), trialRate
	var trial *answered
	for range 2 { // the more requests there are, the less each takes
		if trial, err = b.load(ctx, poisson(trialTime, rate), "leaf"); err != nil {
			return 0, err
		}
		rate = min(max(busy*processors/trial.cpu, trialRate), mostRate)
		// Where others keep the processors busy, there is less left.
		rate = max(rate*min(1, quiet/stats.Quantile(trial.latencies[0], 0.5)), leastRate)
	}

	say("requests, calls and sleeps")
	// Requests to front are two, so three requests are worth four.
	main, err := b.load(ctx, poisson(requestsTime, rate*3/4), "leaf", "front", "sleeper")
	if err != nil && ctx.Err() == nil && rate > leastRate {
		rate = leastRate // others have taken the processors meanwhile
		main, err = b.load(ctx, poisson(requestsTime, rate*3/4), "leaf", "front", "sleeper")
	}
	if err != nil {
		return 0, err
	}
	requests(c, main.latencies[0], main.latencies[1], main.latencies[2], main.cpu*3/4)
	quiet, err := b.load(ctx, load.Phase{Users: 1, Duration: unit.Duration(sleepTime)}, "leaf", "whole", "tenth")
	if err != nil {
		return 0, err
	}
	sleeps(c, quiet.latencies[0], quiet.latencies[1], quiet.latencies[2])

	say("requests that come alone")
	var apart [2]float64
	for i, service := range []string{"leaf", "worker"} {
		a, err := b.load(ctx, load.Phase{Rate: aloneRate, Duration: unit.Duration(aloneTime)}, service)
		if err != nil {
			return 0, err
		}
		apart[i] = a.cpu
	}
	alone(c, apart[0], apart[1], worked.Seconds())

	say("connections")
	b.fresh = true
	fresh, err := b.load(ctx, poisson(connectionTime, rate/2), "leaf")
	if err != nil {
		return 0, err
	}
	connection(c, fresh.latencies[0], fresh.cpu-trial.cpu)
	b.fresh = false

	say("the disk")
	var writes [2][]float64
	for i, size := range []string{"few", "many"} { // few bytes after many take longer
		a, err := b.load(ctx, load.Phase{Users: 1, Duration: unit.Duration(diskTime)}, size)
		if err != nil {
			return 0, err
		}
		writes[i] = a.latencies[0]
	}
	disk(c, writes[0], writes[1])

	say("an idle machine")
	rarely, err := b.load(ctx, load.Phase{Rate: idleRate, Duration: unit.Duration(idleTime)}, "leaf", "few", "link0", fmt.Sprint("link", chained))
	if err != nil {
		return 0, err
	}
	idle(c, rarely.latencies[0], rarely.latencies[1], rarely.latencies[2], rarely.latencies[3])
	return main.busy / processors, nil
}

func poisson(lasting time.Duration, rate float64) load.Phase {
	return load.Phase{Duration: unit.Duration(lasting), Rate: rate, Arrivals: load.Poisson}
}
