package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/workload"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// An applied has the injectors of the faults in files: a system, and pods of a
// namespace that labels select. Either may be missing. The target service of a
// fault on pods is their selector.
type applied struct {
	name   string
	system *topology.System
	// ours is the injector of faults on the system.
	ours    injector
	cluster *cluster.Cluster
	pods    map[string]*workload.Workloads

	mu     sync.Mutex
	places map[string]injector // by the id of the injected fault
}

var (
	_ injector        = (*applied)(nil)
	_ planner         = (*applied)(nil)
	_ runner.Preparer = (*applied)(nil)
)

// prepare finds the system and the pods on which the faults of the files act.
func (o *applyOptions) prepare(ctx context.Context, docs document.Documents) (*applied, []fault.Fault, error) {
	at := &applied{pods: map[string]*workload.Workloads{}, places: map[string]injector{}}
	sets := docs.Faults()
	if err := o.findSystem(ctx, at, docs); err != nil {
		return nil, nil, err
	}
	var pods []document.PodFault
	if o.target.OnCluster() {
		var failed []error
		for i, set := range sets {
			ours, others, err := set.Split(at.system)
			sets[i], pods, failed = &ours, append(pods, others...), append(failed, err)
			if d, ok := at.ours.(*cluster.Deployment); ok {
				failed = append(failed, ours.CheckNamespace(at.system.Name, d.Namespace()))
			}
		}
		if err := errors.Join(failed...); err != nil {
			return nil, nil, err
		}
	}
	if at.ours == nil {
		sets = nil // all faults select pods
	}
	all, err := faultsFor(sets, docs, at.system, o.seed)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range pods {
		all = append(all, p.Fault)
	}
	if len(all) == 0 {
		return nil, nil, errNoFaults()
	}
	return at, all, o.selectPods(ctx, at, pods)
}

// findSystem finds the running system. It is not needed if all faults select pods.
func (o *applyOptions) findSystem(ctx context.Context, at *applied, docs document.Documents) error {
	found, err := o.findIn(ctx, at)
	if missing := (*cluster.NotFoundError)(nil); errors.As(err, &missing) && o.system == "" && onlyLabels(docs) {
		return nil
	}
	if err != nil {
		return err
	}
	if at.system, err = runningSystem(ctx, found); err != nil {
		return err
	}
	at.ours, at.name = found, "system/"+at.system.Name
	return nil
}

// findIn finds the system. It keeps the cluster, which is needed for foreign pods,
// too.
func (o *applyOptions) findIn(ctx context.Context, at *applied) (injector, error) {
	if !o.target.OnCluster() {
		return o.find(ctx)
	}
	finder := o.target.Kube.ImageFinder(o.target.On, o.streams)
	c, err := o.target.Cluster(ctx, o.streams, func(c *kubeapi.Config) { c.FindImage = finder })
	if err != nil {
		return nil, err
	}
	at.cluster = c
	d, err := c.Find(ctx, o.system)
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	return d, nil
}

// onlyLabels reports whether every fault of the documents is on pods with labels.
func onlyLabels(docs document.Documents) bool {
	for _, set := range docs.Faults() {
		if slices.ContainsFunc(set.Parts, func(p document.Part) bool { return p.On.Labels == nil }) {
			return false
		}
	}
	return len(docs.Experiments()) == 0
}

// selectPods finds the pods that faults select.
func (o *applyOptions) selectPods(ctx context.Context, at *applied, pods []document.PodFault) error {
	if len(pods) == 0 {
		return nil
	}
	namespace, err := o.target.Kube.Namespace(ctx, o.target.On)
	if err == nil {
		namespace, err = namespaceOf(pods, namespace, len(o.target.Kube.Changed("namespace")) > 0)
	}
	if err != nil {
		return err
	}
	if at.name == "" {
		at.name = "namespace/" + namespace
	}
	var failed []error
	for _, p := range pods {
		if at.pods[p.Selector] != nil {
			continue
		}
		x, err := workload.Select(ctx, at.cluster.Client, workload.Selection{Namespace: namespace, Selector: p.Selector, AllowSystem: o.guard.allowSystem, MaxPods: o.guard.maxPods})
		if err != nil {
			failed = append(failed, fmt.Errorf("fault %q: %w", p.Fault.Name, err))
			continue
		}
		at.pods[p.Selector] = x
	}
	return errors.Join(failed...)
}

