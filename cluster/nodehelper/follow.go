package nodehelper

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
)

// followPause is how long changes are gathered, as pods change many at a time.
const followPause = 100 * time.Millisecond

// Watched is objects of a kind that have to do with orders.
type Watched struct {
	Objects cache.ListerWatcher
	Kind    runtime.Object
}

// OnChange calls arrange each time when something that has to do with orders
// has changed, until ctx ends.
func OnChange(ctx context.Context, c *kubeapi.Client, all []Watched, what string, arrange func(context.Context) error) {
	changed := watch.NewChanged()
	var followers []*watch.Follower
	for _, w := range all {
		f := watch.Follow(ctx, w.Objects, w.Kind, changed)
		defer f.Close()
		followers = append(followers, f)
	}
	// Where somebody deletes a helper with its orders, they are given anew.
	orders := watch.Follow(ctx, watch.Labelled(c.Clientset.CoreV1().RESTClient(), "configmaps", Namespace, Selector()), &corev1.ConfigMap{}, changed)
	defer orders.Close()
	for {
		var again <-chan time.Time
		if allSynced(followers) {
			if err := arrange(ctx); err != nil && ctx.Err() == nil {
				c.Config.Progress(fmt.Sprintf("%s could not follow the pods, trying again: %v", what, err))
				again = time.After(watch.Tick)
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

func allSynced(followers []*watch.Follower) bool {
	for _, f := range followers {
		if !f.Synced() {
			return false
		}
	}
	return true
}
