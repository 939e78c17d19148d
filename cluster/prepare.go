package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A place is where a system goes, and what is there.
type place struct {
	namespace string
	// ours is set where the namespace was made, or is to be made, for the
	// system; there says that it exists.
	ours, there bool
	// runs is set where the system is there already.
	runs  bool
	token string
	// monitored is set where the system gets a PodMonitor.
	monitored bool
}

// namespaceOf returns the namespace of a system; explicit is unset where nobody
// has named it.
func (c *Cluster) namespaceOf(system *topology.System) (namespace string, explicit bool) {
	switch {
	case c.config.Namespace != "":
		return c.config.Namespace, true
	case system.Namespace != "":
		return system.Namespace, true
	}
	return system.Name, false
}

// prepare looks at the place where a system is to go. It changes nothing.
func (c *Cluster) prepare(ctx context.Context, system *topology.System) (*place, error) {
	p := &place{token: newToken()}
	var explicit bool
	p.namespace, explicit = c.namespaceOf(system)
	ns, err := c.settledNamespace(ctx, p.namespace)
	switch {
	case apierrors.IsForbidden(err):
		// Users of a single namespace may not look at it, either. It is there,
		// or the first object says that it is not.
		p.there = true
	case err != nil:
		return nil, err
	case ns == nil:
		p.ours = true
		return p, nil
	default:
		p.there, p.ours = true, madeFor(ns, system.Name)
		if !p.ours && !explicit && !madeByUs(ns) {
			return nil, fmt.Errorf("the namespace %q is there already and was not made for it; to use it, write -n %s", p.namespace, p.namespace)
		}
	}
	return p, c.lookAround(ctx, system, p)
}

func madeByUs(ns *corev1.Namespace) bool {
	return ns.Labels[manifest.ManagedByLabel] == manifest.ManagedBy
}

func madeFor(ns *corev1.Namespace, system string) bool {
	return madeByUs(ns) && ns.Labels[manifest.SystemLabel] == system
}

// settledNamespace returns the namespace, or nil where there is none. One that
// is being deleted is waited for.
func (c *Cluster) settledNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	ns, err := c.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if ns.DeletionTimestamp == nil {
		return ns, nil
	}
	c.config.Progress(fmt.Sprintf("namespace/%s is being deleted; waiting until it is gone", name))
	waiting, cancel := context.WithTimeout(ctx, c.config.ReadyTimeout)
	defer cancel()
	if err := c.namespaceGone(waiting, name); err != nil {
		return nil, fmt.Errorf("waiting until the namespace %q, which is being deleted, is gone: %w; 'kubectl get namespace %s -o yaml' shows what holds it", name, err, name)
	}
	return nil, nil
}

func (c *Cluster) namespaceGone(ctx context.Context, name string) error {
	only := func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + name }
	lw := cache.NewFilteredListWatchFromClient(c.client.CoreV1().RESTClient(), "namespaces", "", only)
	return until(ctx, lw, &corev1.Namespace{}, func(s cache.Store) bool { return len(s.ListKeys()) == 0 })
}

// lookAround finds out whether the system runs in a namespace that exists, and
// whether objects of others have the names that it needs.
func (c *Cluster) lookAround(ctx context.Context, system *topology.System, p *place) error {
	taken := map[string]bool{}
	for i := range system.Services {
		taken[system.Services[i].Name] = true
	}
	own := manifest.ObjectName(system.Name)
	var clashes []string
	see := func(kind string, o metav1.Object) {
		if belongs(o, system.Name) {
			p.runs = true
			return
		}
		name := o.GetName()
		serves := kind == "deployment" || kind == "service"
		if serves && taken[name] || !serves && (name == own || strings.HasPrefix(name, own+"-spec-")) {
			clash := kind + "/" + name
			if of := o.GetLabels()[manifest.SystemLabel]; of != "" {
				clash += " of system " + of
			}
			clashes = append(clashes, clash)
		}
	}
	if err := c.eachOpenObject(ctx, p.namespace, metav1.ListOptions{}, see); err != nil {
		return err
	}
	secret, err := c.client.CoreV1().Secrets(p.namespace).Get(ctx, own, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	default:
		see("secret", secret)
		if token := secret.Data[manifest.TokenKey]; belongs(secret, system.Name) && len(token) > 0 {
			p.token = string(token)
		}
	}
	if len(clashes) > 0 {
		slices.Sort(clashes)
		return fmt.Errorf("the namespace %q has objects of others with the names that it needs: %s; choose another namespace with -n, or rename the services", p.namespace, strings.Join(clashes, ", "))
	}
	return nil
}

// belongs reports whether an object was made for a system.
func belongs(o metav1.Object, system string) bool {
	return o.GetLabels()[manifest.ManagedByLabel] == manifest.ManagedBy && o.GetLabels()[manifest.SystemLabel] == system
}

// eachObject calls see for each object, of the kinds that systems are made of,
// in a namespace. An empty namespace means all of them.
func (c *Cluster) eachObject(ctx context.Context, namespace string, list metav1.ListOptions, see func(kind string, o metav1.Object)) error {
	failed := c.eachOpenObject(ctx, namespace, list, see)
	l, err := c.client.CoreV1().Secrets(namespace).List(ctx, list)
	if err != nil {
		return errors.Join(failed, err)
	}
	for i := range l.Items {
		see("secret", &l.Items[i])
	}
	return failed
}

// eachOpenObject is eachObject without Secrets, which not everybody may list.
func (c *Cluster) eachOpenObject(ctx context.Context, namespace string, list metav1.ListOptions, see func(kind string, o metav1.Object)) error {
	core, apps := c.client.CoreV1(), c.client.AppsV1()
	var failed []error
	if l, err := apps.Deployments(namespace).List(ctx, list); err != nil {
		failed = append(failed, err)
	} else {
		for i := range l.Items {
			see("deployment", &l.Items[i])
		}
	}
	if l, err := core.Services(namespace).List(ctx, list); err != nil {
		failed = append(failed, err)
	} else {
		for i := range l.Items {
			see("service", &l.Items[i])
		}
	}
	if l, err := core.ConfigMaps(namespace).List(ctx, list); err != nil {
		failed = append(failed, err)
	} else {
		for i := range l.Items {
			see("configmap", &l.Items[i])
		}
	}
	// Who may not look at Jobs has made none. Those of others are known by their
	// pods.
	if l, err := c.client.BatchV1().Jobs(namespace).List(ctx, list); err != nil && !apierrors.IsForbidden(err) {
		failed = append(failed, err)
	} else if err == nil {
		for i := range l.Items {
			see("job", &l.Items[i])
		}
	}
	return errors.Join(failed...)
}
