package kube

import (
	"context"
	"fmt"
	"os"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/microsim-dev/kubectl-microsim/cluster/image"
	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// pushes are the references, by digest, of the images that this command has pushed, by
// where they went. So the runs of a series push each of them once.
type pushes struct {
	mu   sync.Mutex
	done map[string]string
}

// push has an image pushed unless this command has pushed it already, and returns its
// reference by digest.
func (k *Flags) push(ctx context.Context, to string, put func() (string, error)) (string, error) {
	k.pushed.mu.Lock()
	defer k.pushed.mu.Unlock()
	if reference := k.pushed.done[to]; reference != "" {
		return reference, nil
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	// A program that docker's configuration names for credentials has no bound.
	reference, err := cli.Interruptible(ctx, put)
	if err != nil {
		return "", err
	}
	if k.pushed.done == nil {
		k.pushed.done = map[string]string{}
	}
	k.pushed.done[to] = reference
	return reference, nil
}

// Published are the images that the release of this program has in a public registry; nil if
// it has none.
func Published() (*image.Published, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program, beside which the images of its release are named: %w", err)
	}
	return image.FindPublished(self, version.String())
}

// ValidateImages refuses images and Secrets that no cluster could have.
func (k *Flags) ValidateImages() error {
	if k.Image != "" {
		if err := image.CheckReference(k.Image); err != nil {
			return fmt.Errorf("--image: %w", err)
		}
	}
	if k.Push != "" {
		if err := image.CheckPush(k.Push); err != nil {
			return fmt.Errorf("--push: %w", err)
		}
	}
	if k.PullSecret != "" {
		if wrong := validation.IsDNS1123Subdomain(k.PullSecret); len(wrong) > 0 {
			return fmt.Errorf("--image-pull-secret %q cannot be the name of a Secret: %s", k.PullSecret, wrong[0])
		}
	}
	return nil
}
