package faults

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// Do sends a request to a service of the system through the API server, which
// passes it on to one of its pods. The path, with a query, is that of the URL.
func (inst *Instance) Do(req *http.Request, service string) (*http.Response, error) {
	switch s := inst.System().Service(service); {
	case s == nil:
		return nil, fmt.Errorf("there is no service %q in system %q", service, inst.System().Name)
	case s.Kind.IsStore():
		return nil, fmt.Errorf("reaching service %q: it is a data store of kind %s, which speaks its own protocol; send the request to a service that calls it, or connect to it through 'kubectl port-forward'", service, s.Kind)
	case s.URL != "":
		return nil, fmt.Errorf("reaching service %q: its url %s is not in the cluster, so the API server does not lead there; send the request to a service that calls it", service, s.URL)
	}
	to, err := inst.Client.ProxyURL("services", inst.namespace, fmt.Sprintf("http:%s:%d", service, manifest.ServicePort), req.URL.RequestURI())
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("making the address of service %q: %w", service, err)
	}
	req = req.Clone(req.Context())
	req.URL, req.Host = u, ""
	resp, err := inst.Client.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reaching service %q through the API server: %w", service, kubeapi.Explain(err))
	}
	if said := kubeapi.ServerSaid(resp); said != "" {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, kubeapi.MaxStatus))
		resp.Body.Close()
		if denied := kubeapi.Denied(text); denied != nil {
			return nil, fmt.Errorf("reaching service %q through the API server: %w", service, kubeapi.Explain(denied))
		}
		return nil, fmt.Errorf("reaching service %q through the API server: it answers %s: %s", service, resp.Status, said)
	}
	return resp, nil
}

// control sends a control request to a pod of a service, and reads the answer where one is
// wanted.
func (inst *Instance) control(ctx context.Context, service, pod, method, path string, body, answer any) error {
	token, err := inst.tokenOf(ctx)
	if err != nil {
		return err
	}
	to := kubeapi.PodAddress{Namespace: inst.namespace, Name: pod, Token: token}
	if s := inst.System().Service(service); s != nil {
		to.Port = manifest.ControlPortOf(s)
	}
	return inst.Client.Control(ctx, to, method, path, body, answer)
}

// Describe lets a pod follow a description of its service from now on.
func (inst *Instance) Describe(ctx context.Context, service, pod string, d *control.Description) error {
	return inst.control(ctx, service, pod, http.MethodPut, control.ServicePath, d, nil)
}

// Serving asks a pod which description of its service it follows.
func (inst *Instance) Serving(ctx context.Context, service, pod string) (now control.Serving, err error) {
	err = inst.control(ctx, service, pod, http.MethodGet, control.ServicePath, nil, &now)
	return now, err
}

// tokenOf returns the system's token, from its Secret when it is not known yet. No
// lock is held while the API server is asked: callers that come at the same time
// may each ask, and get the same answer.
func (inst *Instance) tokenOf(ctx context.Context) (string, error) {
	inst.mu.Lock()
	token := inst.token
	inst.mu.Unlock()
	if token != "" {
		return token, nil
	}
	secret, err := inst.Client.Clientset.CoreV1().Secrets(inst.namespace).Get(ctx, manifest.ObjectName(inst.System().Name), metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the token of system %q: %w", inst.System().Name, kubeapi.Explain(err))
	}
	token = string(secret.Data[manifest.TokenKey])
	inst.mu.Lock()
	defer inst.mu.Unlock()
	inst.token = token
	return token, nil
}

// unreachable asks a pod for the services that it does not reach. Those without
// replicas are not counted.
func (inst *Instance) unreachable(ctx context.Context, pod string) ([]string, error) {
	var missing []string
	if err := inst.control(ctx, "", pod, http.MethodGet, control.UnreachablePath, nil, &missing); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(missing, func(name string) bool {
		s := inst.System().Service(name)
		return s == nil || s.Replicas == 0
	}), nil
}

// Connected returns when every service can be reached from every node with a pod
// of the system.
func (inst *Instance) Connected(ctx context.Context) error {
	pods, err := inst.Pods(ctx)
	if err != nil {
		return err
	}
	// Other programs cannot tell.
	maps.DeleteFunc(pods, func(name string, _ []*corev1.Pod) bool {
		s := inst.System().Service(name)
		if s == nil {
			return false
		}
		_, other := s.Foreign()
		return other || s.Kind.IsStore() || !s.ObeysContract()
	})
	return watch.AwaitConnected(ctx, pods, inst.unreachable)
}
