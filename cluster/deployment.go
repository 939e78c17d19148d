package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/detached"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A Deployment is a system on a cluster, as the file that it was made from
// describes it.
type Deployment struct {
	*faults.Instance
	seed    uint64
	created time.Time
	// uid is that of the ConfigMap that describes the system; empty if this program has
	// brought it up.
	uid types.UID
	// updating is held while the system is made another one.
	updating sync.Mutex
}

var _ runner.Deployment = (*Deployment)(nil)

// A NotFoundError says that no such system runs.
type NotFoundError struct {
	Name, Namespace string
	c               *kubeapi.Client
}

func (e *NotFoundError) Error() string {
	where := "the cluster"
	if e.Namespace != "" {
		where = fmt.Sprintf("namespace %q", e.Namespace)
	}
	if e.Name == "" {
		return "no system runs in " + where + "; " + e.c.Command("up", "-f", "FILE") + " starts one"
	}
	return fmt.Sprintf("no system %q runs in %s; %s lists those that do", e.Name, where, e.c.Command("status"))
}

// Find returns a system that runs. Without a name the only one there is is
// meant.
func (c *Cluster) Find(ctx context.Context, name string) (*Deployment, error) {
	all, err := c.Systems(ctx)
	if err != nil {
		return nil, err
	}
	if name != "" {
		all = slices.DeleteFunc(all, func(d *Deployment) bool { return d.System().Name != name })
	}
	switch {
	case len(all) == 0:
		return nil, &NotFoundError{name, c.Config.Namespace, c.Client}
	case len(all) > 1:
		var places []string
		for _, d := range all {
			places = append(places, d.Namespace()+"/"+d.System().Name)
		}
		return nil, fmt.Errorf("%d systems could be meant (%s): name one, and its namespace with -n", len(all), strings.Join(places, ", "))
	}
	return all[0], nil
}

// Systems lists the systems that run, by namespace and name.
func (c *Cluster) Systems(ctx context.Context) ([]*Deployment, error) {
	configs, err := c.Clientset.CoreV1().ConfigMaps(c.Config.Namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.SelectorAll()})
	if err != nil {
		return nil, fmt.Errorf("looking for systems: %w", kubeapi.Explain(err))
	}
	var all []*Deployment
	for i := range configs.Items {
		config := &configs.Items[i]
		name := config.Labels[manifest.SystemLabel]
		if config.Name != manifest.ObjectName(name) {
			continue
		}
		d, err := c.restore(config)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *Deployment) int {
		return cmp.Or(cmp.Compare(a.Namespace(), b.Namespace()), cmp.Compare(a.System().Name, b.System().Name))
	})
	return all, nil
}

// restore reads a system from the ConfigMap that describes it.
func (c *Cluster) restore(config *corev1.ConfigMap) (*Deployment, error) {
	where := fmt.Sprintf("the ConfigMap %s/%s", config.Namespace, config.Name)
	docs, err := spec.Read(where, strings.NewReader(config.Data[manifest.SystemKey]))
	if err != nil {
		return nil, fmt.Errorf("reading the system in %s: %w", where, err)
	}
	systems := docs.Systems()
	if len(systems) != 1 {
		return nil, fmt.Errorf("reading the system in %s: it has %d systems in place of one", where, len(systems))
	}
	seed, err := strconv.ParseUint(config.Data[manifest.SeedKey], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reading the seed in %s: %w", where, err)
	}
	return &Deployment{
		Instance: faults.NewInstance(c.Client, systems[0], config.Namespace, ""), seed: seed, created: config.CreationTimestamp.Time, uid: config.UID,
	}, nil
}

// Described returns the system as the cluster describes it now, which another program may
// have changed. The Deployment follows that description only after SetSystem.
func (d *Deployment) Described(ctx context.Context) (*topology.System, error) {
	name := d.System().Name
	config, err := d.Client.Clientset.CoreV1().ConfigMaps(d.Namespace()).Get(ctx, manifest.ObjectName(name), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, &NotFoundError{name, d.Namespace(), d.Client}
	case err != nil:
		return nil, fmt.Errorf("asking what system %q is: %w", name, kubeapi.Explain(err))
	}
	now, err := (&Cluster{d.Client}).restore(config)
	if err != nil {
		return nil, err
	}
	return now.System(), nil
}

// Replaces reports whether this system, which was found, runs in place of another of its
// name, which was found earlier and has been taken down since.
func (d *Deployment) Replaces(earlier *Deployment) bool {
	return d.Namespace() != earlier.Namespace() || d.uid != earlier.uid
}

// A Status describes a system that runs on a cluster.
type Status struct {
	Name      string             `json:"name"`
	Namespace string             `json:"namespace"`
	Seed      uint64             `json:"seed"`
	Created   time.Time          `json:"created,omitzero"`
	Services  []ServiceStatus    `json:"services"`
	Faults    []runner.Injection `json:"faults"`
}

