package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A readiness follows a system until it is ready or it is clear that it will not be.
type readiness struct {
	c         *kubeapi.Client
	system    *topology.System
	namespace string
	started   time.Time
	ready     map[string]bool
	patience  *Patience
}

// A Patience remembers since when each diagnosis has lasted, and reports each once
// as progress.
type Patience struct {
	c *kubeapi.Client
	// since is when each diagnosis was seen first, by service and key.
	since map[string]time.Time
}

// NewPatience returns a Patience that has seen no diagnosis.
func NewPatience(c *kubeapi.Client) *Patience {
	return &Patience{c: c, since: map[string]time.Time{}}
}

// AwaitReady returns when every service has all its replicas, all of the newest
// kind. A cause that keeps a service from that is reported as progress when it is
// seen, and ends the wait if it cannot be expected to go away.
func AwaitReady(ctx context.Context, c *kubeapi.Client, system *topology.System, namespace string) error {
	w := Begin(ctx)
	w.Tell = c.Once
	defer w.Close()
	selector := manifest.Selector(system.Name)
	deployments := Follow(w, Labelled(c.Clientset.AppsV1().RESTClient(), "deployments", namespace, selector), &appsv1.Deployment{})
	pods := Follow(w, PodsOf(c.Clientset, namespace, selector), &corev1.Pod{})
	r := &readiness{c: c, system: system, namespace: namespace, started: time.Now(), ready: map[string]bool{}, patience: NewPatience(c)}
	var last state
	return w.Until(ctx, Condition{
		Waiting: "waiting until its pods are ready", Timeout: c.Config.ReadyTimeout, Every: Tick,
		Holds: func(ctx context.Context) (bool, error) {
			last = stateOf(deployments(), pods())
			return r.look(ctx, last)
		},
		Late: func() error {
			return fmt.Errorf("after %v it is not ready:\n%w", c.Config.ReadyTimeout, r.unready(last))
		},
	})
}

// A state is what there is of each service.
type state struct {
	deployments map[string]*appsv1.Deployment
	pods        map[string][]*corev1.Pod
}

func stateOf(deployments []*appsv1.Deployment, pods []*corev1.Pod) state {
	s := state{map[string]*appsv1.Deployment{}, map[string][]*corev1.Pod{}}
	for _, d := range deployments {
		s.deployments[d.Labels[manifest.ServiceLabel]] = d
	}
	for _, p := range pods {
		name := p.Labels[manifest.ServiceLabel]
		s.pods[name] = append(s.pods[name], p)
	}
	return s
}

// look reports as progress what is new, and returns whether all is ready. An error means that
// waiting longer makes no sense.
func (w *readiness) look(ctx context.Context, s state) (done bool, err error) {
	var hopeless []error
	done = true
	for i := range w.system.Services {
		name := w.system.Services[i].Name
		if w.system.Services[i].URL != "" {
			continue // it has no pods
		}
		d := s.deployments[name]
		if Complete(d) {
			if !w.ready[name] {
				w.ready[name] = true
				w.c.Config.Progress(fmt.Sprintf("service/%s ready (%d/%d pods, %.1fs)", name, d.Status.AvailableReplicas, *d.Spec.Replicas, time.Since(w.started).Seconds()))
			}
			continue
		}
		done = false
		t := Diagnose(d, s.pods[name])
		if t == nil {
			continue
		}
		if w.patience.Lasting(ctx, "service/"+name, t) {
			hopeless = append(hopeless, fmt.Errorf("service %q is not ready: %s%s", name, t.Text, kubeapi.LastWords(w.c.TailOf(ctx, w.namespace, t.Crashed, t.Container, 5, true))))
		}
	}
	if len(hopeless) > 0 {
		return false, kubeapi.Summarize(errors.Join(hopeless...))
	}
	return done, nil
}

// Lasting reports whether a diagnosis has lasted for longer than it may. One that
// may go away by itself is reported as progress when it is seen first. Its text then and
// at the end names taints of nodes.
func (p *Patience) Lasting(ctx context.Context, what string, d *Diagnosis) bool {
	key := what + " " + d.Key
	first, seen := p.since[key]
	over := seen && time.Since(first) >= d.Patience
	if !seen || over {
		d.NameTaints(ctx, p.c)
	}
	if !seen {
		first = time.Now()
		p.since[key] = first
		if d.Patience > 0 {
			p.c.Config.Progress(fmt.Sprintf("%s not ready: %s", what, d.Text))
		}
	}
	return over || d.Patience <= 0
}

// Complete reports whether all replicas of a Deployment are there, of the newest
// kind, and able to answer.
func Complete(d *appsv1.Deployment) bool {
	if d == nil || d.Spec.Replicas == nil || d.Status.ObservedGeneration < d.Generation {
		return false
	}
	want := *d.Spec.Replicas
	return d.Status.UpdatedReplicas == want && d.Status.AvailableReplicas == want && d.Status.Replicas == want
}

// unready names the services that are not ready, and why.
func (w *readiness) unready(s state) error {
	var errs []error
	for i := range w.system.Services {
		name := w.system.Services[i].Name
		if w.ready[name] || w.system.Services[i].URL != "" {
			continue
		}
		why := "its pods have not become ready; 'kubectl -n " + w.namespace + " describe pods -l " + manifest.ServiceLabel + "=" + name + "' tells more"
		if t := Diagnose(s.deployments[name], s.pods[name]); t != nil {
			why = t.Text
		}
		errs = append(errs, fmt.Errorf("service %q: %s", name, why))
	}
	return kubeapi.Summarize(errors.Join(errs...))
}
