// Package loadjob generates load in pods of a cluster.
package loadjob

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/apply"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
)

// MaxPods bounds the pods of one load.
const MaxPods = 100

// A Loader generates load in pods of the cluster, with a Job for each load. The
// measurements of the pods come through the API server; the load itself goes
// directly to the system.
type Loader struct {
	// Changes, where it is not nil, are passed on to the load that runs.
	Changes <-chan Change
	// TraceSample is the share of the requests whose traces are kept in any case, which is
	// that of the services; 0 makes no spans.
	TraceSample float64
	// Remedy, if it is not nil, gets the command that removes what is made
	// for the load, before anything is.
	Remedy func(command string)

	c    *kubeapi.Client
	pods int
	// namespace is where the Job goes; empty means that of the target's system or,
	// where there is none, one that is made for the load.
	namespace string
	// running is the load that was prepared last.
	running atomic.Pointer[runningLoad]
}

// A Change is one of a load that runs.
type Change struct {
	Factors control.LoadFactors
	// Made, if it is not nil, is told when all pods send the new load, or why not.
	Made func(error)
}

var (
	_ runner.Loader       = (*Loader)(nil)
	_ runner.LoadPreparer = (*Loader)(nil)
)

// New generates load in as many pods as given. An empty namespace means that
// of the target's system.
func New(c *kubeapi.Client, namespace string, pods int) *Loader {
	return &Loader{c: c, pods: pods, namespace: namespace}
}

// Load implements runner.Loader.
func (l *Loader) Load(ctx context.Context, profile load.Profile, target runner.LoadTarget, observe func(measure.Outcome)) (report *result.LoadReport, err error) {
	prepared, err := l.Prepare(ctx, profile, target)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, prepared.Close(context.WithoutCancel(ctx))) }()
	return prepared.Load(ctx, observe)
}

// Prepare implements runner.LoadPreparer: the pods run and wait to be started.
func (l *Loader) Prepare(ctx context.Context, profile load.Profile, target runner.LoadTarget) (runner.PreparedLoad, error) {
	job, err := l.job(profile, target)
	if err != nil {
		return nil, err
	}
	r := &runningLoad{
		c: l.c, token: kubeapi.NewToken(), count: l.pods, changes: l.Changes,
		image: l.c.Config.Image, pullPolicy: l.c.Config.PullPolicy, pullSecret: l.c.Config.PullSecret.Name,
	}
	suffix := strings.ToLower(rand.Text()[:6])
	switch {
	case target.System == nil || target.System.Name == "":
		r.system = "load-" + suffix
		var explicit bool
		r.namespace, explicit = apply.NamespaceOf(l.c, &topology.System{Name: r.system})
		r.ownNamespace = !explicit
	case l.namespace != "":
		r.system, r.namespace = target.System.Name, l.namespace
	default:
		r.system = target.System.Name
		r.namespace, _ = apply.NamespaceOf(l.c, target.System)
	}
	// A Job gives its name to a label, so the system, whose name is as long as it
	// likes, is not a part of it.
	r.name = cmp.Or(l.c.Config.LoadName, manifest.ObjectName("load-"+suffix))
	if err := r.findImage(ctx); err != nil {
		return nil, err
	}
	if l.Remedy != nil {
		l.Remedy(r.remedy())
	}
	if err := r.start(ctx, job); err != nil {
		err = fmt.Errorf("starting %s for the load in namespace %q: %w", unit.Count(l.pods, "pod"), r.namespace, kubeapi.Explain(err))
		return nil, errors.Join(err, r.Close(context.WithoutCancel(ctx)))
	}
	l.running.Store(r)
	return r, nil
}

// Generators is how many pods generate the load; 0 before it was prepared, and if no spans
// are wanted.
func (l *Loader) Generators() int {
	if r := l.running.Load(); r != nil && l.TraceSample > 0 {
		return r.count
	}
	return 0
}

// Spans asks one of the pods for the spans of the requests that it has sent.
func (l *Loader) Spans(ctx context.Context, generator int, q control.SpanQuery) (spans control.Spans, err error) {
	r := l.running.Load()
	if r == nil || generator >= r.count {
		return spans, fmt.Errorf("asking the load for spans: there is no generator %d", generator)
	}
	err = r.c.Control(ctx, r.address(generator), http.MethodPost, control.LoadSpansPath, q, &spans)
	return spans, kubeapi.Explain(err)
}

// job describes the load for its pods.
func (l *Loader) job(profile load.Profile, target runner.LoadTarget) ([]byte, error) {
	if l.pods < 1 || l.pods > MaxPods {
		return nil, fmt.Errorf("checking the load: %d pods cannot generate it: 1 to %d can", l.pods, MaxPods)
	}
	job := remote.Job{Seed: target.Seed, Of: l.pods, URLs: map[string][]string{}, TraceSample: l.TraceSample}
	if target.System != nil {
		if len(profile.Requests) == 0 {
			for _, name := range target.System.Entries() {
				profile.Requests = append(profile.Requests, load.Request{Service: name})
			}
		}
		job.System.Name = target.System.Name
		for i := range target.System.Services {
			s := &target.System.Services[i]
			short := topology.Service{Name: s.Name, URL: s.URL}
			for _, e := range s.Endpoints {
				short.Endpoints = append(short.Endpoints, topology.Endpoint{Method: e.Method, Path: e.Path})
			}
			job.System.Services = append(job.System.Services, short)
			if s.Replicas > 0 {
				job.URLs[s.Name] = []string{manifest.BaseURL(s)}
			}
		}
	}
	job.Profile = profile.WithDefaults()
	if err := job.Profile.Validate().Err(); err != nil {
		return nil, fmt.Errorf("checking the load: %w", err)
	}
	text, err := json.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("describing the load: %w", err)
	}
	return text, nil
}