// A ServiceStatus describes a service of a system on a cluster.
type ServiceStatus struct {
	Name string        `json:"name"`
	Kind topology.Kind `json:"kind"`
	// Endpoint is the service's base URL inside the cluster.
	Endpoint string   `json:"endpoint"`
	Calls    []string `json:"calls"`
	Want     int      `json:"want"`
	Image    string   `json:"image,omitempty"`
	// Runtime is the program that serves the service, if it is not the agent.
	Runtime topology.RuntimeName `json:"runtime,omitempty"`
	// Engine is what answers the operations of a data store.
	Engine topology.Engine `json:"engine,omitempty"`
	// Own is set if the image is one of the file, whose program is not of this project.
	Own bool `json:"own,omitempty"`
	// URL is where a program answers that is not of this project, outside of the
	// system's pods.
	URL      string           `json:"url,omitempty"`
	Replicas []runner.Replica `json:"replicas"`
	// Trouble is why the service is not ready.
	Trouble string `json:"trouble,omitempty"`
}

// Status describes the system as it is now.
func (d *Deployment) Status(ctx context.Context) (*Status, error) {
	v, err := d.Look(ctx)
	if err != nil {
		return nil, err
	}
	deployments, err := d.deployments(ctx)
	if err != nil {
		return nil, err
	}
	faults, err := d.Active(ctx)
	if err != nil {
		return nil, err
	}
	lost, others := d.lostNodes(ctx, v.Pods), d.otherDescriptions(ctx, v.Pods)
	system := d.System() // a change may put another into its place
	s := &Status{Name: system.Name, Namespace: d.Namespace(), Seed: d.seed, Created: d.created, Services: []ServiceStatus{}, Faults: faults}
	for i := range system.Services {
		service := &system.Services[i]
		status := ServiceStatus{
			Name: service.Name, Kind: service.Kind, Endpoint: fmt.Sprintf("http://%s.%s", service.Name, d.Namespace()),
			Calls: append([]string{}, service.Calls()...), Want: service.Replicas, Replicas: d.ReplicasOf(service.Name, v),
		}
		if r, other := service.Foreign(); other {
			status.Runtime = r.Name
		}
		if service.Kind.IsStore() {
			status.Engine = service.StoreSettings().Engine
			status.Endpoint = fmt.Sprintf("%s://%s.%s", service.Kind, service.Name, d.Namespace())
		}
		deployment := deployments[service.Name]
		if service.URL != "" {
			status.Endpoint, status.URL, status.Want = service.URL, service.URL, 0
		} else if deployment == nil {
			status.Trouble = "its Deployment has been deleted; " + d.Client.Command("up", "-f", "FILE") + " makes it again"
		} else {
			status.Image, status.Own = deployment.Spec.Template.Spec.Containers[0].Image, service.Image != ""
			if t := watch.Diagnose(deployment, v.Pods[service.Name]); t != nil && !watch.Complete(deployment) {
				t.NameTaints(ctx, d.Client)
				status.Trouble = t.Text
			}
			status.Trouble = cmp.Or(status.Trouble, scaledDown(deployment, service.Replicas))
		}
		if pod := others[service.Name]; pod != "" {
			status.Trouble = cmp.Or(status.Trouble, fmt.Sprintf("pod %s does not follow the description of the service that was applied last; %s makes it follow", pod, d.Client.Command("up", "-f", "FILE")))
		}
		for i, p := range v.Pods[service.Name] {
			if why := lost[p.Spec.NodeName]; why != "" && status.Replicas[i].State == runner.Ready {
				status.Replicas[i].State = runner.Down
				status.Trouble = cmp.Or(status.Trouble, fmt.Sprintf("pod %s is on node %q, %s", p.Name, p.Spec.NodeName, why))
			}
		}
		s.Services = append(s.Services, status)
	}
	return s, nil
}

// scaledDown says that somebody else has taken replicas of a service away; "" if not. More of
// them, as an autoscaler makes, are no trouble.
func scaledDown(deployment *appsv1.Deployment, want int) string {
	if deployment.Spec.Replicas == nil || int(*deployment.Spec.Replicas) >= want {
		return ""
	}
	return fmt.Sprintf("its Deployment has been scaled to %d of the %s of the file, as by 'kubectl scale'", *deployment.Spec.Replicas, unit.Count(want, "replica"))
}

// lostNodes says of the nodes of pods, by name, why they cannot answer, if they cannot:
// a pod keeps saying that it is ready when its node is gone, until a controller has
// noticed. Nodes that the user may not look at are taken for ready.
func (d *Deployment) lostNodes(ctx context.Context, pods map[string][]*corev1.Pod) map[string]string {
	list, err := d.Client.Clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil
	}
	nodes := map[string]*corev1.Node{}
	for i := range list.Items {
		nodes[list.Items[i].Name] = &list.Items[i]
	}
	lost := map[string]string{}
	for _, all := range pods {
		for _, p := range all {
			name := p.Spec.NodeName
			if name == "" {
				continue
			}
			if node := nodes[name]; node == nil {
				lost[name] = "which is gone"
			} else if why, ready := nodehelper.Ready(node); !ready {
				lost[name] = "which is not ready: " + strings.TrimSuffix(why, ".")
			}
		}
	}
	return lost
}

// SystemOf describes the system of an experiment, as it is now; nil where it is
// not there.
func (c *Cluster) SystemOf(ctx context.Context, x *detached.Experiment) (*Status, error) {
	config, err := c.Clientset.CoreV1().ConfigMaps(x.Namespace).Get(ctx, manifest.ObjectName(x.System), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the system of experiment %q: %w", x.Name, kubeapi.Explain(err))
	}
	d, err := c.restore(config)
	if err != nil {
		return nil, err
	}
	return d.Status(ctx)
}
