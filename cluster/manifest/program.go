package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// This file plans what services have whose program is not of this project.

// BaseURL is by what services of a system call another one: its Service, or the address
// that its URL has. A URL is called as it is written, because a Service could neither
// keep its port under a name nor the host that its server expects.
func BaseURL(s *topology.Service) string {
	if s.URL != "" {
		return "http://" + s.Address()
	}
	if s.Kind.IsStore() {
		return "http://" + ServiceAddress(s)
	}
	return "http://" + s.Name
}

// ServiceAddress is the host:port of the Service of a service, in its namespace.
func ServiceAddress(s *topology.Service) string {
	port := ServicePort
	if s.Kind.IsStore() {
		port = storePort(s.Kind)
	}
	return fmt.Sprintf("%s:%d", s.Name, port)
}

// Ports are those that a pod of a service listens on; 0 where there is none. HTTP is that of
// the requests, which at a data store are in its own protocol.
type Ports struct{ HTTP, Control int }

// PortsOf returns the ports of a pod, as its container names them.
func PortsOf(p *corev1.Pod) Ports {
	var ports Ports
	for i := range p.Spec.Containers {
		for _, port := range p.Spec.Containers[i].Ports {
			switch {
			case port.Name == httpPortName, strings.HasPrefix(port.Name, storePortPrefix):
				ports.HTTP = int(port.ContainerPort)
			case port.Name == controlPortName:
				ports.Control = int(port.ContainerPort)
			}
		}
	}
	if ports.HTTP == 0 {
		ports.HTTP = ports.Control // a runtime has one port for both
	}
	return ports
}

// ControlPortOf is where the health, metrics and control of the pods of a service are.
// Runtimes other than the agent have them at the port of their endpoints.
func ControlPortOf(s *topology.Service) int {
	if _, ok := s.Foreign(); ok {
		return HTTPPort
	}
	return ControlPort
}

// servingPort is the port of the pods of a service that its Service leads to.
func servingPort(s *topology.Service) intstr.IntOrString {
	if _, ok := s.Foreign(); ok {
		return intstr.FromString(controlPortName)
	}
	return intstr.FromString(httpPortName)
}

// AgentOf returns the image of the agent that one of the Deployments of a system has or
// names, which may be others' as well; empty if none does.
func AgentOf(deployments []appsv1.Deployment) (image string, policy corev1.PullPolicy) {
	for i := range deployments {
		for _, c := range deployments[i].Spec.Template.Spec.Containers {
			if len(c.Args) > 0 && c.Args[0] == serveArg {
				return c.Image, c.ImagePullPolicy
			}
		}
	}
	for i := range deployments {
		if image := deployments[i].Annotations[AgentAnnotation]; image != "" {
			return image, "" // nodes that have it keep it
		}
	}
	return "", ""
}

// AgentArgsOf are the further arguments of the agents of a system's Deployments, as
// Options have them; nil if there is no agent.
func AgentArgsOf(deployments []appsv1.Deployment) []string {
	for i := range deployments {
		for _, c := range deployments[i].Spec.Template.Spec.Containers {
			if len(c.Args) > 0 && (c.Args[0] == serveArg || c.Args[0] == callerArg) {
				return c.Args[min(len(c.Args), 2):]
			}
		}
	}
	return nil
}

