package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Target is where a system goes, and what is there.
type Target struct {
	Namespace string
	// ours is set where the namespace was made, or is to be made, for the
	// system; there says that it exists.
	Ours, There bool
	// runs is set where the system is there already.
	Runs  bool
	Token string
	// PullSecret is the name of the Secret with which nodes pull the images of the
	// system; empty means none.
	PullSecret string
	// pullCopy is that Secret if it has to be copied to the namespace.
	pullCopy Object
	// monitored is set where the system gets a PodMonitor.
	Monitored bool
}

// NamespaceOf returns the namespace of a system; explicit is unset where nobody
// has named it.
func NamespaceOf(c *kubeapi.Client, system *topology.System) (namespace string, explicit bool) {
	switch {
	case c.Config.Namespace != "":
		return c.Config.Namespace, true
	case system.Namespace != "":
		return system.Namespace, true
	}
	return system.Name, false
}

// PrepareTarget looks at the place where a system is to go. It changes nothing.
func PrepareTarget(ctx context.Context, c *kubeapi.Client, system *topology.System) (*Target, error) {
	p := &Target{Token: kubeapi.NewToken()}
	var explicit bool
	p.Namespace, explicit = NamespaceOf(c, system)
	ns, err := watch.SettledNamespace(ctx, c, p.Namespace)
	switch {
	case apierrors.IsForbidden(err):
		// Users of a single namespace may not look at it, either. It is there,
		// or the first object says that it is not.
		p.There = true
	case err != nil:
		return nil, err
	case ns == nil:
		p.Ours = true
		return p, findPullSecret(ctx, c, system.Name, p)
	default:
		p.There, p.Ours = true, watch.MadeFor(ns, system.Name)
		if !p.Ours && !explicit && !watch.MadeByUs(ns) {
			return nil, fmt.Errorf("the namespace %q is there already and was not made for it; to use it, write -n %s", p.Namespace, p.Namespace)
		}
	}
	if err := inspectNamespace(ctx, c, system, p); err != nil {
		return nil, err
	}
	return p, findPullSecret(ctx, c, system.Name, p)
}

// WithPullSecret adds the Secret for pulling images to the objects of a place where it has
// to be copied to.
func (p *Target) WithPullSecret(objects []Object) []Object {
	if p.pullCopy == nil {
		return objects
	}
	return append(objects, p.pullCopy)
}

// inspectNamespace finds out whether the system runs in a namespace that exists, and
// whether objects of others have the names that it needs.
func inspectNamespace(ctx context.Context, c *kubeapi.Client, system *topology.System, p *Target) error {
	taken := map[string]bool{}
	for i := range system.Services {
		taken[system.Services[i].Name] = true
	}
	own := manifest.ObjectName(system.Name)
	var clashes []string
	see := func(kind string, o metav1.Object) {
		if belongs(o, system.Name) {
			p.Runs = true
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
	if err := eachOpenObject(ctx, c, p.Namespace, metav1.ListOptions{}, see); err != nil {
		return err
	}
	secret, err := c.Clientset.CoreV1().Secrets(p.Namespace).Get(ctx, own, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	default:
		see("secret", secret)
		if token := secret.Data[manifest.TokenKey]; belongs(secret, system.Name) && len(token) > 0 {
			p.Token = string(token)
		}
	}
	if len(clashes) > 0 {
		slices.Sort(clashes)
		return fmt.Errorf("the namespace %q has objects of others with the names that it needs: %s; choose another namespace with -n, or rename the services", p.Namespace, strings.Join(clashes, ", "))
	}
	return nil
}

// belongs reports whether an object was made for a system.
func belongs(o metav1.Object, system string) bool {
	return o.GetLabels()[manifest.ManagedByLabel] == manifest.ManagedBy && o.GetLabels()[manifest.SystemLabel] == system
}

// eachObject calls see for each object, of the kinds that systems are made of,
// in a namespace. An empty namespace means all of them.
func eachObject(ctx context.Context, c *kubeapi.Client, namespace string, list metav1.ListOptions, see func(kind string, o metav1.Object)) error {
	failed := eachOpenObject(ctx, c, namespace, list, see)
	l, err := c.Clientset.CoreV1().Secrets(namespace).List(ctx, list)
	if err != nil {
		return errors.Join(failed, err)
	}
	for i := range l.Items {
		see("secret", &l.Items[i])
	}
	return failed
}

// eachOpenObject is eachObject without Secrets, which not everybody may list.
func eachOpenObject(ctx context.Context, c *kubeapi.Client, namespace string, list metav1.ListOptions, see func(kind string, o metav1.Object)) error {
	core, apps := c.Clientset.CoreV1(), c.Clientset.AppsV1()
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
	// A caller that may not list Jobs has created none. Jobs of others are found by
	// their pods.
	if l, err := c.Clientset.BatchV1().Jobs(namespace).List(ctx, list); err != nil && !apierrors.IsForbidden(err) {
		failed = append(failed, err)
	} else if err == nil {
		for i := range l.Items {
			see("job", &l.Items[i])
		}
	}
	return errors.Join(failed...)
}
