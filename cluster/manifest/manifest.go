// Package manifest plans the Kubernetes objects of a system. It is pure: the
// same system and options give the same objects, and nothing is sent anywhere.
package manifest

import (
	"errors"
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// The ports of every pod: that of the endpoints, and that of health, metrics and
// control, which neither a fault nor a full accept queue blocks.
const (
	HTTPPort    = 8080
	ControlPort = 8081
	// ServicePort is the port of a Service, so that http://cart reaches cart.
	ServicePort = 80
)

// Peers are the base URLs of each service of a system, by name.
type Peers map[string][]string

// Options say how a system is to be described.
type Options struct {
	// Namespace is where all objects go.
	Namespace string
	// CreateNamespace adds the namespace itself, marked as made for the system.
	CreateNamespace bool
	// Image is the reference of an image whose entry point is microsim-agent.
	Image string
	// PullPolicy is IfNotPresent where it is empty.
	PullPolicy corev1.PullPolicy
	// RuntimeImages are the images of other runtimes than the agent.
	RuntimeImages map[topology.RuntimeName]RuntimeImage
	// StoreImage is the reference of an image whose entry point is microsim-store. Systems
	// with data stores need it.
	StoreImage string
	// StorePullPolicy is IfNotPresent where it is empty.
	StorePullPolicy corev1.PullPolicy
	// PullSecret is the name of a Secret of the namespace with which nodes pull the images;
	// empty means none.
	PullSecret string
	Seed       uint64
	// AgentArgs are further arguments of the agent that serves.
	AgentArgs []string
	// PodMonitor has the operator of Prometheus scrape the system.
	PodMonitor bool
	// Token opens the control of the services.
	Token string
	// ServiceSpec makes the JSON that the environment variable MICROSIM_SERVICE
	// of a service holds, without the token.
	ServiceSpec func(system *topology.System, service *topology.Service, seed uint64, peers Peers) ([]byte, error)
}

// Build returns the objects of a system in the order in which they are to be
// applied: what others refer to comes first.
func Build(system *topology.System, o Options) ([]*unstructured.Unstructured, error) {
	if err := Check(system); err != nil {
		return nil, err
	}
	if err := check(system, &o); err != nil {
		return nil, describing(system, err)
	}
	var objects []runtime.Object
	if o.CreateNamespace {
		objects = append(objects, namespace(system.Name, o.Namespace))
	}
	description, err := systemConfig(system, &o)
	if err != nil {
		return nil, err
	}
	objects = append(objects, tokenSecret(system.Name, &o), description)
	peers := peersOf(system)
	var services, deployments []runtime.Object
	for i := range system.Services {
		s := &system.Services[i]
		switch {
		case s.URL != "":
			continue
		case s.Image != "":
			services = append(services, service(system.Name, s, &o))
			deployments = append(deployments, deployment(system, s, nil, &o))
			continue
		}
		part, err := o.ServiceSpec(system, s, o.Seed, peers)
		if err != nil {
			return nil, fmt.Errorf("describing service %q for its pods: %w", s.Name, err)
		}
		if r, ok := s.Foreign(); ok && len(part) > maxInline {
			return nil, fmt.Errorf("describing service %q for its pods: its %d bytes are more than the %d that runtime %s takes; leave runtime out", s.Name, len(part), maxInline, r.Name)
		}
		if len(part) > maxInline || control.Follows(s) {
			objects = append(objects, specConfig(system.Name, s.Name, part, &o))
		}
		services = append(services, service(system.Name, s, &o))
		deployments = append(deployments, deployment(system, s, part, &o))
	}
	objects = append(append(objects, services...), deployments...)
	planned, err := clean(objects)
	if err == nil && o.PodMonitor {
		planned = append(planned, podMonitor(&Monitoring{System: system.Name, Namespace: o.Namespace, Interval: ScrapeInterval}))
	}
	return planned, err
}

// serviceName is what Kubernetes takes as the name of a Service (RFC 1035).
var serviceName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`) //nolint:gochecknoglobals // a constant

// Check says why a system cannot run on any cluster, before one is looked for.
func Check(system *topology.System) error {
	if err := system.Validate().Err(); err != nil {
		return describing(system, err)
	}
	var problems []error
	for i := range system.Services {
		s := &system.Services[i]
		if err := checkStore(system, s); err != nil {
			problems = append(problems, fmt.Errorf("service %q: %w", s.Name, err))
		}
		if s.URL != "" {
			if err := s.ReachedFromPods(); err != nil {
				problems = append(problems, fmt.Errorf("service %q: %w", s.Name, err))
			}
		}
		if !serviceName.MatchString(s.Name) {
			problems = append(problems, fmt.Errorf("service %q: Kubernetes wants names of at most 63 lower-case letters, digits and hyphens that begin with a letter; rename it", s.Name))
		}
	}
	return describing(system, errors.Join(problems...))
}

func describing(system *topology.System, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("describing system %q for Kubernetes: %w", system.Name, err)
}

// check says what a plan of objects lacks.
func check(system *topology.System, o *Options) error {
	var problems []error
	for i := range system.Services {
		s := &system.Services[i]
		if o.StoreImage == "" && (s.Kind.IsStore() || system.CallsStore(s)) {
			problems = append(problems, fmt.Errorf("service %q: no image of microsim-store, which serves data stores and their callers, is known; use --on kind, or bring it to the cluster with --push", s.Name))
		}
		if r, ok := s.Foreign(); ok && o.RuntimeImages[r.Name].Reference == "" {
			problems = append(problems, fmt.Errorf("service %q: no image of runtime %s is known; use --on kind or --on local, bring it to the cluster with --push, or leave runtime out", s.Name, r.Name))
		}
	}
	switch {
	case o.Namespace == "":
		problems = append(problems, errors.New("no namespace is given"))
	case o.Image == "":
		problems = append(problems, errors.New("no image of microsim-agent is given"))
	case o.Token == "":
		problems = append(problems, errors.New("no token is given"))
	}
	return errors.Join(problems...)
}

// peersOf lists the URLs by which the services of a system reach each other.
func peersOf(system *topology.System) Peers {
	peers := Peers{}
	for i := range system.Services {
		s := &system.Services[i]
		peers[s.Name] = []string{BaseURL(s)}
	}
	return peers
}

// namespace is made by us, so it may ask for the strictest Pod Security.
func namespace(system, name string) *corev1.Namespace {
	labels := CommonLabels(system)
	labels["pod-security.kubernetes.io/enforce"] = "restricted"
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
	}
}

// BuildNamespace returns the namespace of a system, where it is made without it.
func BuildNamespace(system, name string) (*unstructured.Unstructured, error) {
	objects, err := clean([]runtime.Object{namespace(system, name)})
	if err != nil {
		return nil, err
	}
	return objects[0], nil
}

// TokenKey is the key of the token in the system's Secret.
const TokenKey = "token"

func tokenSecret(system string, o *Options) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: ObjectName(system), Namespace: o.Namespace, Labels: CommonLabels(system)},
		Data:       map[string][]byte{TokenKey: []byte(o.Token)},
	}
}

// The keys of the system's ConfigMap.
const (
	// SystemKey has the system as a file of kind System.
	SystemKey = "system.yaml"
	// SeedKey has the seed in decimal digits.
	SeedKey = "seed"
)

// systemConfig keeps the description of the system, by which other programs
// know what runs.
func systemConfig(system *topology.System, o *Options) (*corev1.ConfigMap, error) {
	text, err := spec.FormatSystem(system)
	if err != nil {
		return nil, fmt.Errorf("describing system %q: %w", system.Name, err)
	}
	const limit = 1000 << 10
	if len(text) > limit {
		return nil, fmt.Errorf("describing system %q: its %d bytes are more than the %d that a ConfigMap holds", system.Name, len(text), limit)
	}
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: ObjectName(system.Name), Namespace: o.Namespace, Labels: CommonLabels(system.Name)},
		Data:       map[string]string{SystemKey: string(text), SeedKey: fmt.Sprint(o.Seed)},
	}, nil
}

// specKey is the key, and the file name, of a service's part of the system.
const specKey = "service.json"

func specConfig(system, service string, part []byte, o *Options) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: specName(system, service), Namespace: o.Namespace, Labels: ServiceLabels(system, service)},
		Data:       map[string]string{specKey: string(part)},
	}
}

// clean makes of typed objects what is sent and printed: without the fields that
// only a server fills in.
func clean(objects []runtime.Object) ([]*unstructured.Unstructured, error) {
	var cleaned []*unstructured.Unstructured
	for _, object := range objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, fmt.Errorf("writing an object: %w", err)
		}
		u := &unstructured.Unstructured{Object: fields}
		delete(fields, "status")
		unstructured.RemoveNestedField(fields, "metadata", "creationTimestamp")
		unstructured.RemoveNestedField(fields, "spec", "template", "metadata", "creationTimestamp")
		cleaned = append(cleaned, u)
	}
	return cleaned, nil
}
