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
	patience  *patience
}

// A patience remembers which troubles were seen, and since when.
type patience struct {
	c *kubeapi.Client
	// since is when each trouble was seen first, by service and key.
	since map[string]time.Time
	// told are the troubles that were reported already.
	told map[string]bool
}

func NewPatience(c *kubeapi.Client) *patience {
	return &patience{c: c, since: map[string]time.Time{}, told: map[string]bool{}}
}

// AwaitReady returns when every service has all its replicas, all of the newest
// kind. What keeps a service from that is told as it is seen, and ends the
// waiting when it cannot be expected to go away.
func AwaitReady(ctx context.Context, c *kubeapi.Client, system *topology.System, namespace string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Config.ReadyTimeout, ErrTimeout)
	defer cancel()
	changed := NewChanged()
	selector := manifest.Selector(system.Name)
	deployments := Follow(ctx, Labelled(c.Clientset.AppsV1().RESTClient(), "deployments", namespace, selector), &appsv1.Deployment{}, changed)
	defer deployments.Close()
	pods := Follow(ctx, Labelled(c.Clientset.CoreV1().RESTClient(), "pods", namespace, selector), &corev1.Pod{}, changed)
	defer pods.Close()
	w := &readiness{c: c, system: system, namespace: namespace, started: time.Now(), ready: map[string]bool{}, patience: NewPatience(c)}
	ticker := time.NewTicker(Tick)
	defer ticker.Stop()
	for {
		var state state
		if deployments.Synced() && pods.Synced() {
			state = stateOf(deployments.Store.List(), pods.Store.List())
			done, err := w.look(ctx, state)
			if done || err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ticker.C:
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, ErrTimeout) {
				return fmt.Errorf("waiting until its pods are ready: %w", cause)
			}
			return fmt.Errorf("after %v it is not ready:\n%w", c.Config.ReadyTimeout, w.unready(state))
		}
	}
}

var ErrTimeout = errors.New("not ready in time") //nolint:gochecknoglobals // a sentinel

// A state is what there is of each service.
type state struct {
	deployments map[string]*appsv1.Deployment
	pods        map[string][]*corev1.Pod
}

func stateOf(deployments, pods []any) state {
	s := state{map[string]*appsv1.Deployment{}, map[string][]*corev1.Pod{}}
	for _, o := range deployments {
		d := o.(*appsv1.Deployment)
		s.deployments[d.Labels[manifest.ServiceLabel]] = d
	}
	for _, o := range pods {
		p := o.(*corev1.Pod)
		name := p.Labels[manifest.ServiceLabel]
		s.pods[name] = append(s.pods[name], p)
	}
	return s
}

// look tells what is new, and reports whether all is ready. An error means that
// waiting longer makes no sense.
func (w *readiness) look(ctx context.Context, s state) (done bool, err error) {
	var hopeless []error
	done = true
	for i := range w.system.Services {
		name := w.system.Services[i].Name
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
		if w.patience.Lasting(name, t) {
			hopeless = append(hopeless, fmt.Errorf("service %q is not ready: %s%s", name, t.Text, kubeapi.LastWords(w.c.TailOf(ctx, w.namespace, t.Crashed, 5, true))))
		}
	}
	if len(hopeless) > 0 {
		return false, kubeapi.Summarize(errors.Join(hopeless...))
	}
	return done, nil
}

// Lasting reports whether a trouble has been there for too long. The first time
// it is told.
func (p *patience) Lasting(service string, t *Diagnosis) bool {
	key := service + " " + t.Key
	first, seen := p.since[key]
	if !seen {
		first = time.Now()
		p.since[key] = first
	}
	if !p.told[key] && t.Patience > 0 {
		p.told[key] = true
		p.c.Config.Progress(fmt.Sprintf("service/%s not ready: %s", service, t.Text))
	}
	return time.Since(first) >= t.Patience
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
		if w.ready[name] {
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
