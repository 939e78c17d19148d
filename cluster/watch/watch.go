// Package watch follows objects of a cluster until something holds, and diagnoses
// pods and Deployments that do not become ready.
package watch

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// A Follower keeps a copy of the objects of a kind up to date, over broken
// connections and restarts of the API server.
type Follower struct {
	Store  cache.Store
	Synced func() bool
	// changed has an element after something has changed.
	Changed chan struct{}
	stop    context.CancelFunc
	running *sync.WaitGroup
}

// Follow begins to follow. It goes on until close is called or ctx ends.
func Follow(ctx context.Context, lw cache.ListerWatcher, kind runtime.Object, changed chan struct{}) *Follower {
	ctx, stop := context.WithCancel(ctx)
	f := &Follower{Changed: changed, stop: stop, running: &sync.WaitGroup{}}
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
	f.Store, f.Synced = store, controller.HasSynced
	f.running.Go(func() { controller.RunWithContext(ctx) })
	f.running.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), controller.HasSynced) {
			wake()
		}
	})
	return f
}

func (f *Follower) Close() {
	f.stop()
	f.running.Wait()
}

func NewChanged() chan struct{} { return make(chan struct{}, 1) }

// Until waits until holds says so of the objects there are.
func Until(ctx context.Context, lw cache.ListerWatcher, kind runtime.Object, holds func(cache.Store) bool) error {
	f := Follow(ctx, lw, kind, NewChanged())
	defer f.Close()
	for {
		if f.Synced() && holds(f.Store) {
			return nil
		}
		select {
		case <-f.Changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Labelled lists and watches the objects of a namespace that a selector takes.
func Labelled(client rest.Interface, resource, namespace, selector string) cache.ListerWatcher {
	return cache.NewFilteredListWatchFromClient(client, resource, namespace, func(o *metav1.ListOptions) { o.LabelSelector = selector })
}

// Tick is how often something that depends on time alone is looked at.
const Tick = time.Second
