package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/apply"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

const (
	// followTimeout bounds the wait until pods that are ready follow a description. A pod
	// that takes longer is replaced, or named.
	followTimeout = 5 * time.Second
	// followPause is the time between two tries.
	followPause = 50 * time.Millisecond
	// tellTimeout bounds one try: a frozen pod never answers.
	tellTimeout = 2 * time.Second
)

// A following lets the pods of services follow new descriptions.
type following struct {
	of           *Deployment
	descriptions map[string]control.Description

	mu sync.Mutex
	// told are the pods that follow, why the reasons of those that do not yet.
	told map[types.UID]bool
	why  map[string]error
	// refused says that a pod has to be replaced, so that waiting for it is useless.
	refused bool
	// lenient takes programs that know no descriptions for ones that follow: they have
	// never followed another one than that with which they started.
	lenient bool
}

func (d *Deployment) following(descriptions map[string]control.Description) *following {
	return &following{of: d, descriptions: descriptions, told: map[types.UID]bool{}, why: map[string]error{}}
}

// ready tells the pods that are ready now, and returns the services that have to be
// replaced, because a pod cannot follow or does not answer.
func (f *following) ready(ctx context.Context) (refused []string) {
	if f.until(ctx, followTimeout, watch.Ready) == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(f.why))
}

// all returns when every pod follows. Pods that ready has not told have started meanwhile.
func (f *following) all(ctx context.Context, bound time.Duration) error {
	f.refused = false
	return f.until(ctx, bound, func(p *corev1.Pod) bool {
		return p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded
	})
}

// until tells the pods of a kind until all of them follow.
func (f *following) until(ctx context.Context, bound time.Duration, which func(*corev1.Pod) bool) error {
	deadline := time.Now().Add(bound)
	for len(f.descriptions) > 0 {
		waiting, err := f.waiting(ctx, which)
		if err != nil {
			return err
		}
		if len(waiting) == 0 {
			return nil
		}
		f.why = map[string]error{}
		_ = kubeapi.Each(len(waiting), func(i int) error { f.tell(ctx, &waiting[i]); return nil })
		switch {
		case len(f.why) == 0:
			continue // others may have started meanwhile
		case time.Now().After(deadline), f.refused:
			return kubeapi.Summarize(errors.Join(slices.Collect(maps.Values(f.why))...))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followPause):
		}
	}
	return nil
}

// waiting lists the pods of a kind that do not follow yet.
func (f *following) waiting(ctx context.Context, which func(*corev1.Pod) bool) ([]corev1.Pod, error) {
	list, err := f.of.Client.Clientset.CoreV1().Pods(f.of.Namespace()).List(ctx, metav1.ListOptions{LabelSelector: manifest.ServiceSelector(f.of.System().Name)})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of system %q: %w", f.of.System().Name, kubeapi.Explain(err))
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		name := p.Labels[manifest.ServiceLabel]
		_, changes := f.descriptions[name]
		return !changes || f.told[p.UID] || !which(&p)
	}), nil
}

// tell tells one pod, and notes what became of it.
func (f *following) tell(ctx context.Context, p *corev1.Pod) {
	name := p.Labels[manifest.ServiceLabel]
	description := f.descriptions[name]
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	err := f.of.Describe(ctx, name, p.Name, &description)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil, f.lenient && isStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed):
		f.told[p.UID] = true
	default:
		f.refused = f.refused || isStatus(err, http.StatusConflict)
		f.why[name] = fmt.Errorf("pod %q does not follow the new description of service %q: %w", p.Name, name, err)
	}
}

// followPlan lets the pods follow the descriptions of a plan that was applied. The template
// of pods that were changed in place may be that of the plan, which then replaces none.
func (d *Deployment) followPlan(ctx context.Context, plan []apply.Object) error {
	descriptions, err := manifest.DescriptionsOf(plan)
	if err != nil {
		return err
	}
	f := d.following(descriptions)
	f.lenient = true
	return f.all(ctx, followTimeout)
}

func isStatus(err error, codes ...int) bool {
	var refused *controlhttp.StatusError
	return errors.As(err, &refused) && slices.Contains(codes, refused.Code)
}

// forgetPeers tells the pods which services are gone. Until then, requests that began
// earlier could still call them.
func (d *Deployment) forgetPeers(ctx context.Context, from, plan []apply.Object) error {
	before, err := manifest.DescriptionsOf(from)
	if err != nil {
		return err
	}
	after, err := manifest.DescriptionsOf(plan)
	if err != nil {
		return err
	}
	maps.DeleteFunc(after, func(name string, now control.Description) bool {
		for peer := range before[name].Peers {
			if now.Peers[peer] == nil {
				return false
			}
		}
		return true
	})
	f := d.following(after)
	f.lenient = true
	return f.all(ctx, followTimeout)
}

// otherDescriptions names, by service, a pod that follows another description than the one
// with which it would start. It leaves out pods that do not answer soon, and pods of
// programs that cannot follow descriptions.
func (d *Deployment) otherDescriptions(ctx context.Context, pods map[string][]*corev1.Pod) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	list, err := d.Client.Clientset.CoreV1().ConfigMaps(d.Namespace()).List(ctx, metav1.ListOptions{LabelSelector: manifest.ServiceSelector(d.System().Name)})
	if err != nil {
		return nil
	}
	wanted := manifest.Fingerprints(list.Items)
	var ask []*corev1.Pod
	for name, all := range pods {
		for _, p := range all {
			if wanted[name] != "" && watch.Ready(p) {
				ask = append(ask, p)
			}
		}
	}
	var mu sync.Mutex
	others := map[string]string{}
	_ = kubeapi.Each(len(ask), func(i int) error {
		name := ask[i].Labels[manifest.ServiceLabel]
		now, err := d.Serving(ctx, name, ask[i].Name)
		if err == nil && now.Fingerprint != wanted[name] {
			mu.Lock()
			defer mu.Unlock()
			others[name] = ask[i].Name
		}
		return nil
	})
	return others
}
