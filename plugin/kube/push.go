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

// pushes has the references by digest of the images that this command has pushed, by
// the reference to which they were pushed. So the runs of a series push each image
// once.
type pushes struct {
	mu   sync.Mutex
	done map[string]string
}

// push pushes an image by put, unless this command has pushed it already, and returns
// its reference by digest.
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

// Published returns the images of this program's release in a public registry, or nil if it
// has none.
func Published() (*image.Published, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program, beside which the images of its release are named: %w", err)
	}
	return image.FindPublished(self, version.String())
}

// ValidateImages refuses references of images and names of Secrets that are not
// valid.
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
