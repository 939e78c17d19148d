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

// Watched is objects of a kind that orders depend on.
type Watched struct {
	Objects cache.ListerWatcher
	Kind    runtime.Object
}

// OnChange calls reconcile each time when something that orders depend on has
// changed, until ctx ends. An error is reported as progress, and reconcile is called
// again.
func OnChange(ctx context.Context, c *kubeapi.Client, all []Watched, what string, reconcile func(context.Context) error) {
	w := watch.Begin(ctx)
	w.Tell = c.Once
	defer w.Close()
	for _, o := range all {
		watch.Follow(w, o.Objects, o.Kind)
	}
	// If somebody deletes a helper with its orders, they are given again.
	w.WakeOn(watch.Labelled(c.Clientset.CoreV1().RESTClient(), "configmaps", Namespace, Selector()), &corev1.ConfigMap{})
	first := true
	err := w.Until(ctx, watch.Condition{Holds: func(ctx context.Context) (bool, error) {
		if !first && !watch.Pause(ctx, followPause) {
			return false, nil
		}
		first = false
		if err := reconcile(ctx); err != nil && ctx.Err() == nil {
			c.Config.Progress(fmt.Sprintf("%s could not follow the pods, trying again: %v", what, err))
			w.WakeAfter(watch.Tick)
		}
		return false, nil
	}})
	if ctx.Err() == nil {
		c.Config.Progress(fmt.Sprintf("%s do not follow the pods: %v", what, err))
		<-ctx.Done()
	}
}
