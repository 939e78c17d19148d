package nodehelper

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
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

// refusedAfter is how long a helper may be without a pod before the API server is
// asked whether it admits one.
const refusedAfter = 2 * time.Second

// errNoHelper says that a node has no helper, and is to have none.
var errNoHelper = errors.New("the node has no helper") //nolint:gochecknoglobals // a sentinel

// A request is what a helper is asked to do.
type request struct {
	method, path string
	body, answer any
}

// A helperClient sends one request to the helper of a node, as soon as the helper
// can take it.
type helperClient struct {
	c    *kubeapi.Client
	node string
	// agent says how to run the helper if there is none; nil makes none.
	agent func(ctx context.Context) (Options, error)
	// known remembers where helpers have answered; it may be nil.
	known *Addresses

	// made is set if this client has made the helper.
	made bool
	// since is when each diagnosis was seen first.
	since map[string]time.Time
	// last is why the latest request was in vain.
	last error
}

// do sends the request, and waits for the helper as long as that makes sense.
func (h *helperClient) do(ctx context.Context, r request) error {
	started := time.Now()
	if address, ok := h.known.get(h.node); ok {
		if done, err := h.send(ctx, address, r); done {
			return err
		}
		h.known.forget(h.node)
	}
	h.since = map[string]time.Time{}
	w := watch.Begin(ctx)
	defer w.Close()
	selector := NodeSelector(h.node)
	jobs := watch.Follow(w, watch.Labelled(h.c.Clientset.BatchV1().RESTClient(), "jobs", Namespace, selector), &batchv1.Job{})
	pods := watch.Follow(w, watch.PodsOf(h.c.Clientset, Namespace, selector), &corev1.Pod{})
	return w.Until(ctx, watch.Condition{
		// The request to the address that was known counts, too.
		Waiting: "waiting for its helper", Timeout: max(time.Second, runner.HelperTimeout-time.Since(started)), Every: watch.Tick,
		Holds: func(ctx context.Context) (bool, error) {
			pod, err := h.look(ctx, jobs(), pods())
			if pod == nil || err != nil {
				return false, err
			}
			done, err := h.try(ctx, pod, r)
			if done {
				return true, err
			}
			if ctx.Err() == nil || h.last == nil {
				h.last = err // that the time is over says less than the request before
			}
			w.WakeAfter(helperPause)
			return false, nil
		},
		Late: func() error { return h.late(ctx, pods()) },
	})
}

// look returns the pod of the helper if it may answer. An error means that
// waiting makes no sense.
func (h *helperClient) look(ctx context.Context, jobs []*batchv1.Job, pods []*corev1.Pod) (*corev1.Pod, error) {
	for _, p := range pods {
		if helperRuns(p) {
			return p, nil
		}
	}
	switch {
	case len(jobs) == 0 && h.agent == nil:
		return nil, errNoHelper
	case len(jobs) == 0 && !h.made:
		h.made = true
		options, err := h.agent(ctx)
		if err != nil {
			return nil, err
		}
		return nil, h.explain(makeHelper(ctx, h.c, h.node, options))
	case len(jobs) == 0:
		return nil, nil // the news of it is on its way
	}
	if job := jobs[0]; job.DeletionTimestamp != nil || job.Status.CompletionTime != nil {
		h.made = false // it ends, and another one is needed
		return nil, nil
	}
	if len(pods) == 0 {
		return nil, h.refused(ctx, jobs[0])
	}
	return nil, h.diagnose(pods)
}

// refused says why the API server admits no pod of a helper that has none, such as a
// quota that another helper has used up; nil if it admits one.
func (h *helperClient) refused(ctx context.Context, job *batchv1.Job) error {
	const noPod = "no pod"
	if h.since[noPod].IsZero() {
		h.since[noPod] = time.Now()
	}
	if h.agent == nil || time.Since(h.since[noPod]) < refusedAfter {
		return nil
	}
	err := checkAdmission(ctx, h.c, job.DeepCopy())
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return fmt.Errorf("its helper is refused: %w", err)
	}
	return nil
}

