package kube

import (
	"context"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/access"
	"github.com/microsim-dev/kubectl-microsim/cluster/image"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// storeFinder returns a function that makes the image of microsim-store available to the
// cluster, in the same way as the agent's image. load is nil if this machine cannot load
// images into the nodes.
func (k *Flags) storeFinder(streams cli.Streams, config *rest.Config, load loader) func(context.Context) (string, corev1.PullPolicy, error) {
	return func(ctx context.Context) (string, corev1.PullPolicy, error) {
		switch named := os.Getenv(manifest.StoreImageVariable); {
		case named != "":
			return named, "", nil
		case k.Push != "":
			return k.pushStores(ctx, streams)
		case k.Image != "" || load == nil:
			reference, err := k.StoreImageToExpect()
			return reference, "", err
		}
		arch, err := access.Architecture(ctx, config)
		if err != nil {
			return "", "", err
		}
		img, err := StoreImage(arch)
		if err != nil {
			return "", "", err
		}
		return img.Tag.String(), corev1.PullNever, load(ctx, img.Tag.String(), img)
	}
}

// StoreImageToExpect returns the image of microsim-store beside the agent's image of
// --image or --push, or the published one. An error says why it is not known.
func (k *Flags) StoreImageToExpect() (string, error) {
	named := k.Image + k.Push // at most one is given
	if named == "" {
		p, err := Published()
		if err != nil {
			return "", err
		}
		if p != nil {
			return p.Store, nil
		}
	}
	if strings.Contains(named, "@") {
		return "", fmt.Errorf("finding the image of microsim-store, which serves data stores and their callers: the agent's image %q is named by its digest, which tells no other; name it by a tag, beside which TAG-store is, or name that of microsim-store in the environment variable %s", named, manifest.StoreImageVariable)
	}
	return BesideAgent(named, "store"), nil
}

// pushStores pushes the image of microsim-store beside the agent's image.
func (k *Flags) pushStores(ctx context.Context, streams cli.Streams) (string, corev1.PullPolicy, error) {
	to := BesideAgent(k.Push, "store")
	reference, err := k.push(ctx, to, func() (string, error) {
		images, err := imagesOf(image.FindAllStores)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(streams.Err, "Pushing the image of microsim-store to %s, for nodes of %s\n", to, architecturesOf(images))
		return image.Push(ctx, images, to)
	})
	return reference, "", err
}

// StoreImage builds the image of microsim-store for nodes of an architecture.
func StoreImage(arch string) (*image.Image, error) { return imageOf(image.FindStores, arch) }

// BesideAgent returns the reference of another program's image beside the agent's
// image: the same repository with a tag of its own.
func BesideAgent(agent, program string) string {
	name, _, _ := strings.Cut(agent, "@")
	slash := strings.LastIndex(name, "/")
	if repository, tag, tagged := strings.Cut(name[slash+1:], ":"); tagged {
		return name[:slash+1] + repository + ":" + tag + "-" + program
	}
	return name + ":" + program
}