// programContainer runs the program of a service's image.
func programContainer(system string, s *topology.Service) corev1.Container {
	security := containerSecurity()
	security.ReadOnlyRootFilesystem = nil // where the program writes is not known
	port := s.ServingPort()
	c := corev1.Container{
		Name:            ContainerName,
		Image:           s.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         literals(s.Command),
		Args:            literals(s.Args),
		Ports:           []corev1.ContainerPort{{Name: httpPortName, ContainerPort: int32(port), Protocol: corev1.ProtocolTCP}}, //nolint:gosec // validated
		Env:             []corev1.EnvVar{{Name: "PORT", Value: strconv.Itoa(port)}},
		Resources:       resources(s),
		VolumeMounts:    []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
		Lifecycle:       &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: drainSeconds}}},
		SecurityContext: security,
		StartupProbe: programProbe(topology.Probe{
			Path: s.ReadinessProbe().Path, Period: unit.Duration(time.Second), Timeout: unit.Duration(topology.DefaultProbeTimeout), FailureThreshold: 120,
		}),
		ReadinessProbe: programProbe(s.ReadinessProbe()),
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: literal(s.Env[name])})
	}
	c.Env = append(c.Env, identity(system)...)
	if s.Liveness != nil {
		c.LivenessProbe = programProbe(s.LivenessProbe())
	}
	return c
}

// identity tells the helper of the node, which breaks only pods that say to be of the
// fault's system.
func identity(system string) []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: order.SystemVariable, Value: system},
		// With its default written out, it equals what the API server stores; else
		// `up` conflicts with the field manager of `kubectl apply`.
		{Name: order.NamespaceVariable, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}},
	}
}

// programProbe asks the probe's path at the port of the program, or without a path
// connects to it.
func programProbe(p topology.Probe) *corev1.Probe {
	result := probe(cmp.Or(p.Path, topology.DefaultPath), p)
	result.HTTPGet.Port = intstr.FromString(httpPortName)
	if p.Path == "" {
		result.ProbeHandler = corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString(httpPortName)}}
	}
	return result
}

// A RuntimeImage is the image of a runtime other than the agent.
type RuntimeImage struct {
	Reference string
	// Arch is the architecture of the nodes that it is for; empty means all of them.
	Arch string
}

// loadedPrefix begins the names of images that are loaded into nodes. No registry has them.
const loadedPrefix = "microsim.dev/"

// pullPolicy never asks a registry for an image that was loaded into the nodes.
func (i RuntimeImage) pullPolicy() corev1.PullPolicy {
	if strings.HasPrefix(i.Reference, loadedPrefix) {
		return corev1.PullNever
	}
	return corev1.PullIfNotPresent
}

// runtimeContainer runs a service in a runtime other than the agent. It has one port, for
// all, and reads its token from its part of the system.
func runtimeContainer(system string, s *topology.Service, part []byte, image RuntimeImage) corev1.Container {
	at := func(p *corev1.Probe) *corev1.Probe {
		p.HTTPGet.Port = intstr.FromString(controlPortName)
		return p
	}
	c := corev1.Container{
		Name:            ContainerName,
		Image:           image.Reference,
		ImagePullPolicy: image.pullPolicy(),
		Ports:           []corev1.ContainerPort{{Name: controlPortName, ContainerPort: HTTPPort, Protocol: corev1.ProtocolTCP}},
		Env: []corev1.EnvVar{
			{Name: "PORT", Value: strconv.Itoa(HTTPPort)},
			tokenVariable(system),
			{Name: "MICROSIM_SERVICE", Value: `{"token":"$(MICROSIM_TOKEN)",` + literal(string(part[1:]))},
		},
		Resources:       resources(s),
		VolumeMounts:    []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
		Lifecycle:       &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: drainSeconds}}},
		SecurityContext: containerSecurity(),
		StartupProbe: at(probe(control.HealthPath, topology.Probe{
			Period: unit.Duration(time.Second), Timeout: unit.Duration(topology.DefaultProbeTimeout), FailureThreshold: 120,
		})),
		ReadinessProbe: at(probe(control.ReadyPath, s.ReadinessProbe())),
	}
	c.Env = append(c.Env, identity(system)...)
	if s.Liveness != nil {
		c.LivenessProbe = at(probe(control.HealthPath, s.LivenessProbe()))
	}
	return c
}

// literal writes a text in which Kubernetes finds no variables of its own.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

func literals(texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, literal(text))
	}
	return all
}
