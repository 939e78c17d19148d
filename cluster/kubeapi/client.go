// Package kubeapi speaks to the API server of a cluster: typed clients, requests
// to pods through the server, many calls at a time, and errors with the next step.
package kubeapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
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
	// RuntimeImage brings the image of a runtime other than the agent to the nodes, or to
	// a registry, and returns it; nil refuses systems that have others.
	RuntimeImage func(ctx context.Context, name topology.RuntimeName) (manifest.RuntimeImage, error)
	// StoreImage brings the image of microsim-store to the nodes, and returns its reference
	// and how it is pulled; nil refuses systems with data stores.
	StoreImage func(ctx context.Context) (string, corev1.PullPolicy, error)
	// FindImage finds the image, and how it is pulled, for helpers on pods that
	// are not of a system of ours. It is asked where one has to be made. Where it
	// is nil, Image is taken.
	FindImage func(ctx context.Context) (image string, policy corev1.PullPolicy, err error)
	// PullSecret is what nodes pull the images with; none is usual.
	PullSecret PullSecret
	// ServiceSpec makes the description that a service gets; see manifest.Options.
	ServiceSpec func(system *topology.System, service *topology.Service, seed uint64, peers manifest.Peers) ([]byte, error)
	// AgentArgs are further arguments of the agents that serve.
	AgentArgs []string
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
	// Progress gets what happens, line by line; it may be nil.
	Progress func(string)
	// Command is the command line of kubectl microsim with these words, for the same
	// cluster; where it is nil, that of the current context is meant.
	Command func(words ...string) string
}

// A Client speaks to the API server of a cluster.
type Client struct {
	Config    Config
	Clientset kubernetes.Interface
	// Monitoring is for PodMonitors.
	Monitoring rest.Interface
	// HTTP speaks to the API server as Clientset does.
	HTTP *http.Client
	// told are the lines that Once has reported; nil remembers none.
	told *sync.Map
}

// Command is the command line of kubectl microsim with these words, in quotes, for a user
// to type: without its flags, it might be about another cluster.
func (c *Client) Command(words ...string) string {
	if c.Config.Command != nil {
		return "'" + c.Config.Command(words...) + "'"
	}
	return "'kubectl microsim " + strings.Join(words, " ") + "'"
}

// Once reports a line as progress, unless it has reported it before.
func (c *Client) Once(line string) {
	if c.told != nil {
		if _, before := c.told.LoadOrStore(line, true); before {
			return
		}
	}
	c.Config.Progress(line)
}

// NewClient returns a Client. It sends no request before one of its methods is
// called.
func NewClient(c Config) (*Client, error) {
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
	c.REST.Wrap(bounded)
	httpClient, err := rest.HTTPClientFor(c.REST)
	if err != nil {
		return nil, unusable(c.REST, err)
	}
	// The transport adds the user's credentials to every request, also to one that an
	// answer of a pod would send to another server.
	httpClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if exec := c.REST.ExecProvider; exec != nil {
		httpClient.Transport = &awaited{next: httpClient.Transport, program: exec.Command, tell: c.Progress}
	}
	client, err := kubernetes.NewForConfigAndClient(c.REST, httpClient)
	if err != nil {
		return nil, unusable(c.REST, err)
	}
	monitoring, err := monitoringClient(c.REST, httpClient)
	if err != nil {
		return nil, unusable(c.REST, err)
	}
	return &Client{Config: c, Clientset: client, Monitoring: monitoring, HTTP: httpClient, told: &sync.Map{}}, nil
}

// unusable says why a cluster cannot be spoken to. The errors of client-go have the
// address in them, password included.
func unusable(config *rest.Config, err error) error {
	return fmt.Errorf("preparing to speak to the cluster at %q: %s", problem.CleanURL(config.Host), problem.CleanText(err.Error()))
}

// Inside reports whether this program runs in a pod of the cluster.
func (c *Client) Inside() bool { return c.Config.Inside }

// monitoringClient speaks of PodMonitors, for which there is no typed client
// here.
func monitoringClient(config *rest.Config, client *http.Client) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	config.GroupVersion = &schema.GroupVersion{Group: manifest.MonitoringGroup, Version: manifest.MonitoringVersion}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	return rest.RESTClientForConfigAndClient(config, client)
}
