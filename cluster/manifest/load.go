package manifest

import (
	"cmp"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	// LoadRole is the RoleLabel of what generates load.
	LoadRole = "load"
	// LoadLabel names the load that an object belongs to.
	LoadLabel = "microsim.dev/load"

	// loadKey is the key, and the file name, of the description of a load.
	loadKey = "load.json"
	// loadTTL is how long a Job that nobody has deleted stays when it has ended.
	loadTTL = 5 * 60
	// maxSecret is what a Secret holds.
	maxSecret = 1000 << 10
)

// LoadOptions say how the pods that generate a load are to be described.
type LoadOptions struct {
	// Name is that of the Job, unique in its namespace.
	Name string
	// System is what the objects belong to, and go with.
	System, Namespace string
	// CreateNamespace adds the namespace itself, marked as made for the system.
	CreateNamespace bool
	Image           string
	// PullPolicy is IfNotPresent where it is empty.
	PullPolicy corev1.PullPolicy
	// PullSecret is the name of a Secret of the namespace with which nodes pull the image;
	// empty means none.
	PullSecret string
	// Pods is how many generate the load together.
	Pods int
	// Token opens the control of the generators.
	Token string
	// Job is the JSON that the environment variable MICROSIM_LOAD names.
	Job []byte
}

// BuildLoad returns the objects of the pods that generate a load, in the order
// in which they are to be applied.
func BuildLoad(o LoadOptions) ([]*unstructured.Unstructured, error) {
	switch {
	case o.Image == "":
		return nil, errors.New("describing the load for Kubernetes: no image of microsim-agent is given")
	case o.Pods < 1:
		return nil, fmt.Errorf("describing the load for Kubernetes: %d pods cannot generate it: at least 1 is needed", o.Pods)
	case len(o.Job) > maxSecret:
		return nil, fmt.Errorf("describing the load for Kubernetes: its %d bytes are more than the %d that a Secret holds; shorten its bodies and chains", len(o.Job), maxSecret)
	}
	labels := CommonLabels(o.System)
	labels[RoleLabel], labels[LoadLabel] = LoadRole, o.Name
	meta := metav1.ObjectMeta{Name: o.Name, Namespace: o.Namespace, Labels: labels}
	var objects []runtime.Object
	if o.CreateNamespace {
		objects = append(objects, namespace(o.System, o.Namespace))
	}
	return clean(append(objects,
		&corev1.Secret{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: meta,
			Data: map[string][]byte{TokenKey: []byte(o.Token), loadKey: o.Job},
		},
		&batchv1.Job{
			TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: meta,
			Spec: batchv1.JobSpec{
				CompletionMode: ptr(batchv1.IndexedCompletion), Completions: ptr(int32(o.Pods)), Parallelism: ptr(int32(o.Pods)),
				BackoffLimit: ptr(int32(0)), TTLSecondsAfterFinished: ptr(int32(loadTTL)),
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: loadPod(&o)},
			},
		},
	))
}

// LoadSelector selects the objects of one load.
func LoadSelector(system, name string) string {
	return Selector(system) + "," + LoadLabel + "=" + name
}

// loadPod describes a pod that Pod Security's profile "restricted" admits. A
// share that has ended can not be made up for, so it is never started again.
func loadPod(o *LoadOptions) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		AutomountServiceAccountToken:  ptr(false),
		EnableServiceLinks:            ptr(false),
		TerminationGracePeriodSeconds: ptr(int64(30)),
		SecurityContext:               podSecurity(),
		ImagePullSecrets:              PullSecrets(o.PullSecret),
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{LoadLabel: o.Name}},
		}},
		Containers: []corev1.Container{{
			Name:            LoadRole,
			Image:           o.Image,
			ImagePullPolicy: cmp.Or(o.PullPolicy, corev1.PullIfNotPresent),
			Args:            []string{"load", fmt.Sprintf("--addr=:%d", ControlPort)},
			Ports:           []corev1.ContainerPort{{Name: "control", ContainerPort: ControlPort, Protocol: corev1.ProtocolTCP}},
			Env: []corev1.EnvVar{
				{Name: "MICROSIM_LOAD", Value: "@" + specDir + "/" + loadKey},
				{Name: "MICROSIM_TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: o.Name}, Key: TokenKey,
				}}},
			},
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
			}},
			VolumeMounts:    []corev1.VolumeMount{{Name: "load", MountPath: specDir, ReadOnly: true}},
			SecurityContext: containerSecurity(),
		}},
		Volumes: []corev1.Volume{{Name: "load", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: o.Name, Items: []corev1.KeyToPath{{Key: loadKey, Path: loadKey}},
		}}}},
	}
}
