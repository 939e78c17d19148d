package loadjob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
)

const (
	// lead and leadPerPod are how long before the common start the order to start
	// goes out, so that all pods have it by then.
	lead       = 30 * time.Millisecond
	leadPerPod = 5 * time.Millisecond
	// startTries is how often a pod is started if it gives no answer.
	startTries = 5
	// stopTimeout bounds the wait for the last words of pods that were stopped.
	stopTimeout = 15 * time.Second
)

// Load starts all pods at one moment, and hands on what they tell, until all
// have ended. Times count from the call of Load.
func (r *runningLoad) Load(ctx context.Context, observe func(measure.Outcome)) (*result.LoadReport, error) {
	called := time.Now()
	begin := called.Add(lead + time.Duration(r.count)*leadPerPod)
	if err := r.startAll(ctx, begin); err != nil {
		return nil, fmt.Errorf("starting the load: %w", err)
	}
	// The pods' clocks may be wrong, so that only the time since their start is
	// taken from them.
	shifted := func(o measure.Outcome) {
		if observe != nil {
			o.Intended += begin.Sub(called)
			observe(o)
		}
	}
	ends, err := r.followAll(ctx, shifted)
	report, mergeErr := mergeEnds(ends, begin)
	if report != nil && err != nil {
		report.Incomplete = true
	}
	return report, errors.Join(err, mergeErr)
}

// mergeEnds sums up the reports of the pods that gave one; nil where none did.
func mergeEnds(ends []*remote.End, begin time.Time) (*result.LoadReport, error) {
	var reports []*result.LoadReport
	for _, end := range ends {
		if end != nil && end.Report != nil {
			reports = append(reports, end.Report)
		}
	}
	if len(reports) == 0 {
		return nil, nil
	}
	whole, err := result.MergeLoads(reports...)
	if err != nil {
		return nil, err
	}
	whole.Started = begin
	return whole, nil
}

// startAll has all pods begin at one moment of this machine's clock.
func (r *runningLoad) startAll(ctx context.Context, begin time.Time) error {
	return kubeapi.Summarize(kubeapi.Each(r.count, func(i int) error {
		for try := 1; ; try++ {
			order := control.LoadStart{Delay: max(0, time.Until(begin))}
			err := r.c.Control(ctx, r.address(i), http.MethodPost, control.LoadStartPath, order, nil)
			if err == nil || ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if try == startTries {
				return fmt.Errorf("telling pod %q to start: %w", r.pods[i].Name, err)
			}
			watch.Pause(ctx, watch.ConnectedPause)
		}
	}))
}

// followAll returns how each share has ended; nil for those that got lost. The
// first trouble, and the end of ctx, stop all pods, whose reports are waited for.
func (r *runningLoad) followAll(ctx context.Context, observe func(measure.Outcome)) ([]*remote.End, error) {
	following, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	loading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ends, errs := make([]*remote.End, r.count), make([]error, r.count)
	var pods, beside sync.WaitGroup
	for i := range r.count {
		pods.Go(func() {
			if ends[i], errs[i] = r.followPod(following, i, observe); errs[i] != nil {
				stop(errs[i])
			}
		})
	}
	ended := make(chan struct{})
	beside.Go(func() {
		select {
		case <-loading.Done():
		case <-ended:
			return
		}
		defer time.AfterFunc(stopTimeout, giveUp).Stop()
		r.stopAll(following)
		<-ended
	})
	beside.Go(func() { r.passOn(loading) })
	pods.Wait()
	close(ended)
	giveUp() // telling pods that have gone to stop
	cause := context.Cause(loading)
	stop(nil)
	beside.Wait()
	if ctx.Err() != nil {
		return ends, context.Cause(ctx)
	}
	if cause == nil {
		return ends, nil
	}
	return ends, kubeapi.Summarize(errors.Join(errs...))
}

// stopAll ends the load early in all pods. The stream of a pod that cannot be reached
// reports it.
func (r *runningLoad) stopAll(ctx context.Context) {
	_ = kubeapi.Each(r.count, func(i int) error {
		for ctx.Err() == nil && r.c.Control(ctx, r.address(i), http.MethodPost, control.LoadStopPath, nil, nil) != nil {
			watch.Pause(ctx, watch.Tick)
		}
		return nil
	})
}

// passOn gives changes of the load to all pods until ctx ends.
func (r *runningLoad) passOn(ctx context.Context) {
	for {
		select {
		case change := <-r.changes:
			err := r.change(ctx, change.Factors)
			if change.Made != nil {
				change.Made(err)
			} else if err != nil && ctx.Err() == nil {
				r.c.Config.Progress(err.Error())
			}
		case <-ctx.Done():
			return
		}
	}
}

// change changes the load in all pods.
func (r *runningLoad) change(ctx context.Context, factors control.LoadFactors) error {
	err := kubeapi.Each(r.count, func(i int) error {
		return r.c.Control(ctx, r.address(i), http.MethodPost, control.LoadControlPath, factors, nil)
	})
	if err != nil {
		return fmt.Errorf("the change of the load has not reached all of its pods: %w; ask for it again", kubeapi.Summarize(err))
	}
	return nil
}

// dismiss lets the pods exit, so that they need not be killed. Where that fails
// they are deleted soon, anyway.
func (r *runningLoad) dismiss(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = kubeapi.Each(len(r.pods), func(i int) error {
		return r.c.Control(ctx, r.address(i), http.MethodPost, control.LoadDonePath, nil, nil)
	})
}
