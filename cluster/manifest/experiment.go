package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

const (
	// ExperimentKey is the key of the experiment's file in its ConfigMap.
	ExperimentKey = "experiment.yaml"
	// ExperimentFile is that file in the pod of the experiment.
	ExperimentFile = specDir + "/" + ExperimentKey
	// ResultsDir is where the pod of the experiment may write its results.
	ResultsDir = "/results"
	// ExperimentContainer is the name of the container of that pod.
	ExperimentContainer = "experiment"

	// experimentGrace is the time that an experiment has to take its system down
	// and to keep what it has measured when its pod is to end.
	experimentGrace = 90
	// maxDocument is what a ConfigMap holds, with room for the rest of it.
	maxDocument = 1000 << 10
)

// A Detached is an experiment that runs in the cluster, as a Job.
type Detached struct {
	// Name is that of the experiment.
	Name string
	// Namespace is that of the system, and of all objects.
	Namespace string
	// Document is the experiment as a file of kind Experiment.
	Document []byte
	// Image is the reference of an image whose entry point is kubectl-microsim,
	// Args is what it is called with.
	Image string
	Args  []string
	// PullPolicy is IfNotPresent where it is empty.
	PullPolicy corev1.PullPolicy
	// PullSecret is the name of a Secret of the namespace with which nodes pull the images;
	// empty means none.
	PullSecret string
	// StoreImage is the image of microsim-store, if the system needs it.
	StoreImage string
	// RuntimeImages are the images of runtimes that its systems have.
	RuntimeImages map[topology.RuntimeName]RuntimeImage
	// Arch is the architecture of the nodes that the image is for; empty means
	// any.
	Arch string
	// AtMost is how long the experiment may take.
	AtMost time.Duration
	// Rights are what it may do; Helpers adds those in the namespace of the
	// helpers.
	Rights  Rights
	Helpers string
}

// ExperimentName is the name of the objects that an experiment has one of.
func ExperimentName(experiment string) string { return "microsim-" + experiment + "-experiment" }

// ExperimentLoadName is the name of the Job that generates the load of an
// experiment in the cluster, and of its Secret.
func ExperimentLoadName(experiment string) string { return "microsim-" + experiment + "-load" }

// HelperRightsName is the name of the rights of an experiment in the namespace of
// the helpers, where those from several namespaces meet.
func HelperRightsName(experiment, namespace string) string {
	return ExperimentName(experiment) + "." + namespace
}

// ResultsName is the name of the ConfigMap with the index of an experiment's
// results, PieceName that of one of their pieces, which count from 1.
func ResultsName(experiment string) string { return "microsim-" + experiment + "-results" }

// PieceName is the name of the ConfigMap with a piece of an experiment's results.
func PieceName(experiment string, n int) string {
	return fmt.Sprintf("%s-%d", ResultsName(experiment), n)
}

// ExperimentSelector selects every object of an experiment.
func ExperimentSelector(experiment string) string {
	return ManagedByLabel + "=" + ManagedBy + "," + ExperimentLabel + "=" + experiment
}

// RoleSelector selects the objects of all experiments that have one of the roles.
func RoleSelector(role string) string {
	return ManagedByLabel + "=" + ManagedBy + "," + ExperimentLabel + "," + RoleLabel + "=" + role
}

// ExperimentMeta is the metadata of an object of an experiment.
func ExperimentMeta(experiment, system, namespace, name, role string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: namespace,
		Labels: map[string]string{
			ManagedByLabel:              ManagedBy,
			"app.kubernetes.io/part-of": experiment,
			ExperimentLabel:             experiment,
			RoleLabel:                   role,
		},
		Annotations: map[string]string{RunsAnnotation: system},
	}
}

// DescribeExperiment returns the ConfigMap by which an experiment is known.
func DescribeExperiment(d *Detached) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: d.meta(d.Namespace),
		Data: map[string]string{ExperimentKey: string(d.Document)},
	}
}

// BuildExperiment returns the objects of an experiment that runs in the cluster,
// in the order in which they are to be applied. The namespace is not among them.
func BuildExperiment(d *Detached) ([]*unstructured.Unstructured, error) {
	if err := checkExperiment(d); err != nil {
		return nil, fmt.Errorf("describing experiment %q for Kubernetes: %w", d.Name, err)
	}
	objects := []runtime.Object{
		DescribeExperiment(d),
		&corev1.ServiceAccount{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: d.meta(d.Namespace),
			AutomountServiceAccountToken: ptr(false),
		},
	}
	objects = append(objects, d.rights(d.Namespace, d.Rights.Rules())...)
	if d.Helpers != "" {
		objects = append(objects, d.rights(d.Helpers, d.Rights.HelperRules())...)
	}
	return clean(append(objects, d.job()))
}