// explain says what to do if an experiment in the cluster may not make a helper. It
// must not be given the right: that is root on the node.
func (h *helperClient) explain(err error) error {
	if !h.c.Inside() || !apierrors.IsForbidden(err) {
		return err
	}
	return kubeapi.WithNextStep(errors.New("the node has no helper, and this pod's account may not make one"),
		"a detached experiment uses the helpers that 'run --detach' made on the nodes of that time: start it again")
}

// diagnose says why the helper will not start; nil while it may.
func (h *helperClient) diagnose(pods []*corev1.Pod) error {
	for _, p := range pods {
		d := watch.DiagnosePod(p)
		if d == nil {
			continue
		}
		if h.agent == nil && d.Crashed == "" {
			return errNoHelper // it has never run, so nothing acts
		}
		if h.since[d.Key].IsZero() {
			h.since[d.Key] = time.Now()
		}
		if time.Since(h.since[d.Key]) >= d.Patience {
			return fmt.Errorf("its helper, which faults on networks and resources need, does not start: %s", d.Text)
		}
	}
	return nil
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

// late says why the helper has not taken the request in time.
func (h *helperClient) late(ctx context.Context, pods []*corev1.Pod) error {
	asking, cancel := context.WithTimeout(ctx, runner.RequestTimeout/2)
	defer cancel()
	if ready := (*notReadyError)(nil); errors.As(checkNode(asking, h.c, h.node), &ready) {
		return fmt.Errorf("its helper did not take the order within %v: %w", runner.HelperTimeout, ready)
	}
	why := "no pod was made for it"
	if h.last != nil {
		why = h.last.Error()
	} else if len(pods) > 0 {
		why = "its pod is not running"
		if d := watch.DiagnosePod(pods[0]); d != nil {
			why = d.Text
		}
	}
	return fmt.Errorf("its helper did not take the order within %v: %s; 'kubectl -n %s describe job,pod -l %s' shows more",
		runner.HelperTimeout, why, Namespace, NodeSelector(h.node))
}

// try sends the request to the helper in a pod. It is not done if another try may
// help.
func (h *helperClient) try(ctx context.Context, pod *corev1.Pod, r request) (done bool, err error) {
	address, err := helperAddress(ctx, h.c, pod)
	if err != nil {
		return !apierrors.IsNotFound(err), err
	}
	if done, err = h.send(ctx, address, r); done && err == nil {
		h.known.put(h.node, address)
	}
	return done, err
}

func (h *helperClient) send(ctx context.Context, to kubeapi.PodAddress, r request) (done bool, err error) {
	err = h.c.Control(ctx, to, r.method, r.path, r.body, r.answer)
	if refused := (&controlhttp.StatusError{}); errors.As(err, &refused) {
		return isFinal(refused), err
	}
	return err == nil || len(kubeapi.MissingRights(err)) > 0, err
}

// Addresses remembers where the helpers of nodes have answered, so that the next
// request goes there at once. Its methods may be called at the same time, and on
// nil, which remembers nothing.
type Addresses struct {
	mu     sync.Mutex
	byNode map[string]kubeapi.PodAddress
}

func (a *Addresses) get(node string) (address kubeapi.PodAddress, ok bool) {
	if a == nil {
		return kubeapi.PodAddress{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	address, ok = a.byNode[node]
	return address, ok
}

func (a *Addresses) put(node string, address kubeapi.PodAddress) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byNode == nil {
		a.byNode = map[string]kubeapi.PodAddress{}
	}
	a.byNode[node] = address
}

func (a *Addresses) forget(node string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byNode, node)
}

// isFinal reports whether the helper itself has answered, so that another try would
// get the same answer. If the API server does not reach the helper, or has no such
// pod, it answers with a Status. A helper that is ending answers that it is
// unavailable.
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
