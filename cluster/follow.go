package cluster

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/microsim-dev/kubectl-microsim/cluster/helper"
)

// followPause is how long changes are gathered, as pods change many at a time.
const followPause = 100 * time.Millisecond

// watched is objects of a kind that have to do with orders.
type watched struct {
	objects cache.ListerWatcher
	kind    runtime.Object
}

// onChange calls arrange each time when something that has to do with orders
// has changed, until ctx ends.
func onChange(ctx context.Context, c *Client, all []watched, what string, arrange func(context.Context) error) {
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
