package manifest

import (
	"cmp"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const (
	// maxInline is how many bytes of a service's part of the system go into its
	// environment. Linux takes 128 KiB for one variable; beyond this the part is
	// a file. The kubelet reads a variable when a container starts, and a file up to
	// two minutes late, so services with a file are replaced when they change.
	maxInline = 32 << 10
	// specDir is where that file is.
	specDir = "/etc/microsim"
	// drainSeconds pass between a pod's leaving of its Service and its end, so
	// that callers that have not heard of it are still answered.
	drainSeconds = 2
	// graceSeconds is the time to end, the drain included.
	graceSeconds = 15
	// nobody is the user of the pods, without any rights.
	nobody = 65532
	// ContainerName is the name of the one container of a pod.
	ContainerName = "service"
	// controlPortName is the name of the port of health, metrics and control.
	controlPortName = "control"
	// httpPortName is the name of the port of the endpoints.
	httpPortName = "http"
	// partName is the environment variable with a service's part of the system.
	partName = "MICROSIM_SERVICE"
	// serveArg is the agent's argument by which it serves.
	serveArg = "serve"
)

func service(system string, s *topology.Service, o *Options) *corev1.Service {
	port := corev1.ServicePort{Name: "http", Port: ServicePort, TargetPort: servingPort(s), Protocol: corev1.ProtocolTCP}
	if s.Kind.IsStore() {
		port = storeService(s)
	}
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: o.Namespace, Labels: ServiceLabels(system, s.Name)},
		Spec: corev1.ServiceSpec{
			Selector: podSelector(system, s.Name),
			Ports:    []corev1.ServicePort{port},
		},
	}
}

func deployment(system *topology.System, s *topology.Service, part []byte, o *Options) *appsv1.Deployment {
	labels := ServiceLabels(system.Name, s.Name)
	var annotations map[string]string
	if s.ObeysContract() {
		annotations = map[string]string{
			SpecAnnotation:         fingerprint(part),
			"prometheus.io/scrape": "true",
			"prometheus.io/port":   fmt.Sprint(ControlPortOf(s)),
			"prometheus.io/path":   control.MetricsPath,
		}
	}
	var own map[string]string
	if s.Kind.IsStore() || system.CallsStore(s) {
		own = map[string]string{AgentAnnotation: o.Image}
	}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: o.Namespace, Labels: labels, Annotations: own},
		Spec: appsv1.DeploymentSpec{
			Replicas:             ptr(int32(s.Replicas)),
			RevisionHistoryLimit: ptr(int32(1)),
			Selector:             &metav1.LabelSelector{MatchLabels: podSelector(system.Name, s.Name)},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
				Spec:       podSpec(system, s, part, o),
			},
		},
	}
}

// podSpec describes pods that Pod Security's profile "restricted" admits.
func podSpec(of *topology.System, s *topology.Service, part []byte, o *Options) corev1.PodSpec {
	system := of.Name
	pod := corev1.PodSpec{
		AutomountServiceAccountToken: ptr(false),
		// Variables for every Service of a namespace would crowd the environment.
		EnableServiceLinks:            ptr(false),
		TerminationGracePeriodSeconds: ptr(int64(graceSeconds)),
		SecurityContext:               podSecurity(),
		ImagePullSecrets:              PullSecrets(o.PullSecret),
		Containers:                    []corev1.Container{container(of, s, part, o)},
		// Services that write to files do it here; all else is read-only.
		Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}
	if len(part) > maxInline {
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "spec", VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: specName(system, s.Name)}},
		}})
	}
	// A single pod has it, too, so that scaling replaces none.
	pod.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector: &metav1.LabelSelector{MatchLabels: podSelector(system, s.Name)},
	}}
	if r, other := s.Foreign(); other && o.RuntimeImages[r.Name].Arch != "" {
		pod.NodeSelector = map[string]string{corev1.LabelArchStable: o.RuntimeImages[r.Name].Arch}
	}
	addServer(&pod, system, s)
	return pod
}

