package kubeapi

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A PullSecret is a Secret with the credentials of registries, with which nodes pull images.
// None is meant if the name is empty.
type PullSecret struct {
	// Name is its name in every namespace of systems.
	Name string
	// From is the namespace that has it. It is copied to namespaces that are made for
	// pods.
	From string
}

// PullSecret reads a Secret with credentials of registries.
func (c *Client) PullSecret(ctx context.Context, s PullSecret) (*corev1.Secret, error) {
	found, err := c.Clientset.CoreV1().Secrets(s.From).Get(ctx, s.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the Secret %q for pulling images in namespace %q: %w", s.Name, s.From, ExplainPullSecret(err, s.Name, s.From))
	}
	return found, CheckPullSecret(found)
}

// CheckPullSecret says why nodes find no credentials in a Secret.
func CheckPullSecret(s *corev1.Secret) error {
	if s.Type == corev1.SecretTypeDockerConfigJson || s.Type == corev1.SecretTypeDockercfg {
		return nil
	}
	return fmt.Errorf("reading the Secret %q for pulling images in namespace %q: its type is %q, in which nodes look for no credentials; %s", s.Name, s.Namespace, s.Type, makePullSecret(s.Name, s.Namespace))
}

// ExplainPullSecret adds the command that makes the Secret to an error that says that it is
// not there.
func ExplainPullSecret(err error, name, namespace string) error {
	if apierrors.IsNotFound(err) {
		return WithNextStep(err, makePullSecret(name, namespace))
	}
	return Explain(err)
}

func makePullSecret(name, namespace string) string {
	return fmt.Sprintf("'kubectl create secret docker-registry %s -n %s --docker-server=REGISTRY --docker-username=USER --docker-password=PASSWORD' makes one", name, namespace)
}