// namespaceOf returns the one namespace of the pods that faults select: the one in the
// files or, if they name none, current. given says that current comes from -n.
func namespaceOf(pods []document.PodFault, current string, given bool) (string, error) {
	namespace := cmp.Or(pods[0].Namespace, current)
	for _, p := range pods {
		meant := cmp.Or(p.Namespace, current)
		switch {
		case given && meant != current:
			return "", fmt.Errorf("fault %q selects pods of namespace %q, and -n says %q: keep one", p.Fault.Name, meant, current)
		case meant != namespace:
			return "", fmt.Errorf("the faults %q and %q select pods of the namespaces %q and %q, and the faults of one command act in one: apply their files one by one", pods[0].Fault.Name, p.Fault.Name, namespace, meant)
		}
	}
	return namespace, nil
}

// confirm shows the foreign pods that would be broken, and asks whether to go on.
func (a *applied) confirm(ctx context.Context, o *applyOptions, all []fault.Fault) error {
	var effects []faults.Effect
	for i := range all {
		if a.pods[all[i].Target.Service] == nil {
			continue
		}
		more, err := a.Plan(ctx, all[i].Name, all[i], time.Now().Add(all[i].Duration.Std()))
		if err != nil {
			return err
		}
		effects = append(effects, more...)
	}
	if len(effects) == 0 {
		return nil
	}
	out := o.streams.Err
	if o.dryRun {
		out = o.streams.Out
	}
	if err := printEffects(out, effects); err != nil || o.dryRun || o.guard.yes {
		return err
	}
	return goOn(o.streams)
}

// placeOf returns the injector of a fault.
func (a *applied) placeOf(f *fault.Fault) injector {
	if x := a.pods[f.Target.Service]; x != nil {
		return x
	}
	return a.ours
}

// Prepare prepares for the faults on the system. Foreign pods get their helpers
// with the first fault.
func (a *applied) Prepare(ctx context.Context, all []fault.Fault) error {
	p, prepares := a.ours.(runner.Preparer)
	if !prepares {
		return nil
	}
	all = slices.DeleteFunc(slices.Clone(all), func(f fault.Fault) bool { return a.pods[f.Target.Service] != nil })
	if len(all) == 0 {
		return nil
	}
	return p.Prepare(ctx, all)
}

func (a *applied) CanInject(f *fault.Fault) error { return a.placeOf(f).CanInject(f) }

func (a *applied) Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error {
	at := a.placeOf(&f)
	a.mu.Lock()
	a.places[id] = at
	a.mu.Unlock()
	return at.Inject(ctx, id, f, deadline)
}

func (a *applied) Clear(ctx context.Context, id string) error {
	a.mu.Lock()
	at := a.places[id]
	a.mu.Unlock()
	if at == nil {
		return nil // the fault was never injected
	}
	return at.Clear(ctx, id)
}

func (a *applied) Active(ctx context.Context) ([]runner.Injection, error) {
	var all []runner.Injection
	if a.ours != nil {
		active, err := a.ours.Active(ctx)
		if err != nil {
			return nil, err
		}
		all = active
	}
	for _, x := range a.pods {
		active, err := x.Active(ctx) // all faults of the namespace
		return append(all, active...), err
	}
	return all, nil
}

func (a *applied) Plan(ctx context.Context, id string, f fault.Fault, deadline time.Time) ([]faults.Effect, error) {
	p, plans := a.placeOf(&f).(planner)
	if !plans {
		return nil, fmt.Errorf("fault %q: what it would do cannot be planned here", id)
	}
	return p.Plan(ctx, id, f, deadline)
}

// Follow applies the faults to new pods until ctx ends.
func (a *applied) Follow(ctx context.Context) {
	var following sync.WaitGroup
	if p, follows := a.ours.(planner); follows {
		following.Go(func() { p.Follow(ctx) })
	}
	for _, x := range a.pods {
		following.Go(func() { x.Follow(ctx) })
	}
	following.Wait()
}