// A runningLoad is the Job of one load with its pods.
type runningLoad struct {
	c                              *kubeapi.Client
	system, namespace, name, token string
	ownNamespace                   bool
	count                          int
	changes                        <-chan Change
	image                          string
	pullPolicy                     corev1.PullPolicy
	pullSecret                     string
	// pods are by the index of their share.
	pods []*corev1.Pod
}

func (r *runningLoad) address(i int) kubeapi.PodAddress {
	return kubeapi.PodAddress{Namespace: r.namespace, Name: r.pods[i].Name, Token: r.token}
}

// findImage takes the image of the system where none is given.
func (r *runningLoad) findImage(ctx context.Context) error {
	if s := r.c.Config.PullSecret; s.Name != "" && !r.ownNamespace && !r.c.Inside() {
		s.From = r.namespace
		if _, err := r.c.PullSecret(ctx, s); err != nil {
			return err
		}
	}
	if r.image != "" {
		return nil
	}
	list, err := r.c.Clientset.AppsV1().Deployments(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.Selector(r.system)})
	if err != nil {
		return fmt.Errorf("finding the agent's image: %w", kubeapi.Explain(err))
	}
	r.pullSecret = cmp.Or(r.pullSecret, manifest.PullSecretOf(list.Items))
	if r.image, r.pullPolicy = manifest.AgentOf(list.Items); r.image == "" {
		return fmt.Errorf("finding the agent's image: system %q has no Deployment that has it; name one with --image", r.system)
	}
	return nil
}

// start makes the objects, and returns when the generators wait for the start.
func (r *runningLoad) start(ctx context.Context, job []byte) error {
	objects, err := manifest.BuildLoad(manifest.LoadOptions{
		Name: r.name, System: r.system, Namespace: r.namespace, CreateNamespace: r.ownNamespace,
		Image: r.image, PullPolicy: r.pullPolicy, PullSecret: r.pullSecret, Pods: r.count, Token: r.token, Job: job,
	})
	if err != nil {
		return err
	}
	if r.ownNamespace {
		secret, err := apply.PullSecretIn(ctx, r.c, r.system, r.namespace)
		if err != nil {
			return err
		}
		if secret != nil {
			objects = append(objects, secret)
		}
	}
	started := time.Now()
	if err := apply.Apply(ctx, r.c, objects); err != nil {
		return err
	}
	if err := r.tieSecret(ctx); err != nil {
		return err
	}
	if err := r.awaitPods(ctx); err != nil {
		return err
	}
	r.c.Config.Progress(fmt.Sprintf("job/%s ready to generate load (%s, %.1fs)", r.name, unit.Count(r.count, "pod"), time.Since(started).Seconds()))
	return nil
}

// tieSecret lets the Secret go with the Job, which goes by itself some time after
// its end where nobody deletes it.
func (r *runningLoad) tieSecret(ctx context.Context) error {
	job, err := r.c.Clientset.BatchV1().Jobs(r.namespace).Get(ctx, r.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	owner := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":%q,"uid":%q}]}}`, job.Name, job.UID)
	_, err = r.c.Clientset.CoreV1().Secrets(r.namespace).Patch(ctx, r.name, types.StrategicMergePatchType, []byte(owner), metav1.PatchOptions{})
	return err
}

// Close deletes what was made for the load, and waits until it is gone. The end
// of ctx bounds the waiting, not the deleting.
func (r *runningLoad) Close(ctx context.Context) error {
	r.dismiss(ctx)
	var err error
	if r.ownNamespace {
		err = apply.TakeDown(ctx, r.c, r.system, r.namespace)
	} else {
		err = r.remove(ctx)
	}
	if err == nil {
		return nil
	}
	left := fmt.Sprintf("job %q in namespace %q", r.name, r.namespace)
	return &runner.CleanupError{Left: []string{left}, Err: kubeapi.Explain(err), Remedy: "run '" + r.remedy() + "'"}
}

// remedy is the command that removes what was made for the load.
func (r *runningLoad) remedy() string {
	if r.ownNamespace {
		return "kubectl delete namespace " + r.namespace
	}
	return fmt.Sprintf("kubectl -n %s delete job,secret -l %s=%s", r.namespace, manifest.LoadLabel, r.name)
}

// remove deletes the Job, its pods and its Secret, and nothing else of the
// system.
func (r *runningLoad) remove(ctx context.Context) error {
	deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), apply.DeleteTimeout)
	defer cancel()
	err := r.c.Clientset.BatchV1().Jobs(r.namespace).Delete(deleting, r.name, metav1.DeleteOptions{PropagationPolicy: kubeapi.Background()})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	list := metav1.ListOptions{LabelSelector: r.selector()}
	soon := int64(1)
	if err := r.c.Clientset.CoreV1().Pods(r.namespace).DeleteCollection(deleting, metav1.DeleteOptions{GracePeriodSeconds: &soon}, list); err != nil {
		return err
	}
	err = r.c.Clientset.CoreV1().Secrets(r.namespace).Delete(deleting, r.name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, apply.GoneTimeout, fmt.Errorf("it was not gone after %v", apply.GoneTimeout))
	defer cancel()
	return apply.AwaitPodsGone(waiting, r.c, r.namespace, r.selector())
}

func (r *runningLoad) selector() string { return manifest.LoadSelector(r.system, r.name) }
