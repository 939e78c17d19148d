package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An ordinals tells which replica of its service a pod is. Pods have no numbers of
// their own: as long as none has been replaced, their age tells. When a fault
// ends a pod, the others are written down, so that they stay what they are and
// the pod that comes takes the free place.
type ordinals struct {
	// Index is the replica that a pod is; one that is not in it takes the first
	// free place, the oldest first.
	Index map[types.UID]int `json:"index,omitempty"`
	// Ended are the pods that faults have ended, with their replica.
	Ended map[types.UID]string `json:"ended,omitempty"`
	// Replaced counts, for each replica, the pods that have ended before those.
	Replaced map[string]int `json:"replaced,omitempty"`
}

// ordinalsKey is the key of the ordinals in the ConfigMap of the record of faults.
const ordinalsKey = "replicas.json"

func parseOrdinals(config *corev1.ConfigMap) (ordinals, error) {
	var r ordinals
	if text := config.Data[ordinalsKey]; text != "" {
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return r, fmt.Errorf("reading which pod is which replica in the ConfigMap %s/%s: %w", config.Namespace, config.Name, err)
		}
	}
	return r, nil
}

func replicaName(service string, index int) string { return fmt.Sprintf("%s/%d", service, index) }

// assign sorts pods by service; the place of a pod, from 1, is its replica's
// index. Where a replica of the system has no pod, there is one that is absent.
// Pods that end are left out, and those that have ended: one that a kubelet has evicted stays
// until it is deleted, beside the one that takes its place.
func (r *ordinals) assign(system *topology.System, pods []*corev1.Pod) map[string][]*corev1.Pod {
	sorted := map[string][]*corev1.Pod{}
	for _, p := range pods {
		if name := p.Labels[manifest.ServiceLabel]; name != "" && p.DeletionTimestamp == nil && !watch.Ended(p) {
			sorted[name] = append(sorted[name], p)
		}
	}
	for _, list := range sorted {
		slices.SortFunc(list, func(a, b *corev1.Pod) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
	}
	for i := range system.Services {
		s := &system.Services[i]
		if s.URL != "" {
			continue // it has no pods
		}
		sorted[s.Name] = r.slot(sorted[s.Name], s.Replicas)
	}
	return sorted
}

// slot puts those pods that are written down in their places, of which there are
// as many as replicas, and the others in the places that are free, or behind.
func (r *ordinals) slot(pods []*corev1.Pod, replicas int) []*corev1.Pod {
	places := make([]*corev1.Pod, replicas)
	var others []*corev1.Pod
	for _, p := range pods {
		if i := r.Index[p.UID]; i >= 1 && i <= replicas && places[i-1] == nil {
			places[i-1] = p
		} else {
			others = append(others, p)
		}
	}
	for i := range places {
		switch {
		case places[i] != nil:
		case len(others) > 0:
			places[i], others = others[0], others[1:]
		default:
			places[i] = &corev1.Pod{}
		}
	}
	return append(places, others...)
}

// Present reports whether there is a pod in the place.
func Present(p *corev1.Pod) bool { return p.UID != "" || p.Name != "" }

// keep writes down what the pods of a service are, so that one stays the replica that a
// fault is meant for if another goes.
func (r *ordinals) keep(pods map[string][]*corev1.Pod, service string) {
	r.end(pods, service, func(int) bool { return false })
}

// end writes down that these pods of a service end, and what the others are.
// The pods are all that there are now, as assign sorts them.
func (r *ordinals) end(pods map[string][]*corev1.Pod, service string, ending func(index int) bool) {
	there := presentIn(pods)
	maps.DeleteFunc(r.Index, func(id types.UID, _ int) bool { return !there[id] })
	for id, replica := range r.Ended {
		if !there[id] {
			r.count(replica)
			delete(r.Ended, id)
		}
	}
	for i, p := range pods[service] {
		switch {
		case !Present(p):
		case ending(i + 1):
			put(&r.Ended, p.UID, replicaName(service, i+1))
		default:
			put(&r.Index, p.UID, i+1)
		}
	}
}

func (r *ordinals) count(replica string) { put(&r.Replaced, replica, r.Replaced[replica]+1) }

func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

// replaced returns how often each replica has lost its pod to a fault. A pod
// that is still there is not lost yet.
func (r *ordinals) replaced(pods map[string][]*corev1.Pod) map[string]int {
	there := presentIn(pods)
	counts := maps.Clone(r.Replaced)
	for id, replica := range r.Ended {
		if !there[id] {
			put(&counts, replica, counts[replica]+1)
		}
	}
	return counts
}

func presentIn(pods map[string][]*corev1.Pod) map[types.UID]bool {
	there := map[types.UID]bool{}
	for _, list := range pods {
		for _, p := range list {
			if Present(p) {
				there[p.UID] = true
			}
		}
	}
	return there
}
