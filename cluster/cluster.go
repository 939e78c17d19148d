// Package cluster runs systems on Kubernetes: it applies their objects, waits
// until their pods are ready or says why they are not, lets faults act in them,
// and deletes exactly what it made.
package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// FieldManager is the name under which fields of objects are ours.
const FieldManager = "microsim"

// Config says how systems are run on a cluster.
type Config struct {
	// REST reaches the cluster.
	REST *rest.Config
	// Namespace is where systems go and are looked for. Where it is empty, a
	// system goes to the namespace of its file, or to one of its own name that
	// is made for it, and all namespaces are looked through.
	Namespace string
	// Image is the image of microsim-agent.
	Image string
	// PullPolicy is IfNotPresent where it is empty.
	PullPolicy corev1.PullPolicy
	// FindImage finds the image, and how it is pulled, for helpers on pods that
	// are not of a system of ours. It is asked where one has to be made. Where it
	// is nil, Image is taken.
	FindImage func(ctx context.Context) (image string, policy corev1.PullPolicy, err error)
	// ServiceSpec makes what a service is told; see manifest.Options.
	ServiceSpec func(system *topology.System, service *topology.Service, seed uint64, peers manifest.Peers) ([]byte, error)
	// PodMonitor says whether systems get one, by which the operator of
	// Prometheus finds them; nil means where the cluster knows the kind.
	PodMonitor *bool
	// Inside says that this program runs in a pod of the cluster: then replicas
	// are reached at the addresses of their pods, without the API server.
	Inside bool
	// LoadName names the Jobs of loads, of which there is one at a time then; where
	// it is empty, each has a name of its own.
	LoadName string
	// CheckNetwork says why a fault on the network is not possible; nil takes
	// all of them.
	CheckNetwork func(*fault.Fault) error
	// ForceConflicts takes over fields that others have changed.
	ForceConflicts bool
	// ReadyTimeout bounds the wait for pods; 0 means 5 minutes.
	ReadyTimeout time.Duration
	// Progress is told what happens, line by line; it may be nil.
	Progress func(string)
}

// A Cluster runs systems on Kubernetes.
type Cluster struct {
	config Config
	client kubernetes.Interface
	// monitoring is for PodMonitors.
	monitoring rest.Interface
	// http speaks to the API server as client does.
	http *http.Client
}

var (
	_ experiment.Deployer = (*Cluster)(nil)
	_ experiment.Refuser  = (*Cluster)(nil)
)

