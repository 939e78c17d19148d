package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/microsim-dev/kubectl-microsim/cluster/helper"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// Follow lets the faults of the system follow its pods until ctx ends: pods that
// come get them, and peers are those that there are. Trouble is told as progress,
// and tried again.
func (d *Deployment) Follow(ctx context.Context) {
	keep := func(keep bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.followed = keep
	}
	keep(true)
	defer keep(false)
	var following sync.WaitGroup
	following.Go(func() { d.lookAfter(ctx, &holder{told: map[string]bool{}}) })
	following.Go(func() { d.followPods(ctx) })
	following.Wait()
}

func (d *Deployment) followPods(ctx context.Context) {
	pods := labelled(d.c.client.CoreV1().RESTClient(), "pods", d.namespace, manifest.Selector(d.system.Name))
	d.c.whenever(ctx, []watched{{pods, &corev1.Pod{}}}, fmt.Sprintf("the faults of system %s", d.system.Name), func(ctx context.Context) error {
		err := d.arrange(ctx)
		if err == nil || !apierrors.IsForbidden(err) {
			return err
		}
		// Who may have no helpers is not told so as long as none is needed.
		if wanted, wantedErr := d.wanted(ctx); len(wanted) == 0 {
			return wantedErr
		}
		return err
	})
}

// followPause is how long changes are gathered, as pods change many at a time.
const followPause = 100 * time.Millisecond

// watched is objects of a kind that have to do with orders.
type watched struct {
	objects cache.ListerWatcher
	kind    runtime.Object
}

// whenever calls arrange each time when something that has to do with orders
// has changed, until ctx ends.
func (c *Cluster) whenever(ctx context.Context, all []watched, what string, arrange func(context.Context) error) {
	changed := newChanged()
	var followers []*follower
	for _, w := range all {
		f := follow(ctx, w.objects, w.kind, changed)
		defer f.close()
		followers = append(followers, f)
	}
	// Where somebody deletes a helper with its orders, they are given anew.
	orders := follow(ctx, labelled(c.client.CoreV1().RESTClient(), "configmaps", helper.Namespace, helper.Selector()), &corev1.ConfigMap{}, changed)
	defer orders.close()
	for {
		var again <-chan time.Time
		if allSynced(followers) {
			if err := arrange(ctx); err != nil && ctx.Err() == nil {
				c.config.Progress(fmt.Sprintf("%s could not follow the pods, trying again: %v", what, err))
				again = time.After(tick)
			}
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
			return
		}
	}
}

func allSynced(followers []*follower) bool {
	for _, f := range followers {
		if !f.synced() {
			return false
		}
	}
	return true
}
