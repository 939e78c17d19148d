package cluster

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// A follower keeps a copy of the objects of a kind up to date, over broken
// connections and restarts of the API server.
type follower struct {
	store  cache.Store
	synced func() bool
	// changed has an element after something has changed.
	changed chan struct{}
	stop    context.CancelFunc
	running *sync.WaitGroup
}

// follow begins to follow. It goes on until close is called or ctx ends.
func follow(ctx context.Context, lw cache.ListerWatcher, kind runtime.Object, changed chan struct{}) *follower {
	ctx, stop := context.WithCancel(ctx)
	f := &follower{changed: changed, stop: stop, running: &sync.WaitGroup{}}
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: lw, ObjectType: kind,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { wake() },
			UpdateFunc: func(any, any) { wake() },
			DeleteFunc: func(any) { wake() },
		},
	})
	f.store, f.synced = store, controller.HasSynced
	f.running.Go(func() { controller.RunWithContext(ctx) })
	f.running.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), controller.HasSynced) {
			wake()
		}
	})
	return f
}

func (f *follower) close() {
	f.stop()
	f.running.Wait()
}

func newChanged() chan struct{} { return make(chan struct{}, 1) }

// until waits until holds says so of the objects there are.
func until(ctx context.Context, lw cache.ListerWatcher, kind runtime.Object, holds func(cache.Store) bool) error {
	f := follow(ctx, lw, kind, newChanged())
	defer f.close()
	for {
		if f.synced() && holds(f.store) {
			return nil
		}
		select {
		case <-f.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// labelled lists and watches the objects of a namespace that a selector takes.
func labelled(client rest.Interface, resource, namespace, selector string) cache.ListerWatcher {
	return cache.NewFilteredListWatchFromClient(client, resource, namespace, func(o *metav1.ListOptions) { o.LabelSelector = selector })
}

// tick is how often something that depends on time alone is looked at.
const tick = time.Second
