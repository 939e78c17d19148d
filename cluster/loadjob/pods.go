package loadjob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// refusedAfter is how long the pods of a Job may be missing before it is asked
// why.
const refusedAfter = 2 * time.Second

// awaitPods returns when every pod of the load waits for the start. What keeps
// one from that ends the waiting when it cannot be expected to go away.
func (r *runningLoad) awaitPods(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.c.Config.ReadyTimeout, watch.ErrTimeout)
	defer cancel()
	pods := watch.Follow(ctx, watch.Labelled(r.c.Clientset.CoreV1().RESTClient(), "pods", r.namespace, r.selector()), &corev1.Pod{}, watch.NewChanged())
	defer pods.Close()
	patience := watch.NewPatience(r.c)
	started := time.Now()
	ticker := time.NewTicker(watch.Tick)
	defer ticker.Stop()
	for {
		var last *watch.Diagnosis
		if pods.Synced() {
			found := byIndex(pods.Store.List(), r.count)
			var err error
			if last, err = r.troubleOf(ctx, found, started); err != nil {
				return err
			}
			if last != nil && patience.Lasting("load", last) {
				return errors.New(last.Text + kubeapi.LastWords(r.c.TailOf(ctx, r.namespace, last.Crashed, 5, false)))
			}
			if last == nil && allRun(found) {
				r.pods = found
				return r.awaitAnswers(ctx)
			}
		}
		select {
		case <-pods.Changed:
		case <-ticker.C:
		case <-ctx.Done():
			switch cause := context.Cause(ctx); {
			case !errors.Is(cause, watch.ErrTimeout):
				return fmt.Errorf("waiting for its pods: %w", cause)
			case last != nil:
				return fmt.Errorf("after %v: %s", r.c.Config.ReadyTimeout, last.Text)
			}
			return fmt.Errorf("its pods do not run after %v; 'kubectl -n %s describe pods -l %s' tells more", r.c.Config.ReadyTimeout, r.namespace, r.selector())
		}
	}
}

// byIndex sorts the pods of a Job by their shares; those that are not there are
// nil.
func byIndex(objects []any, n int) []*corev1.Pod {
	pods := make([]*corev1.Pod, n)
	for _, o := range objects {
		p := o.(*corev1.Pod)
		if i, err := strconv.Atoi(p.Labels[batchv1.JobCompletionIndexAnnotation]); err == nil && i >= 0 && i < n {
			pods[i] = p
		}
	}
	return pods
}

func allRun(pods []*corev1.Pod) bool {
	for _, p := range pods {
		if p == nil || p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
			return false
		}
	}
	return true
}

// troubleOf says why the pods do not run; nil where nothing is wrong yet.
func (r *runningLoad) troubleOf(ctx context.Context, pods []*corev1.Pod, started time.Time) (*watch.Diagnosis, error) {
	missing := false
	for _, p := range pods {
		switch {
		case p == nil:
			missing = true
		case ended(p) != "":
			return &watch.Diagnosis{Key: "ended", Text: fmt.Sprintf("pod %s %s", p.Name, ended(p)), Crashed: p.Name}, nil
		default:
			if t := watch.DiagnosePod(p); t != nil {
				return t, nil
			}
		}
	}
	if !missing || time.Since(started) < refusedAfter {
		return nil, nil
	}
	return r.refused(ctx)
}

// refused asks the events of the Job why its pods are not made.
func (r *runningLoad) refused(ctx context.Context) (*watch.Diagnosis, error) {
	events, err := r.c.Clientset.CoreV1().Events(r.namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Job,involvedObject.name=" + r.name + ",reason=FailedCreate",
	})
	if err != nil || len(events.Items) == 0 {
		return nil, nil //nolint:nilerr // the general time limit counts
	}
	return watch.Refusal(events.Items[len(events.Items)-1].Message), nil
}

// ended says how a pod has ended; "" where it has not.
func ended(p *corev1.Pod) string {
	if p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
		return ""
	}
	text := "has ended"
	for _, c := range p.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil {
			text += fmt.Sprintf(" with exit code %d (%s)", t.ExitCode, t.Reason)
		}
	}
	if p.Status.Reason != "" {
		text += ": " + strings.TrimSpace(p.Status.Reason+" "+p.Status.Message)
	}
	return text
}

// awaitAnswers returns when every generator answers through the API server.
func (r *runningLoad) awaitAnswers(ctx context.Context) error {
	return kubeapi.Summarize(kubeapi.Each(r.count, func(i int) error {
		for {
			err := r.c.Control(ctx, r.address(i), http.MethodGet, control.ReadyPath, nil, nil)
			if err == nil {
				return nil
			}
			if len(kubeapi.MissingRights(err)) > 0 {
				return fmt.Errorf("asking pod %q whether it is ready: %w", r.pods[i].Name, err)
			}
			select {
			case <-time.After(watch.ConnectedPause):
				continue
			case <-ctx.Done():
			}
			if cause := context.Cause(ctx); !errors.Is(cause, watch.ErrTimeout) {
				return fmt.Errorf("waiting for its pods: %w", cause)
			}
			return fmt.Errorf("asking pod %q whether it is ready: %w", r.pods[i].Name, err)
		}
	}))
}
