package manifest

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// PullSecretRole is the RoleLabel of copies of Secrets with which nodes pull images.
const PullSecretRole = "image-pull-secret"

// PullSecrets has pods pull their images with a Secret of their namespace; none if the name
// is empty.
func PullSecrets(name string) []corev1.LocalObjectReference {
	if name == "" {
		return nil
	}
	return []corev1.LocalObjectReference{{Name: name}}
}

// PullSecretOf returns the name of the Secret with which the pods of a system pull their
// images; empty if they have none.
func PullSecretOf(deployments []appsv1.Deployment) string {
	for i := range deployments {
		for _, s := range deployments[i].Spec.Template.Spec.ImagePullSecrets {
			return s.Name
		}
	}
	return ""
}

// BuildPullSecret copies a Secret with which nodes pull images to the namespace of a system.
func BuildPullSecret(system, namespace string, from *corev1.Secret) (*unstructured.Unstructured, error) {
	labels := CommonLabels(system)
	labels[RoleLabel] = PullSecretRole
	objects, err := clean([]runtime.Object{&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: from.Name, Namespace: namespace, Labels: labels},
		Type:       from.Type, Data: from.Data,
	}})
	if err != nil {
		return nil, err
	}
	return objects[0], nil
}