// podSecurity and containerSecurity are what Pod Security's profile "restricted"
// asks for, and a root file system that nobody writes to.
func podSecurity() *corev1.PodSecurityContext {
	return &corev1.PodSecurityContext{
		RunAsNonRoot: ptr(true), RunAsUser: ptr(int64(nobody)), RunAsGroup: ptr(int64(nobody)),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

func containerSecurity() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr(false), ReadOnlyRootFilesystem: ptr(true), RunAsNonRoot: ptr(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func container(system *topology.System, s *topology.Service, part []byte, o *Options) corev1.Container {
	switch r, other := s.Foreign(); {
	case s.Image != "":
		return programContainer(system.Name, s)
	case other:
		return runtimeContainer(system.Name, s, part, o.RuntimeImages[r.Name])
	case s.Kind.IsStore():
		return storeContainer(system.Name, s, part, o)
	}
	c := agentContainer(system.Name, s, part, o)
	if system.CallsStore(s) {
		c.Image, c.ImagePullPolicy, c.Args[0] = o.StoreImage, cmp.Or(o.StorePullPolicy, corev1.PullIfNotPresent), callerArg
	}
	return c
}

// agentContainer serves a service with the agent, or a program that takes the same
// arguments.
func agentContainer(system string, s *topology.Service, part []byte, o *Options) corev1.Container {
	c := corev1.Container{
		Name:            ContainerName,
		Image:           o.Image,
		ImagePullPolicy: cmp.Or(o.PullPolicy, corev1.PullIfNotPresent),
		Args:            append([]string{serveArg, fmt.Sprintf("--control-addr=:%d", ControlPort)}, o.AgentArgs...),
		Ports: []corev1.ContainerPort{
			{Name: httpPortName, ContainerPort: HTTPPort, Protocol: corev1.ProtocolTCP},
			{Name: controlPortName, ContainerPort: ControlPort, Protocol: corev1.ProtocolTCP},
		},
		Env: []corev1.EnvVar{
			{Name: "SERVICE_NAME", Value: s.Name},
			{Name: "PORT", Value: fmt.Sprint(HTTPPort)},
			partVariable(system, s, part),
			tokenVariable(system),
			{Name: "MICROSIM_OWN_NETWORK", Value: "1"}, // a pod's network is its own
		},
		Resources:       resources(s),
		VolumeMounts:    []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
		Lifecycle:       &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: drainSeconds}}},
		SecurityContext: containerSecurity(),
		StartupProbe:    probe(control.HealthPath, topology.Probe{Period: unit.Duration(time.Second), Timeout: unit.Duration(topology.DefaultProbeTimeout), FailureThreshold: 120}),
		ReadinessProbe:  probe(control.ReadyPath, s.ReadinessProbe()),
	}
	c.Env = append(c.Env, identity(system)...)
	// Without a word in the System there is no liveness probe: a service that
	// hangs, has no processor or no memory left does so because a fault says so,
	// and a restart would end what is to be seen. One that ends is started again
	// in any case.
	if s.Liveness != nil {
		c.LivenessProbe = probe(control.HealthPath, s.LivenessProbe())
	}
	if len(part) > maxInline {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "spec", MountPath: specDir, ReadOnly: true})
	}
	return c
}

// partVariable has the part of the system that a service decides by. Where it may change
// while pods run, it is not in the template, whose every change replaces them.
func partVariable(system string, s *topology.Service, part []byte) corev1.EnvVar {
	v := corev1.EnvVar{Name: partName}
	switch {
	case len(part) > maxInline:
		v.Value = "@" + specDir + "/" + specKey
	case control.Follows(s):
		v.ValueFrom = &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: specName(system, s.Name)}, Key: specKey,
		}}
	default:
		v.Value = literal(string(part))
	}
	return v
}

// tokenVariable has the token of the system.
func tokenVariable(system string) corev1.EnvVar {
	return corev1.EnvVar{Name: "MICROSIM_TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: ObjectName(system)}, Key: TokenKey,
	}}}
}

// probe asks the probe's path at the service, or else the given one at the control
// port, on which faults never act.
func probe(path string, p topology.Probe) *corev1.Probe {
	port := controlPortName
	if p.Path != "" {
		path, port = p.Path, httpPortName
	}
	result := &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString(port)}},
		PeriodSeconds: wholeSeconds(p.Period), TimeoutSeconds: wholeSeconds(p.Timeout), FailureThreshold: int32(p.FailureThreshold), //nolint:gosec // validated
	}
	if p.SuccessThreshold > 1 {
		result.SuccessThreshold = int32(p.SuccessThreshold) //nolint:gosec // validated
	}
	return result
}

func wholeSeconds(d unit.Duration) int32 { return int32(d.Std() / time.Second) } //nolint:gosec // validated

// Requests of a pod whose System names none.
const (
	defaultCPU    = unit.Cores(0.005)
	defaultMemory = unit.Size(16 << 20)
)

// resources are those of the System. Without a word there, a pod asks for
// little more than it needs when idle, and has no limit.
func resources(s *topology.Service) corev1.ResourceRequirements {
	r := topology.Resources{}
	if s.Resources != nil {
		r = *s.Resources
	}
	if r.CPURequest == 0 {
		r.CPURequest = defaultCPU
		if r.CPULimit > 0 {
			r.CPURequest = r.CPULimit
		}
	}
	if r.MemoryRequest == 0 {
		r.MemoryRequest = defaultMemory + s.Memory
		if r.MemoryLimit > 0 {
			r.MemoryRequest = r.MemoryLimit
		}
	}
	requirements := corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: cores(r.CPURequest), corev1.ResourceMemory: sizes(r.MemoryRequest),
	}}
	if r.CPULimit > 0 || r.MemoryLimit > 0 {
		requirements.Limits = corev1.ResourceList{}
	}
	if r.CPULimit > 0 {
		requirements.Limits[corev1.ResourceCPU] = cores(r.CPULimit)
	}
	if r.MemoryLimit > 0 {
		requirements.Limits[corev1.ResourceMemory] = sizes(r.MemoryLimit)
	}
	return requirements
}

func cores(c unit.Cores) resource.Quantity {
	return *resource.NewMilliQuantity(max(1, int64(float64(c)*1000+0.5)), resource.DecimalSI)
}

func sizes(s unit.Size) resource.Quantity {
	return *resource.NewQuantity(int64(s), resource.BinarySI)
}

func ptr[T any](v T) *T { return &v }
