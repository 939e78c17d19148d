package apply

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// This file brings the Secret with which nodes pull images to where pods refer to it.

// findPullSecret finds the Secret of the client's configuration for pods of a system. In a
// namespace that was made for the system it is a copy, which goes with it.
func findPullSecret(ctx context.Context, c *kubeapi.Client, system string, p *Target) error {
	s := c.Config.PullSecret
	// A program in a pod was given the name of one that is there, and may not read it.
	if p.PullSecret = s.Name; s.Name == "" || c.Inside() {
		return nil
	}
	if p.There {
		there, err := c.Clientset.CoreV1().Secrets(p.Namespace).Get(ctx, s.Name, metav1.GetOptions{})
		switch {
		case err == nil && (!p.Ours || !belongs(there, system) || s.From == p.Namespace):
			return kubeapi.CheckPullSecret(there)
		case err != nil && !(p.Ours && apierrors.IsNotFound(err)):
			return fmt.Errorf("finding the Secret %q of --image-pull-secret in namespace %q: %w", s.Name, p.Namespace, kubeapi.ExplainPullSecret(err, s.Name, p.Namespace))
		}
	}
	found, err := c.PullSecret(ctx, s)
	if err == nil {
		p.pullCopy, err = manifest.BuildPullSecret(system, p.Namespace, found)
	}
	return err
}

// PullSecretIn copies the Secret of the client's configuration for a namespace that is made
// for a system; nil if there is none.
func PullSecretIn(ctx context.Context, c *kubeapi.Client, system, namespace string) (Object, error) {
	p := &Target{Namespace: namespace, Ours: true}
	err := findPullSecret(ctx, c, system, p)
	return p.pullCopy, err
}
