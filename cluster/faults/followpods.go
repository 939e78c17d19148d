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
// come get them, and peers are those that there are. Trouble is told as progress,
// and tried again.
func (d *Instance) Follow(ctx context.Context) {
	keep := func(keep bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.followed = keep
	}
	keep(true)
	defer keep(false)
	var following sync.WaitGroup
	following.Go(func() { d.watchPods(ctx, &podWatcher{informed: map[string]bool{}}) })
	following.Go(func() { d.followPods(ctx) })
	following.Wait()
}

func (d *Instance) followPods(ctx context.Context) {
	pods := watch.Labelled(d.Client.Clientset.CoreV1().RESTClient(), "pods", d.namespace, manifest.Selector(d.system.Name))
	nodehelper.OnChange(ctx, d.Client, []nodehelper.Watched{{Objects: pods, Kind: &corev1.Pod{}}}, fmt.Sprintf("the faults of system %s", d.system.Name), func(ctx context.Context) error {
		err := d.reconcile(ctx)
		if err == nil || !apierrors.IsForbidden(err) {
			return err
		}
		// Report missing rights only when a fault needs a helper.
		if wanted, wantedErr := d.desired(ctx); len(wanted) == 0 {
			return wantedErr
		}
		return err
	})
}