// experimentName leaves room for what is put around it in names of at most 63
// characters.
var experimentName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$`) //nolint:gochecknoglobals // a constant

func checkExperiment(d *Detached) error {
	var problems []error
	if !experimentName.MatchString(d.Name) {
		problems = append(problems, errors.New("in a cluster, its name must have at most 42 lower-case letters, digits and hyphens, and begin and end with a letter or digit; rename it"))
	}
	if len(d.Document) > maxDocument {
		problems = append(problems, fmt.Errorf("its file of %d bytes is larger than the %d that a ConfigMap holds", len(d.Document), maxDocument))
	}
	switch {
	case d.Namespace == "":
		problems = append(problems, errors.New("no namespace is given"))
	case d.Image == "":
		problems = append(problems, errors.New("no image of kubectl-microsim is given"))
	case d.Rights.System == "":
		problems = append(problems, errors.New("no system is given"))
	case d.AtMost <= 0:
		problems = append(problems, errors.New("no time is given"))
	}
	return errors.Join(problems...)
}

func (d *Detached) meta(namespace string) metav1.ObjectMeta {
	name := ExperimentName(d.Name)
	if namespace != d.Namespace {
		name = HelperRightsName(d.Name, d.Namespace)
	}
	return ExperimentMeta(d.Name, d.Rights.System, namespace, name, ExperimentRole)
}

// rights are a Role in a namespace, and its binding to the experiment.
func (d *Detached) rights(namespace string, rules []rbacv1.PolicyRule) []runtime.Object {
	meta := d.meta(namespace)
	return []runtime.Object{
		&rbacv1.Role{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"}, ObjectMeta: meta, Rules: rules},
		&rbacv1.RoleBinding{
			TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"}, ObjectMeta: meta,
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: ExperimentName(d.Name), Namespace: d.Namespace}},
		},
	}
}

// job runs the experiment once: a second try would find the leftovers of the first.
func (d *Detached) job() *batchv1.Job {
	meta := d.meta(d.Namespace)
	return &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job"}, ObjectMeta: meta,
		Spec: batchv1.JobSpec{
			BackoffLimit:          ptr(int32(0)),
			ActiveDeadlineSeconds: ptr(int64(d.AtMost.Seconds())),
			// A pod that is gone is not replaced before it has ended, and a Job
			// without a second try has failed then.
			PodReplacementPolicy: ptr(batchv1.Failed),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels, Annotations: map[string]string{
					RunsAnnotation: d.Rights.System,
					// A cluster autoscaler must not remove the node of a run.
					"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
				}},
				Spec: d.pod(),
			},
		},
	}
}

// pod describes a pod that Pod Security's profile "restricted" admits.
func (d *Detached) pod() corev1.PodSpec {
	config := corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: ExperimentName(d.Name)}}}
	spec := corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		ServiceAccountName:            ExperimentName(d.Name),
		AutomountServiceAccountToken:  ptr(true),
		EnableServiceLinks:            ptr(false),
		TerminationGracePeriodSeconds: ptr(int64(experimentGrace)),
		ImagePullSecrets:              PullSecrets(d.PullSecret),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr(true), RunAsUser: ptr(int64(nobody)), RunAsGroup: ptr(int64(nobody)), FSGroup: ptr(int64(nobody)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: ExperimentContainer, Image: d.Image, ImagePullPolicy: cmp.Or(d.PullPolicy, corev1.PullIfNotPresent), Args: d.Args,
			Env: d.environment(),
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
			}},
			VolumeMounts: []corev1.VolumeMount{
				{Name: "experiment", MountPath: path.Dir(ExperimentFile), ReadOnly: true},
				{Name: "results", MountPath: ResultsDir},
				{Name: "tmp", MountPath: "/tmp"},
			},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr(false), ReadOnlyRootFilesystem: ptr(true), RunAsNonRoot: ptr(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		}},
		Volumes: []corev1.Volume{
			{Name: "experiment", VolumeSource: config},
			{Name: "results", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
	}
	if d.Arch != "" {
		spec.NodeSelector = map[string]string{corev1.LabelArchStable: d.Arch}
	}
	return spec
}

// StoreImageVariable names the image of microsim-store to a program that runs systems.
const StoreImageVariable = "MICROSIM_STORE_IMAGE"

// RuntimeImagesVariable names the images of runtimes to a program that runs systems:
// NAME=REFERENCE or NAME=REFERENCE;ARCHITECTURE, separated by commas.
const RuntimeImagesVariable = "MICROSIM_RUNTIME_IMAGES"

// environment is that of the program.
func (d *Detached) environment() []corev1.EnvVar {
	env := []corev1.EnvVar{{Name: "HOME", Value: "/tmp"}}
	if d.StoreImage != "" {
		env = append(env, corev1.EnvVar{Name: StoreImageVariable, Value: d.StoreImage})
	}
	if len(d.RuntimeImages) > 0 {
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(d.RuntimeImages)) {
			pairs = append(pairs, string(name)+"="+d.RuntimeImages[name].text())
		}
		env = append(env, corev1.EnvVar{Name: RuntimeImagesVariable, Value: strings.Join(pairs, ",")})
	}
	return env
}

// text is the image in the value of RuntimeImagesVariable.
func (i RuntimeImage) text() string {
	if i.Arch == "" {
		return i.Reference
	}
	return i.Reference + ";" + i.Arch
}

// RuntimeImageIn finds the image of a runtime in the value of RuntimeImagesVariable; an empty
// one if it is not there.
func RuntimeImageIn(value string, name topology.RuntimeName) RuntimeImage {
	for pair := range strings.SplitSeq(value, ",") {
		if of, image, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && of == string(name) {
			reference, arch, _ := strings.Cut(image, ";")
			return RuntimeImage{Reference: reference, Arch: arch}
		}
	}
	return RuntimeImage{}
}
