package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// A victim is a pod that a kill or restart has ended, and the replica it was.
type victim struct {
	Service string    `json:"service"`
	Index   int       `json:"index"`
	Pod     string    `json:"pod"`
	UID     types.UID `json:"uid"`
}

// Momentary tells of faults that act once, when they are injected, and then heal
// by themselves: the Deployment makes another pod.
func Momentary(t fault.Type) bool { return t == fault.Kill || t == fault.Restart }

// over reports whether a momentary fault has no effect any more, because every
// victim has a ready successor.
func (in *Injection) over(pods map[string][]*corev1.Pod) bool {
	return Momentary(in.Fault.Type) && !slices.ContainsFunc(in.Victims, func(v victim) bool {
		list := pods[v.Service]
		return v.Index <= len(list) && (list[v.Index-1].UID == v.UID || !watch.Ready(list[v.Index-1]))
	})
}

// endPods carries out a kill or restart: it deletes the pods that the fault is
// meant for. A killed pod is not asked to end, and gets no time for it.
func (inst *Instance) endPods(ctx context.Context, in Injection) error {
	v, err := inst.Look(ctx)
	if err != nil {
		return err
	}
	for i, p := range v.Pods[in.Fault.Target.Service] {
		if Present(p) && in.targets(in.Fault.Target.Service, i+1) {
			in.Victims = append(in.Victims, victim{in.Fault.Target.Service, i + 1, p.Name, p.UID})
		}
	}
	// The first record is true at every moment, even if this program ends before the
	// next one: a pod counts as lost only when it is gone.
	err = inst.recordAll(ctx, func(all []Injection, numbers *ordinals) ([]Injection, error) {
		numbers.end(v.Pods, in.Fault.Target.Service, in.ends)
		return added(inst.Client, slices.DeleteFunc(all, func(old Injection) bool { return old.over(v.Pods) }), in)
	})
	if err != nil {
		return err
	}
	err = kubeapi.Each(len(in.Victims), func(i int) error { return inst.endPod(ctx, in.Fault.Type, in.Victims[i]) })
	if err == nil {
		return nil
	}
	undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), kubeapi.ControlTimeout)
	defer cancel()
	return errors.Join(err, inst.Clear(undoing, in.ID))
}

// ends reports whether the replica is among the victims.
func (in *Injection) ends(index int) bool {
	return slices.ContainsFunc(in.Victims, func(v victim) bool { return v.Index == index })
}

// endPod deletes a pod, unless another has got its name or it has gone.
func (inst *Instance) endPod(ctx context.Context, how fault.Type, v victim) error {
	options := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(v.UID))}
	if how == fault.Kill {
		now := int64(0)
		options.GracePeriodSeconds = &now
	}
	err := inst.Client.Clientset.CoreV1().Pods(inst.namespace).Delete(ctx, v.Pod, options)
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("deleting pod %q: %w", v.Pod, kubeapi.Explain(err))
}
