package faults

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
)

// Follow lets the faults of the system follow its pods until ctx ends: pods that
// come get them, and peers are those that there are. An error is reported as progress,
// and the change is tried again.
func (inst *Instance) Follow(ctx context.Context) {
	keep := func(keep bool) {
		inst.mu.Lock()
		defer inst.mu.Unlock()
		inst.followed = keep
	}
	keep(true)
	defer keep(false)
	var following sync.WaitGroup
	following.Go(func() { inst.watchPods(ctx, &podWatcher{informed: map[string]bool{}}) })
	following.Go(func() { inst.followPods(ctx) })
	following.Go(func() { inst.renew(ctx) })
	following.Wait()
	inst.unreserve(ctx)
}

func (inst *Instance) followPods(ctx context.Context) {
	pods := watch.PodsOf(inst.Client.Clientset, inst.namespace, manifest.Selector(inst.System().Name))
	nodehelper.OnChange(ctx, inst.Client, []nodehelper.Watched{{Objects: pods, Kind: &corev1.Pod{}}}, fmt.Sprintf("the faults of system %s", inst.System().Name), func(ctx context.Context) error {
		err := inst.reconcile(ctx)
		if err == nil || !apierrors.IsForbidden(err) {
			return err
		}
		// Report missing rights only when a fault needs a helper.
		if wanted, wantedErr := inst.desired(ctx); len(wanted) == 0 {
			return wantedErr
		}
		return err
	})
}
