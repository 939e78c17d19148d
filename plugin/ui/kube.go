package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/loadjob"
	"github.com/microsim-dev/kubectl-microsim/cluster/sandbox"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/webui"
)

// kubeCleanupTimeout bounds the taking down of a system on a cluster, whose namespace
// may take a while to go.
const kubeCleanupTimeout = 4 * time.Minute

// on is the target of the flags, on the sandbox or the cluster that the page means.
func (w *worlds) on(where string) target.Target {
	t := w.options.target
	t.On = where
	return t
}

// playKube plays an experiment on a sandbox or a cluster.
func (w *worlds) playKube(ctx context.Context, order *webui.Order, kept *requests, observe runner.Observer) (*result.Result, error) {
	t := w.on(order.On)
	flags := *t.Kube
	flags.TraceSample, t.Kube = kept.share, &flags
	kept.rootless = true
	streams := w.options.streams
	streams.Err = io.MultiWriter(streams.Err, &lineWriter{tell: order.Progress})
	c, err := t.ClusterForPods(ctx, streams)
	if err != nil {
		return nil, err
	}
	loader, changes := c.Loader(1), make(chan loadjob.Change)
	loader.Changes, loader.TraceSample = changes, kept.share
	order.Loads(changeThrough(changes))
	return w.run(ctx, order, runner.Deps{
		Deployer: &toldDeployer{c, func(d runner.Deployment) {
			order.Deployed(d)
			if deployed, ok := d.(*cluster.Deployment); ok {
				order.Described(webui.Description{Now: deployed.Described, Adopt: deployed.SetSystem})
				order.Logged(kubeLog(deployed))
				order.Sends(sendThrough(deployed))
			}
		}}, Loader: loader, Collector: collect.New(collect.Options{}), CleanupTimeout: kubeCleanupTimeout,
		Tracer: trace.New(trace.Options{Loads: loader, Into: func() *trace.Store { return kept.store }}),
	}, t.Command("down", order.Experiment.System.Name), observe)
}

// changeThrough changes a load that pods generate.
func changeThrough(changes chan<- loadjob.Change) webui.LoadChanger {
	return func(ctx context.Context, factor float64) error {
		made := make(chan error, 1)
		change := loadjob.Change{Factors: control.LoadFactors{Rate: factor, Burst: 1, Users: factor}, Made: func(err error) { made <- err }}
		select {
		case changes <- change:
		case <-ctx.Done():
			return errors.New("nobody took the change: the load is ending")
		}
		return <-made
	}
}

// kubeSystems lists the systems of a sandbox or a cluster.
func (w *worlds) kubeSystems(ctx context.Context, on string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	t := w.on(on)
	c, err := t.Cluster(ctx, w.quiet())
	if err != nil {
		return nil, err
	}
	systems, err := c.Systems(ctx)
	var names []string
	for _, d := range systems {
		names = append(names, d.System().Name)
	}
	return names, err
}

// connectPatience is how long a cluster may take to answer.
const connectPatience = 10 * time.Second

// connectKube finds a running system of a sandbox or a cluster.
func (w *worlds) connectKube(ctx context.Context, at webui.Place) (*webui.Live, error) {
	t := w.on(at.On)
	c, err := t.Cluster(ctx, w.quiet(), func(c *kubeapi.Config) { c.FindImage = t.Kube.ImageFinder(t.On, w.options.streams) })
	if err != nil {
		return nil, err
	}
	finding, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	d, err := c.Find(finding, at.Name)
	if err != nil {
		return nil, err
	}
	return &webui.Live{
		System: d.System(), Injector: d, Changer: d, Log: kubeLog(d), Send: sendThrough(d),
		Watch: func(ctx context.Context, observe func(measure.Sample)) (func() error, error) {
			return watchKube(ctx, d, !w.options.view, observe)
		},
		Description: webui.Description{Now: func(ctx context.Context) (*topology.System, error) { return w.describe(ctx, at, c, d) }, Adopt: d.SetSystem},
	}, nil
}

// describe says what a system on a cluster is now, or why it cannot be reached. Without an
// answer of the cluster, the cluster may be gone for good, such as a sandbox that was deleted.
func (w *worlds) describe(ctx context.Context, at webui.Place, c *cluster.Cluster, d *cluster.Deployment) (*topology.System, error) {
	found, err := c.Find(ctx, at.Name)
	switch none := (*cluster.NotFoundError)(nil); {
	case err == nil && found.Replaces(d):
		return nil, fmt.Errorf("%w: it was taken down, and another system %q was brought up since", webui.ErrGone, at.Name)
	case err == nil:
		return found.System(), nil
	case errors.As(err, &none):
		return nil, fmt.Errorf("%w: %w", webui.ErrGone, err)
	}
	t := w.on(at.On)
	_, connected := t.Cluster(ctx, w.quiet())
	if none := (*sandbox.NotFoundError)(nil); errors.As(connected, &none) {
		return nil, fmt.Errorf("%w: %w", webui.ErrGone, connected)
	}
	return nil, err
}

// watchKube samples a system through a proxy to its pods. If it acts on the system, pods
// that come get the faults. While the cluster does not list the pods, it reports no
// samples, because it does not know what the pods do.
func watchKube(ctx context.Context, d *cluster.Deployment, acts bool, observe func(measure.Sample)) (func() error, error) {
	end, err := d.Reach()
	if err != nil {
		return nil, err
	}
	var known atomic.Bool
	replicas := func(ctx context.Context) ([]runner.Replica, error) {
		list, err := d.Replicas(ctx)
		known.Store(err == nil)
		return list, err
	}
	scraper := collect.New(collect.Options{})
	if err := scraper.Start(ctx, replicas, func(s measure.Sample) {
		if known.Load() {
			observe(s)
		}
	}); err != nil {
		return nil, errors.Join(err, end())
	}
	if err := d.Denied(); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the figures of system %q: %w", d.System().Name, err), scraper.Stop(), end())
	}
	following, stop := context.WithCancel(ctx)
	var follow sync.WaitGroup
	if acts {
		follow.Go(func() { d.Follow(following) })
	}
	return func() error {
		stop()
		follow.Wait()
		return errors.Join(scraper.Stop(), end())
	}, nil
}

// quiet are streams on which connecting says nothing: the page shows what it needs.
func (w *worlds) quiet() cli.Streams {
	return cli.Streams{In: w.options.streams.In, Out: io.Discard, Err: io.Discard}
}

// A lineWriter tells of each line that is written.
type lineWriter struct {
	tell func(line string)
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.rest = rest
		if text := string(bytes.TrimSpace(line)); text != "" {
			w.tell(text)
		}
	}
}
