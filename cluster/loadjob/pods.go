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

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// refusedAfter is how long the pods of a Job may be missing before it is asked
// why.
const refusedAfter = 2 * time.Second

// awaitPods returns when every pod of the load waits for the start. A cause that
// keeps one from that ends the wait if it cannot be expected to go away.
func (r *runningLoad) awaitPods(ctx context.Context) error {
	started := time.Now()
	if err := r.awaitRunning(ctx); err != nil {
		return err
	}
	left := max(time.Second, r.c.Config.ReadyTimeout-time.Since(started))
	return kubeapi.Summarize(kubeapi.Each(r.count, func(i int) error { return r.awaitAnswer(ctx, i, left) }))
}

// awaitRunning returns when all pods of the load run.
func (r *runningLoad) awaitRunning(ctx context.Context) error {
	w := watch.Begin(ctx)
	defer w.Close()
	pods := watch.Follow(w, watch.PodsOf(r.c.Clientset, r.namespace, r.selector()), &corev1.Pod{})
	patience, started := watch.NewPatience(r.c), time.Now()
	var last *watch.Diagnosis
	return w.Until(ctx, watch.Condition{
		Waiting: "waiting for its pods", Every: watch.Tick, Timeout: r.c.Config.ReadyTimeout,
		Holds: func(ctx context.Context) (bool, error) {
			found := byIndex(pods(), r.count)
			last = r.diagnose(ctx, found, started)
			if last != nil && patience.Lasting(ctx, "job/"+r.name, last) {
				return false, errors.New(last.Text + kubeapi.LastWords(r.c.TailOf(ctx, r.namespace, last.Crashed, last.Container, 5, false)))
			}
			if last != nil || !allRun(found) {
				return false, nil
			}
			r.pods = found
			return true, nil
		},
		Late: func() error {
			if last != nil {
				return fmt.Errorf("after %v: %s", r.c.Config.ReadyTimeout, last.Text)
			}
			return fmt.Errorf("its pods do not run after %v; 'kubectl -n %s describe pods -l %s' tells more", r.c.Config.ReadyTimeout, r.namespace, r.selector())
		},
	})
}

// awaitAnswer returns when a generator answers through the API server.
func (r *runningLoad) awaitAnswer(ctx context.Context, i int, timeout time.Duration) error {
	w := watch.Begin(ctx)
	defer w.Close()
	var last error
	asking := func(err error) error {
		return fmt.Errorf("asking pod %q whether it is ready: %w", r.pods[i].Name, err)
	}
	return w.Until(ctx, watch.Condition{
		Waiting: "waiting for its pods", Every: watch.ConnectedPause, Timeout: timeout,
		Holds: func(ctx context.Context) (bool, error) {
			err := r.c.Control(ctx, r.address(i), http.MethodGet, control.ReadyPath, nil, nil)
			if len(kubeapi.MissingRights(err)) > 0 {
				return false, asking(err)
			}
			if ctx.Err() == nil {
				last = err // the end of the wait is not an answer
			}
			return err == nil, nil
		},
		Late: func() error { return asking(last) },
	})
}

// byIndex sorts the pods of a Job by their shares; those that are not there are
// nil.
func byIndex(objects []*corev1.Pod, n int) []*corev1.Pod {
	pods := make([]*corev1.Pod, n)
	for _, p := range objects {
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

// diagnose says why the pods do not run; nil if nothing is wrong yet.
func (r *runningLoad) diagnose(ctx context.Context, pods []*corev1.Pod, started time.Time) *watch.Diagnosis {
	missing := false
	for _, p := range pods {
		switch {
		case p == nil:
			missing = true
		case ended(p) != "":
			return &watch.Diagnosis{Key: "ended", Text: fmt.Sprintf("pod %s %s", p.Name, ended(p)), Crashed: p.Name}
		default:
			if d := watch.DiagnosePod(p); d != nil {
				return d
			}
		}
	}
	if !missing || time.Since(started) < refusedAfter {
		return nil
	}
	return watch.DiagnoseJob(ctx, r.c, r.namespace, r.name)
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
