// Package watch follows objects of a cluster until something holds, and diagnoses
// pods and Deployments that do not become ready.
package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
)

// A Watcher follows objects of several kinds with an informer each, over broken
// connections and restarts of the API server. Its Until is the one loop by which
// this program waits for a cluster.
type Watcher struct {
	// Tell, unless it is nil, gets a line if the user may not watch what is followed. It
	// is set before anything is followed.
	Tell func(string)
	//nolint:containedctx // the informers end with the watcher, and start after it
	ctx    context.Context
	cancel context.CancelFunc
	// changed has an element if something has changed since the condition was
	// checked last.
	changed chan struct{}
	synced  []cache.InformerSynced
	running sync.WaitGroup

	mu sync.Mutex
	// denied is why the user may not list what is followed; nil if nothing says so.
	denied error
}

// Begin returns a Watcher without objects. The caller closes it.
func Begin(ctx context.Context) *Watcher {
	ctx, cancel := context.WithCancel(ctx)
	return &Watcher{ctx: ctx, cancel: cancel, changed: make(chan struct{}, 1)}
}

// Close ends the informers, and returns when they have ended.
func (w *Watcher) Close() {
	w.cancel()
	w.running.Wait()
}

// Follow begins to follow the objects that lw lists, and returns the function that
// lists them as they are now. They must not be changed. All kinds are followed
// before Until is called.
func Follow[T runtime.Object](w *Watcher, lw cache.ListerWatcher, kind T) (list func() []T) {
	store, synced := w.inform(&listener{ListerWatcher: lw, with: cache.ToListerWatcherWithContext(lw), w: w}, kind)
	w.synced = append(w.synced, synced)
	return func() []T {
		objects := store.List()
		found := make([]T, len(objects))
		for i, o := range objects {
			found[i] = o.(T)
		}
		return found
	}
}

// WakeOn has the condition checked after changes of the objects that lw lists. The
// wait goes on without them if the user has no right to see them.
func (w *Watcher) WakeOn(lw cache.ListerWatcher, kind runtime.Object) { w.inform(lw, kind) }

// inform starts an informer.
func (w *Watcher) inform(lw cache.ListerWatcher, kind runtime.Object) (cache.Store, cache.InformerSynced) {
	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: lw, ObjectType: kind,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { w.Wake() },
			UpdateFunc: func(any, any) { w.Wake() },
			DeleteFunc: func(any) { w.Wake() },
		},
	})
	w.running.Go(func() { controller.RunWithContext(w.ctx) })
	w.running.Go(func() {
		if cache.WaitForCacheSync(w.ctx.Done(), controller.HasSynced) {
			w.Wake()
		}
	})
	return store, controller.HasSynced
}

// Wake has the condition checked soon, even if no object changes.
func (w *Watcher) Wake() {
	select {
	case w.changed <- struct{}{}:
	default: // it will be checked anyway
	}
}

// WakeAfter is Wake after a while.
func (w *Watcher) WakeAfter(d time.Duration) {
	w.running.Go(func() {
		if Pause(w.ctx, d) {
			w.Wake()
		}
	})
}

// Tick is how often a condition that depends on time is checked.
const Tick = time.Second

// A Condition says what is waited for, and how the wait ends without it.
type Condition struct {
	// Waiting begins the error of a wait whose context has ended, such as "waiting
	// until its pods are ready".
	Waiting string
	// Timeout bounds the wait; 0 leaves that to the context.
	Timeout time.Duration
	// Every is when the condition is checked again though no object has changed; 0 is
	// never.
	Every time.Duration
	// Holds checks the condition. Its context has the bound of the wait. An error
	// ends the wait: waiting longer makes no sense.
	Holds func(ctx context.Context) (bool, error)
	// Late says why the condition does not hold yet, if Timeout is over.
	Late func() error
}

// errTimeout is the cause of the end of a wait that took longer than its Timeout.
var errTimeout = errors.New("it took too long") //nolint:gochecknoglobals // a sentinel

// Until returns when a condition holds, which is checked once all objects are
// known, and again after each change. If the user may not list them, that is its error.
func (w *Watcher) Until(ctx context.Context, c Condition) error {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, errTimeout)
		defer cancel()
	}
	for {
		if w.allSynced() {
			if done, err := c.Holds(ctx); done || err != nil && ctx.Err() == nil {
				return err
			}
		} else if err := w.whyDenied(); err != nil {
			return c.ended(kubeapi.Explain(err))
		}
		if ctx.Err() != nil {
			return c.ended(context.Cause(ctx))
		}
		w.sleep(ctx, c.Every)
	}
}

// sleep returns after a change, at the end of ctx or, unless it is 0, after a time.
func (w *Watcher) sleep(ctx context.Context, d time.Duration) {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-w.changed:
	case <-over:
	case <-ctx.Done():
	}
}

// ended is the error of a wait whose context has ended.
func (c *Condition) ended(cause error) error {
	if errors.Is(cause, errTimeout) && c.Late != nil {
		return c.Late()
	}
	if c.Waiting == "" {
		return cause
	}
	return fmt.Errorf("%s: %w", c.Waiting, cause)
}

func (w *Watcher) allSynced() bool {
	for _, synced := range w.synced {
		if !synced() {
			return false
		}
	}
	return true
}

// Pause waits, and reports whether it did so before ctx ended.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// AwaitObjects returns when holds says so of the objects that lw lists.
func AwaitObjects[T runtime.Object](ctx context.Context, lw cache.ListerWatcher, kind T, waiting string, holds func([]T) bool) error {
	w := Begin(ctx)
	defer w.Close()
	list := Follow(w, lw, kind)
	return w.Until(ctx, Condition{Waiting: waiting, Holds: func(context.Context) (bool, error) { return holds(list()), nil }})
}

// AwaitPodsGone returns when no pod that a selector takes is left.
func AwaitPodsGone(ctx context.Context, c kubernetes.Interface, namespace, selector string) error {
	return AwaitObjects(ctx, PodsOf(c, namespace, selector), &corev1.Pod{}, "waiting until its pods are gone", none[*corev1.Pod])
}

func none[T any](objects []T) bool { return len(objects) == 0 }

// PodsOf lists and watches the pods of a namespace that a selector takes.
func PodsOf(c kubernetes.Interface, namespace, selector string) cache.ListerWatcher {
	return Labelled(c.CoreV1().RESTClient(), "pods", namespace, selector)
}

// Labelled lists and watches the objects of a namespace that a selector takes.
func Labelled(client rest.Interface, resource, namespace, selector string) cache.ListerWatcher {
	return cache.NewFilteredListWatchFromClient(client, resource, namespace, func(o *metav1.ListOptions) { o.LabelSelector = selector })
}

// Named lists and watches the object of a name.
func Named(client rest.Interface, resource, namespace, name string) cache.ListerWatcher {
	return cache.NewFilteredListWatchFromClient(client, resource, namespace, func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + name })
}
