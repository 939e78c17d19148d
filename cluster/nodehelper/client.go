package nodehelper

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// helperPause is the time between two requests to a helper that has not
// answered.
const helperPause = 50 * time.Millisecond

// errNoHelper says that a node has no helper, and is to have none.
var errNoHelper = errors.New("the node has no helper") //nolint:gochecknoglobals // a sentinel

// A helperClient gives one order to the helper of a node, as soon as that can take it.
type helperClient struct {
	c    *kubeapi.Client
	node string
	// agent says how to run the helper where there is none; nil makes none.
	agent func(ctx context.Context) (Options, error)

	// made is set when this visit has made the helper.
	made bool
	// since is when each trouble was seen first.
	since map[string]time.Time
	// last is why the latest request was in vain.
	last error
}

// do sends the order, and waits for the helper as long as that makes sense.
func (v *helperClient) do(ctx context.Context, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, runner.HelperTimeout, watch.ErrTimeout)
	defer cancel()
	v.since = map[string]time.Time{}
	changed := watch.NewChanged()
	selector := NodeSelector(v.node)
	jobs := watch.Follow(ctx, watch.Labelled(v.c.Clientset.BatchV1().RESTClient(), "jobs", Namespace, selector), &batchv1.Job{}, changed)
	defer jobs.Close()
	pods := watch.Follow(ctx, watch.Labelled(v.c.Clientset.CoreV1().RESTClient(), "pods", Namespace, selector), &corev1.Pod{}, changed)
	defer pods.Close()
	for {
		var again <-chan time.Time
		if jobs.Synced() && pods.Synced() {
			pod, err := v.look(ctx, jobs.Store.List(), pods.Store.List())
			if err != nil {
				return err
			}
			if pod != nil {
				done, err := v.try(ctx, pod, method, path, body, answer)
				if done {
					return err
				}
				if ctx.Err() != nil && v.last != nil {
					return v.slow(ctx, pods.Store.List()) // that the time is over says less than the request before
				}
				v.last = err
				again = time.After(helperPause)
			}
		}
		select {
		case <-changed:
		case <-again:
		case <-time.After(watch.Tick): // patience may have come to its end
		case <-ctx.Done():
			return v.slow(ctx, pods.Store.List())
		}
	}
}

// look returns the pod of the helper when that may answer. An error means that
// waiting makes no sense.
func (v *helperClient) look(ctx context.Context, jobs, pods []any) (*corev1.Pod, error) {
	for _, o := range pods {
		if p := o.(*corev1.Pod); helperRuns(p) {
			return p, nil
		}
	}
	switch {
	case len(jobs) == 0 && v.agent == nil:
		return nil, errNoHelper
	case len(jobs) == 0 && !v.made:
		v.made = true
		options, err := v.agent(ctx)
		if err != nil {
			return nil, err
		}
		return nil, makeHelper(ctx, v.c, v.node, options)
	case len(jobs) == 0:
		return nil, nil // the news of it is on its way
	}
	job := jobs[0].(*batchv1.Job)
	if job.DeletionTimestamp != nil || job.Status.CompletionTime != nil {
		v.made = false // it ends, and another one is needed
		return nil, nil
	}
	for _, o := range pods {
		t := watch.DiagnosePod(o.(*corev1.Pod))
		if t == nil {
			continue
		}
		if v.agent == nil && t.Crashed == "" {
			return nil, errNoHelper // it has never run, so there is nothing to take back
		}
		if v.since[t.Key].IsZero() {
			v.since[t.Key] = time.Now()
		}
		if time.Since(v.since[t.Key]) >= t.Patience {
			return nil, fmt.Errorf("its helper, which faults on networks and resources need, does not start: %s", t.Text)
		}
	}
	return nil, nil
}

// helperRuns reports whether a pod's process has been started and may run.
func helperRuns(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil || p.Status.PodIP == "" {
		return false
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Running == nil {
			return false
		}
	}
	return len(p.Status.ContainerStatuses) > 0
}

// slow tells why the helper has not taken the order in time.
func (v *helperClient) slow(ctx context.Context, pods []any) error {
	if cause := context.Cause(ctx); !errors.Is(cause, watch.ErrTimeout) {
		return fmt.Errorf("waiting for its helper: %w", cause)
	}
	why := "no pod was made for it"
	if v.last != nil {
		why = v.last.Error()
	} else if len(pods) > 0 {
		why = "its pod is not running"
		if t := watch.DiagnosePod(pods[0].(*corev1.Pod)); t != nil {
			why = t.Text
		}
	}
	return fmt.Errorf("its helper did not take the order within %v: %s; 'kubectl -n %s describe job,pod -l %s' tells more",
		runner.HelperTimeout, why, Namespace, NodeSelector(v.node))
}

// try sends one request. It is not done where another try may help.
func (v *helperClient) try(ctx context.Context, pod *corev1.Pod, method, path string, body, answer any) (done bool, err error) {
	address, err := helperAddress(ctx, v.c, pod)
	if err != nil {
		return !apierrors.IsNotFound(err), err
	}
	err = v.c.Control(ctx, address, method, path, body, answer)
	if refused := (&controlhttp.StatusError{}); errors.As(err, &refused) {
		return isFinal(refused), err
	}
	return err == nil || len(kubeapi.MissingRights(err)) > 0, err
}

// isFinal reports whether it is the helper that has answered, and another try will
// not be answered otherwise. What the API server says when it does not reach the
// helper, or has no such pod, is a Status. A helper that is ending is unavailable.
func isFinal(e *controlhttp.StatusError) bool {
	return !strings.Contains(e.Text(), `"kind":"Status"`) && e.Code != http.StatusServiceUnavailable && e.Code != http.StatusBadGateway
}

// helperAddress is what it takes to give orders to the helper in a pod.
func helperAddress(ctx context.Context, c *kubeapi.Client, pod *corev1.Pod) (kubeapi.PodAddress, error) {
	secret, err := c.Clientset.CoreV1().Secrets(Namespace).Get(ctx, SecretOf(&pod.Spec), metav1.GetOptions{})
	if err != nil {
		return kubeapi.PodAddress{}, fmt.Errorf("reading the token of the helper: %w", err)
	}
	return kubeapi.PodAddress{Namespace: Namespace, Name: pod.Name, Token: string(secret.Data[TokenKey])}, nil
}