// New returns a Cluster. Nothing is sent before one of its methods is called.
func New(c Config) (*Cluster, error) {
	// The API server shares its time out fairly by itself; a limit here would
	// only make a large system slow to apply.
	c.REST = rest.CopyConfig(c.REST)
	c.REST.QPS = -1
	c.ReadyTimeout = cmp.Or(c.ReadyTimeout, 5*time.Minute)
	if c.FindImage == nil {
		image, policy := c.Image, c.PullPolicy
		c.FindImage = func(context.Context) (string, corev1.PullPolicy, error) { return image, policy, nil }
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	// Warnings of the API server would go to a global logger.
	c.REST.WarningHandler = rest.NoWarnings{}
	httpClient, err := rest.HTTPClientFor(c.REST)
	if err != nil {
		return nil, fmt.Errorf("preparing to speak to the cluster at %q: %w", c.REST.Host, err)
	}
	client, err := kubernetes.NewForConfigAndClient(c.REST, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing to speak to the cluster at %q: %w", c.REST.Host, err)
	}
	monitoring, err := monitoringClient(c.REST, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing to speak to the cluster at %q: %w", c.REST.Host, err)
	}
	return &Cluster{config: c, client: client, monitoring: monitoring, http: httpClient}, nil
}

// Inside reports whether this program runs in a pod of the cluster.
func (c *Cluster) Inside() bool { return c.config.Inside }

// Deploy starts a system that does not run yet, holds it, and returns when it is
// ready. On an error nothing is left behind.
func (c *Cluster) Deploy(ctx context.Context, system *topology.System, seed uint64) (experiment.Deployment, error) {
	d, err := c.up(ctx, system, seed, false)
	if err != nil {
		return nil, err
	}
	if err := d.hold(); err != nil {
		return nil, errors.Join(err, d.Close(context.WithoutCancel(ctx)))
	}
	return d, nil
}

// Up makes the cluster what the file says: a system that does not run is
// started, one that runs is changed, and what its file no longer names is
// removed. It returns when all is ready. On an error nothing is left of a system
// that was started, and one that ran is left as it is then.
func (c *Cluster) Up(ctx context.Context, system *topology.System, seed uint64) (*Deployment, error) {
	return c.up(ctx, system, seed, true)
}

func (c *Cluster) up(ctx context.Context, system *topology.System, seed uint64, update bool) (*Deployment, error) {
	doing := fmt.Sprintf("bringing up system %q", system.Name)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	place, err := c.prepare(ctx, system)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, explain(err))
	}
	if place.runs && !update {
		return nil, fmt.Errorf("%s: it runs in namespace %q already; 'kubectl microsim down %s' takes it down", doing, place.namespace, system.Name)
	}
	objects, err := c.buildFor(ctx, system, seed, place)
	if err != nil {
		return nil, err
	}
	d := c.deployment(system, seed, place.namespace, place.token)
	started := time.Now()
	objects, monitor := splitMonitor(objects)
	err = c.apply(ctx, objects)
	if err == nil {
		err = c.applyMonitor(ctx, monitor)
	}
	if err == nil {
		c.config.Progress(fmt.Sprintf("%d objects applied in namespace %s (%.1fs)", len(objects), place.namespace, time.Since(started).Seconds()))
	}
	if err == nil && place.runs {
		err = c.prune(ctx, system.Name, place.namespace, objects)
	}
	if err == nil && place.runs && monitor == nil {
		err = c.deleteMonitors(ctx, place.namespace, metav1.ListOptions{LabelSelector: manifest.Selector(system.Name)})
	}
	if err == nil {
		err = c.awaitReady(ctx, system, place.namespace)
	}
	if err == nil {
		err = d.awaitConnected(ctx)
	}
	if err == nil {
		return d, nil
	}
	err = fmt.Errorf("%s in namespace %q: %w", doing, place.namespace, explain(err))
	if place.runs {
		return nil, fmt.Errorf("%w\nThe system was left as it is; 'kubectl microsim status %s' shows it", err, system.Name)
	}
	return nil, errors.Join(err, d.Close(context.WithoutCancel(ctx)))
}

func (c *Cluster) build(system *topology.System, seed uint64, place *place) ([]object, error) {
	return manifest.Build(system, manifest.Options{
		Namespace: place.namespace, CreateNamespace: place.ours, Image: c.config.Image, PullPolicy: c.config.PullPolicy,
		Seed: seed, Token: place.token, ServiceSpec: c.config.ServiceSpec, PodMonitor: place.monitored,
	})
}

// Plan returns the objects that Up would apply to a cluster that has nothing of
// the system. Nothing is sent.
func (c *Cluster) Plan(system *topology.System, seed uint64) ([]object, error) {
	namespace, explicit := c.namespaceOf(system)
	return c.build(system, seed, &place{
		namespace: namespace, ours: !explicit, token: newToken(), monitored: c.config.PodMonitor != nil && *c.config.PodMonitor,
	})
}

// Check has the API server check the objects that Up would apply, and returns
// them as it would store them. Objects in a namespace that is not there yet
// cannot be checked, and are returned as they are.
func (c *Cluster) Check(ctx context.Context, system *topology.System, seed uint64) ([]object, error) {
	place, err := c.prepare(ctx, system)
	if err != nil {
		return nil, fmt.Errorf("checking system %q: %w", system.Name, explain(err))
	}
	objects, err := c.buildFor(ctx, system, seed, place)
	if err != nil {
		return nil, err
	}
	checked, err := c.check(ctx, objects, place)
	if err != nil {
		return nil, fmt.Errorf("checking system %q: %w", system.Name, explain(err))
	}
	return checked, nil
}

// CanInject says, before a system is started, why a fault is not possible on a
// cluster.
func (c *Cluster) CanInject(f *fault.Fault) error { return c.canInject(nil, f) }

func (c *Cluster) checkNetwork(f *fault.Fault) error {
	if c.config.CheckNetwork == nil {
		return nil
	}
	return c.config.CheckNetwork(f)
}

func newToken() string { return rand.Text() }
