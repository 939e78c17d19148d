package nodehelper

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

const (
	// Namespace is where all helpers are.
	Namespace = manifest.HelperNamespace
	// Role is the manifest.RoleLabel of all that belongs to helpers.
	Role = "helper"
	// NodeLabel names, by Hash, the node whose helper an object belongs to.
	NodeLabel = "microsim.dev/node"
	// NodeAnnotation is the name of that node, which is too long for a label at
	// times.
	NodeAnnotation = "microsim.dev/node-name"
	// WantedAnnotation of a Job changes when somebody counts on the helper.
	WantedAnnotation = "microsim.dev/wanted"
	// TokenKey is the key of the token in a helper's Secret.
	TokenKey = "token"
	// Port is where a helper takes orders.
	Port = 8081
	// PriorityClass lets a helper stay where a node has no room.
	PriorityClass = "system-node-critical"
)

const (
	// lingerSeconds is how long a helper that nobody wants anything of waits for
	// the next order.
	lingerSeconds = 60
	// graceSeconds is the time to take everything back.
	graceSeconds = 30
	// ordersDir is where a helper reads its orders.
	ordersDir = "/etc/microsim/orders"
	cgroups   = "/host/sys/fs/cgroup"
	// tokenVariable is where a helper finds its token.
	tokenVariable = "MICROSIM_TOKEN"
)

// Selector selects all that belongs to helpers.
func Selector() string {
	return manifest.ManagedByLabel + "=" + manifest.ManagedBy + "," + manifest.RoleLabel + "=" + Role
}

// NodeSelector selects all that belongs to the helper of a node.
func NodeSelector(node string) string { return Selector() + "," + NodeLabel + "=" + Hash(node) }

// Hash is short and stands for a node where names must be.
func Hash(node string) string {
	sum := sha256.Sum256([]byte(node))
	return hex.EncodeToString(sum[:5])
}

// Name is the name of the objects of a node's helper.
func Name(node string) string { return "helper-" + Hash(node) }

func meta(node string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: Name(node), Namespace: Namespace, Labels: labels(node), Annotations: map[string]string{NodeAnnotation: node},
	}
}

func labels(node string) map[string]string {
	return map[string]string{manifest.ManagedByLabel: manifest.ManagedBy, manifest.RoleLabel: Role, NodeLabel: Hash(node)}
}

// NewNamespace is the namespace of the helpers. They need all rights on their
// node, which only the Pod Security profile "privileged" admits.
func NewNamespace() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace, Labels: map[string]string{
		manifest.ManagedByLabel: manifest.ManagedBy, manifest.RoleLabel: Role,
		"pod-security.kubernetes.io/enforce": "privileged",
		"pod-security.kubernetes.io/audit":   "privileged",
		"pod-security.kubernetes.io/warn":    "privileged",
	}}}
}

// RecordRole is the manifest.RoleLabel of the records of faults on pods that were
// selected by their labels.
const RecordRole = "selected-faults"

// NamespaceAnnotation is the namespace that a record is of.
const NamespaceAnnotation = "microsim.dev/namespace"

// RecordSelector selects the records of faults on selected pods.
func RecordSelector() string {
	return manifest.ManagedByLabel + "=" + manifest.ManagedBy + "," + manifest.RoleLabel + "=" + RecordRole
}

// RecordName is the name of the record of a namespace.
func RecordName(namespace string) string { return "faults-" + Hash(namespace) }

// NewRecord is a record without faults.
func NewRecord(namespace string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: RecordName(namespace), Namespace: Namespace,
		Labels:      map[string]string{manifest.ManagedByLabel: manifest.ManagedBy, manifest.RoleLabel: RecordRole},
		Annotations: map[string]string{NamespaceAnnotation: namespace},
	}}
}

// NewSecret holds the token of one helper of a node. It has a name of its own, so
// that the end of one helper does not take the token of the next.
func NewSecret(node, token string) *corev1.Secret {
	o := meta(node)
	o.GenerateName, o.Name = o.Name+"-", ""
	return &corev1.Secret{ObjectMeta: o, Data: map[string][]byte{TokenKey: []byte(token)}}
}

// newPullSecret is a copy of a Secret for the helper of a node to be pulled with.
func newPullSecret(node string, from *corev1.Secret) *corev1.Secret {
	o := meta(node)
	o.GenerateName, o.Name = o.Name+"-pull-", ""
	return &corev1.Secret{ObjectMeta: o, Type: from.Type, Data: from.Data}
}

