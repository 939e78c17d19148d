package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/calibrate"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// predictions holds, for --predict, the same runs played in virtual time before the
// real ones begin. A nil predictions does nothing.
type predictions struct {
	made map[ofRun]predicted
	// got has the answers of the real run under way.
	got atomic.Pointer[measure.Answers]
}

// ofRun identifies a run of a series.
type ofRun struct {
	variant string
	seed    uint64
}

type predicted struct {
	result  *result.Result
	answers *measure.Answers
}

// prepareToPredict plays the runs in virtual time if --predict is given, and returns
// nil otherwise. The costs of this machine come from --calibration, or are measured
// now. Without seeds, it plays the experiment as it is, without variants.
func (o *runOptions) prepareToPredict(ctx context.Context, e *experiment.Experiment, seeds []uint64) (*predictions, error) {
	if !o.predict {
		return nil, nil
	}
	planned, err := o.planned(e, seeds)
	if err != nil {
		return nil, err
	}
	options := virtual.Options{Versions: map[string]string{"kubectl-microsim": version.String()}}
	runtimes := runtimesOf(planned)
	if o.isCalibrated() {
		if options.Machine, options.Costs, err = o.costs.Load(); err != nil {
			return nil, err
		}
	} else {
		options.Machine.Runtimes = map[topology.RuntimeName]virtual.RuntimeCosts{}
		for _, name := range runtimes { // allow them in virtual.Check; they are measured below
			options.Machine.Runtimes[name] = virtual.RuntimeCosts{}
		}
	}
	for i := range planned {
		if err := virtual.Check(planned[i], options.Machine); err != nil {
			return nil, fmt.Errorf("--predict: the run cannot be played in virtual time: %w", err)
		}
	}
	if !o.isCalibrated() {
		if options.Machine, options.Costs, err = o.measuredCosts(ctx, runtimes); err != nil {
			return nil, err
		}
	}
	p := &predictions{made: map[ofRun]predicted{}}
	p.forget()
	for i := range planned {
		one := predicted{answers: &measure.Answers{}}
		options.Outcome = one.answers.Observe
		if one.result, err = virtual.Run(ctx, planned[i], options); err != nil {
			return nil, fmt.Errorf("--predict: playing the run in virtual time: %w", err)
		}
		p.made[ofRun{planned[i].AppliedVariant, planned[i].Seed}] = one
	}
	return p, nil
}

// planned returns the runs of a series. Without seeds it is the experiment as it
// is.
func (o *runOptions) planned(e *experiment.Experiment, seeds []uint64) ([]experiment.Experiment, error) {
	if len(seeds) == 0 {
		return []experiment.Experiment{*e}, nil
	}
	variants, err := e.Select(o.series.names())
	if err != nil {
		return nil, err
	}
	var list []experiment.Experiment
	for _, v := range variants {
		applied, problems := e.Apply(v)
		if err := problems.Err(); err != nil {
			return nil, fmt.Errorf("checking variant %q of experiment %q: %w", v.Name, e.Name, err)
		}
		for _, seed := range seeds {
			applied.Seed = seed
			list = append(list, applied)
		}
	}
	return list, nil
}

// runtimesOf lists the programs other than the agent that serve services of the runs.
func runtimesOf(planned []experiment.Experiment) (names []topology.RuntimeName) {
	for i := range planned {
		for j := range planned[i].System.Services {
			if r, ok := planned[i].System.Services[j].Foreign(); ok && !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
		}
	}
	return names
}

// isCalibrated reports whether --calibration is given.
func (o *runOptions) isCalibrated() bool { return len(o.costs.Args()) > 0 }

// measuredCosts measures the costs of this machine and of runtimes on it.
func (o *runOptions) measuredCosts(ctx context.Context, runtimes []topology.RuntimeName) (virtual.Machine, *result.Costs, error) {
	fmt.Fprintf(o.streams.Err, "Calibrating this machine, which takes about %d s (--calibration FILE goes without)\n", 16+10*len(runtimes))
	c, err := calibrate.Measure(ctx, func(string) {}, runtimes...)
	if err != nil {
		return virtual.Machine{}, nil, errors.Join(context.Cause(ctx), err)
	}
	return virtual.Calibrated(c), virtual.CostsOf(c), nil
}

// watch makes the loader of the real runs tell their answers.
func (p *predictions) watch(d *runner.Deps) {
	if p != nil {
		d.Loader = &watchedLoader{d.Loader, func(o measure.Outcome) { p.got.Load().Observe(o) }}
	}
}

// forget drops the answers of the run before.
func (p *predictions) forget() {
	if p != nil {
		p.got.Store(&measure.Answers{})
	}
}

// compare adds the prediction to the result of a run. It ignores a run that was cut
// short, because its figures cannot be compared.
func (p *predictions) compare(r *result.Result) {
	if p == nil || r == nil || r.Incomplete {
		return
	}
	if one, ok := p.made[ofRun{r.Variant, r.Seed}]; ok {
		r.Prediction = result.Predict(r, one.result)
		r.Prediction.Both, r.Prediction.Alike = p.got.Load().Alike(one.answers)
	}
}

// A watchedLoader calls told with each outcome.
type watchedLoader struct {
	runner.Loader
	told func(measure.Outcome)
}

func (w *watchedLoader) Load(ctx context.Context, p load.Profile, to runner.LoadTarget, observe func(measure.Outcome)) (*result.LoadReport, error) {
	return w.Loader.Load(ctx, p, to, func(o measure.Outcome) {
		w.told(o)
		if observe != nil {
			observe(o)
		}
	})
}
