package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/request"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/webui"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
	"github.com/microsim-dev/kubectl-microsim/workload/service/work"
)

// worlds connects the page to virtual time, to this machine and to clusters.
type worlds struct{ options *options }

var _ webui.Worlds = (*worlds)(nil)

// Play implements webui.Worlds.
func (w *worlds) Play(ctx context.Context, order webui.Order) (res *result.Result, err error) {
	kept := newRequests(&order.Experiment)
	recorder, err := w.recorder(&order, kept)
	if err != nil {
		return nil, err
	}
	observe := order.Observe
	if recorder != nil {
		defer func() { err = errors.Join(err, recorder.Discard()) }()
		observe = func(event runner.Event) {
			recorder.Observe(event)
			order.Observe(event)
		}
	}
	order.Traced(kept)
	switch order.On {
	case webui.OnVirtual:
		res, err = virtual.Run(ctx, order.Experiment, virtual.Options{
			Pace: order.Pace, Versions: versions(), Observer: observe,
			Spans: kept.store.Add, LostSpans: kept.store.Lose, TraceSample: kept.share,
		})
	case webui.OnLocal:
		res, err = w.playLocal(ctx, &order, kept, observe)
	default:
		res, err = w.playKube(ctx, &order, kept, observe)
	}
	if res == nil {
		return nil, err
	}
	order.Complete(res)
	res.Traces = kept.store.Summary(kept.share)
	if recorder != nil {
		err = errors.Join(err, recorder.Finish(res))
	}
	return res, err
}

func versions() map[string]string { return map[string]string{"kubectl-microsim": version.String()} }

func (w *worlds) playLocal(ctx context.Context, order *webui.Order, kept *requests, observe runner.Observer) (*result.Result, error) {
	flags := w.options.local
	flags.TraceSample = kept.share
	flags.Entrances = local.EntrancesOf(order.Experiment.Faults)
	// The page logs what happens to replicas and faults, as up does.
	flags.Tell = true
	memory := &logMemory{}
	deployer, err := flags.Deployer(io.MultiWriter(w.options.streams.Err, memory))
	if err != nil {
		return nil, err
	}
	order.Logged(memory.read)
	live := loadgen.NewControl()
	order.Loads(func(_ context.Context, factor float64) error {
		live.Set(factor, 1, factor)
		return nil
	})
	c, spans := work.Calibrate(), span.NewBuffer(time.Now().UnixNano())
	return w.run(ctx, order, runner.Deps{
		Deployer: &toldDeployer{deployer, func(d runner.Deployment) {
			order.Deployed(d)
			if system, ok := d.(request.Local); ok {
				order.Sends(sendLocal(system))
			}
			if system, ok := d.(interface{ System() *topology.System }); ok {
				order.Described(webui.Description{Now: func(context.Context) (*topology.System, error) { return system.System(), nil }})
			}
		}}, Loader: &loadgen.Generator{Control: live, Spans: spans, TraceSample: kept.share}, Collector: collect.New(collect.Options{}),
		Tracer:      trace.New(trace.Options{Load: spans, Into: func() *trace.Store { return kept.store }}),
		Calibration: &result.Calibration{CPUUnit: c.Unit.Seconds(), CPUStep: c.Step.Seconds()},
	}, "kubectl microsim down "+order.Experiment.System.Name+" --on local", observe)
}

// run runs an experiment; takeDown is the command that takes its system down if this
// program cannot.
func (w *worlds) run(ctx context.Context, order *webui.Order, deps runner.Deps, takeDown string, observe runner.Observer) (*result.Result, error) {
	deps.Target, deps.Versions = order.On, versions()
	cleaned := cli.RecoverWith(ctx, takeDown)
	res, err := runner.Run(ctx, order.Experiment, deps, observe)
	var left *runner.CleanupError
	if !errors.As(err, &left) {
		cleaned()
	}
	return res, err
}

// A toldDeployer tells of the system that it has deployed.
type toldDeployer struct {
	runner.Deployer
	deployed func(runner.Deployment)
}

func (d *toldDeployer) Deploy(ctx context.Context, system *topology.System, seed uint64) (runner.Deployment, error) {
	deployment, err := d.Deployer.Deploy(ctx, system, seed)
	if err == nil {
		d.deployed(deployment)
	}
	return deployment, err
}

// recorder prepares the directory of a run; it is nil without --out.
func (w *worlds) recorder(order *webui.Order, kept *requests) (*record.Recorder, error) {
	if w.options.out == "" {
		return nil, nil
	}
	inputs, err := spec.FormatExperiment(&order.Experiment)
	if err != nil {
		return nil, err
	}
	inputs = []byte(problem.CleanText(string(inputs)))
	dir := ""
	for n := 1; ; n++ {
		dir = filepath.Join(w.options.out, fmt.Sprintf("run-%d", n))
		if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("recording into %q: %w", dir, err)
		}
	}
	return record.New(record.Options{Dir: dir, Inputs: map[string][]byte{inputsFile: inputs}, More: func() map[string]func(io.Writer) error {
		origin, traces := trace.Origin{System: order.Experiment.System.Name, Target: order.On, Version: version.String()}, kept.store.Traces()
		return map[string]func(io.Writer) error{
			record.TracesFile: func(to io.Writer) error { return origin.WriteOTLP(to, traces) },
			record.ChromeFile: func(to io.Writer) error { return trace.WriteChrome(to, traces) },
		}
	}})
}

// inputsFile is the experiment among the files of a record.
const inputsFile = "experiment.yaml"

// Systems implements webui.Worlds.
func (w *worlds) Systems(ctx context.Context, on string) ([]string, error) {
	if on != webui.OnLocal {
		return w.kubeSystems(ctx, on)
	}
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	reg, err := registry.Open(dir)
	if err != nil {
		return nil, err
	}
	systems, err := reg.List()
	var names []string
	for i := range systems {
		if systems[i].Alive {
			names = append(names, systems[i].Name)
		}
	}
	return names, err
}

// Connect implements webui.Worlds.
func (w *worlds) Connect(ctx context.Context, at webui.Place) (*webui.Live, error) {
	if at.On != webui.OnLocal {
		return w.connectKube(ctx, at)
	}
	client, err := local.Find(at.Name)
	if err != nil {
		return nil, err
	}
	system, err := client.System(ctx)
	if err != nil {
		return nil, err
	}
	return &webui.Live{
		System: system, Injector: client, Changer: client, Log: localLog(at.Name), Send: sendToClient(client),
		Watch: func(ctx context.Context, observe func(measure.Sample)) (func() error, error) {
			scraper := collect.New(collect.Options{})
			if err := scraper.Start(ctx, client.Replicas, observe); err != nil {
				return nil, err
			}
			return scraper.Stop, nil
		},
		Description: webui.Description{Now: func(ctx context.Context) (*topology.System, error) {
			system, err := client.System(ctx)
			if err == nil {
				return system, nil
			}
			if now, gone := local.Find(at.Name); gone != nil || !now.Reaches(client) {
				return nil, fmt.Errorf("%w: %w", webui.ErrGone, cmp.Or(gone, err))
			}
			return nil, err
		}},
	}, nil
}