// SecretOf is the name of the Secret with the token of the helper in a pod.
func SecretOf(p *corev1.PodSpec) string {
	for _, c := range p.Containers {
		for _, e := range c.Env {
			if e.Name == tokenVariable && e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				return e.ValueFrom.SecretKeyRef.Name
			}
		}
	}
	return ""
}

// NewOrders is the ConfigMap with the orders of a node's helper; it has none
// yet.
func NewOrders(node string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: meta(node), Data: map[string]string{}}
}

// Node is the node whose orders a ConfigMap has.
func Node(config *corev1.ConfigMap) string { return config.Annotations[NodeAnnotation] }

// Options say how a helper is run.
type Options struct {
	Image string
	// PullPolicy is IfNotPresent where it is empty.
	PullPolicy corev1.PullPolicy
	// PullSecret is copied to the namespace of the helpers, to pull the image with.
	PullSecret kubeapi.PullSecret
	// Priority is the pod's priority class, or "".
	Priority string
	// AllowSystem lets the helper break pods that the cluster itself needs.
	AllowSystem bool
	// Secret is the name of the one with the token.
	secret string
	// pullSecret is the name of the copy.
	pullSecret string
}

// NewJob is the helper of a node. It is a Job so that it is made again when it
// is deleted, evicted or drained, and yet ends, and disappears, when nobody wants
// anything of it any more: a helper has no rights in the cluster to see to that.
func NewJob(node string, o Options) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: meta(node),
		Spec: batchv1.JobSpec{
			Parallelism: ptr(int32(1)), Completions: ptr(int32(1)),
			// However often it fails, or is taken away, it is wanted.
			BackoffLimit:            ptr(int32(1 << 30)),
			TTLSecondsAfterFinished: ptr(int32(0)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels(node), Annotations: map[string]string{NodeAnnotation: node}},
				Spec:       podSpec(node, o),
			},
		},
	}
}

func podSpec(node string, o Options) corev1.PodSpec {
	directory := corev1.HostPathDirectory
	return corev1.PodSpec{
		// The scheduler is not asked, so a cordoned or drained node has its helper, too.
		NodeName:                      node,
		RestartPolicy:                 corev1.RestartPolicyOnFailure,
		Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		PriorityClassName:             o.Priority,
		HostPID:                       true,
		AutomountServiceAccountToken:  ptr(false),
		EnableServiceLinks:            ptr(false),
		TerminationGracePeriodSeconds: ptr(int64(graceSeconds)),
		ImagePullSecrets:              manifest.PullSecrets(o.pullSecret),
		Containers:                    []corev1.Container{container(o)},
		Volumes: []corev1.Volume{
			{Name: "orders", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: Name(node)},
			}}},
			{Name: "cgroup", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/sys/fs/cgroup", Type: &directory}}},
		},
	}
}

func container(o Options) corev1.Container {
	args := []string{"node", "--orders=" + ordersDir, fmt.Sprintf("--addr=:%d", Port), fmt.Sprintf("--linger=%ds", lingerSeconds), "--cgroups=" + cgroups}
	if o.AllowSystem {
		args = append(args, "--allow-system")
	}
	return corev1.Container{
		Name:            Role,
		Image:           o.Image,
		ImagePullPolicy: cmp.Or(o.PullPolicy, corev1.PullIfNotPresent),
		Args:            args,
		Ports:           []corev1.ContainerPort{{Name: "orders", ContainerPort: Port, Protocol: corev1.ProtocolTCP}},
		Env: []corev1.EnvVar{{Name: tokenVariable, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: o.secret}, Key: TokenKey,
		}}}},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
		}},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "orders", MountPath: ordersDir, ReadOnly: true},
			// Stressing processes are put into the groups of pods here.
			{Name: "cgroup", MountPath: cgroups},
		},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: control.HealthPath, Port: intstr.FromInt32(Port)}},
			PeriodSeconds: 2, TimeoutSeconds: 2,
		},
		SecurityContext: &corev1.SecurityContext{Privileged: ptr(true), RunAsUser: ptr(int64(0)), RunAsGroup: ptr(int64(0)), ReadOnlyRootFilesystem: ptr(true)},
	}
}

func ptr[T any](v T) *T { return &v }
