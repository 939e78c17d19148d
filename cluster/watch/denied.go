package watch

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
)

// deniedLists is how many lists are denied, one after the other, until the user counts as
// not allowed to list: an API server that has just started denies some to everybody.
const deniedLists = 3

// A listener tells a Watcher what the API server does not let it do. An informer tries for
// ever, without a word.
type listener struct {
	cache.ListerWatcher
	with   cache.ListerWatcherWithContext
	w      *Watcher
	denied int // lists in a row; only the informer's goroutine uses it
}

// ListWithContext implements cache.ListerWithContext.
func (l *listener) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	list, err := l.with.ListWithContext(ctx, options)
	if !apierrors.IsForbidden(err) {
		l.denied = 0
		return list, err
	}
	if l.denied++; l.denied >= deniedLists {
		l.w.deny(err)
	}
	return list, err
}

// WatchWithContext implements cache.WatcherWithContext. An informer that may not watch lists
// again and again.
func (l *listener) WatchWithContext(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
	changes, err := l.with.WatchWithContext(ctx, options)
	if apierrors.IsForbidden(err) && l.w.Tell != nil {
		l.w.Tell(fmt.Sprintf("changes are seen up to a minute late, because they have to be looked for again and again: %v", kubeapi.Explain(err)))
	}
	return changes, err
}

// deny ends the wait: nothing will ever be known of what is followed.
func (w *Watcher) deny(err error) {
	w.mu.Lock()
	w.denied = err
	w.mu.Unlock()
	w.Wake()
}

func (w *Watcher) whyDenied() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.denied
}
