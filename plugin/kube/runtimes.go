package kube

import (
	"context"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/access"
	"github.com/microsim-dev/kubectl-microsim/cluster/image"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/sandbox"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runtimes"
)

// A loader loads an image into the nodes of a cluster.
type loader func(ctx context.Context, reference string, archive sandbox.Archive) error

// runtimeFinder returns a function that makes the image of a runtime available to the
// cluster, in the same way as the agent's image. load is nil if this machine cannot load
// images into the nodes.
func (k *Flags) runtimeFinder(streams cli.Streams, config *rest.Config, load loader) func(context.Context, topology.RuntimeName) (manifest.RuntimeImage, error) {
	find := noRuntimes
	switch {
	case k.Push != "":
		find = func(ctx context.Context, name topology.RuntimeName) (manifest.RuntimeImage, error) {
			return k.pushRuntime(ctx, streams, config, name)
		}
	case load != nil:
		find = runtimeLoader(config, load)
	case k.Image != "":
		find = func(_ context.Context, name topology.RuntimeName) (manifest.RuntimeImage, error) {
			return k.RuntimeImageToExpect(name)
		}
	}
	return givenRuntimes(os.Getenv(manifest.RuntimeImagesVariable), find)
}

// runtimeLoader returns a function that builds the image of a runtime from its
// installation on this machine, and loads it into the nodes of a cluster.
func runtimeLoader(config *rest.Config, load loader) func(context.Context, topology.RuntimeName) (manifest.RuntimeImage, error) {
	return func(ctx context.Context, name topology.RuntimeName) (manifest.RuntimeImage, error) {
		arch, err := access.Architecture(ctx, config)
		if err != nil {
			return manifest.RuntimeImage{}, err
		}
		img, err := RuntimeImage(name, arch) //nolint:contextcheck // nothing is started of what is found
		if err != nil {
			return manifest.RuntimeImage{}, err
		}
		return manifest.RuntimeImage{Reference: img.Tag.String()}, load(ctx, img.Tag.String(), img)
	}
}

// pushRuntime builds the image of a runtime from its installation on this machine, and
// pushes it beside the agent's image. It runs on nodes of this machine's architecture.
func (k *Flags) pushRuntime(ctx context.Context, streams cli.Streams, config *rest.Config, name topology.RuntimeName) (manifest.RuntimeImage, error) {
	arch, err := access.NodeArchitecture(ctx, config)
	if err != nil {
		return manifest.RuntimeImage{}, err
	}
	to := BesideAgent(k.Push, string(name))
	reference, err := k.push(ctx, to, func() (string, error) {
		img, err := RuntimeImage(name, arch) //nolint:contextcheck // nothing is started of what is found
		if err != nil {
			return "", err
		}
		fmt.Fprintf(streams.Err, "Pushing the image of runtime %s (%d MB unpacked) to %s, for nodes of %s\n", name, img.Size()/1e6, to, arch)
		return image.Push(ctx, []*image.Bundled{img}, to)
	})
	return manifest.RuntimeImage{Reference: reference, Arch: arch}, err
}

// RuntimeImageToExpect returns the image of a runtime beside the agent's image of --image
// or --push. An error says why it is not known.
func (k *Flags) RuntimeImageToExpect(name topology.RuntimeName) (manifest.RuntimeImage, error) {
	named := k.Image + k.Push // at most one is given
	if strings.Contains(named, "@") {
		return manifest.RuntimeImage{}, fmt.Errorf("finding the image of runtime %s: the agent's image %q is named by its digest, which tells no other; name it by a tag, beside which TAG-%s is, or name that of the runtime in the environment variable %s=%s=REFERENCE", name, named, name, manifest.RuntimeImagesVariable, name)
	}
	return manifest.RuntimeImage{Reference: BesideAgent(named, string(name))}, nil
}

// noRuntimes refuses runtimes for a cluster into whose nodes this machine cannot
// load images.
func noRuntimes(_ context.Context, name topology.RuntimeName) (manifest.RuntimeImage, error) {
	return manifest.RuntimeImage{}, fmt.Errorf("runtime %s: its image is made on this machine, and the nodes of this cluster cannot be reached from here, as those of kind, minikube and k3d could; push it to a registry that they can pull from with --push REFERENCE, or leave runtime out", name)
}

// givenRuntimes returns a function for a program in a pod: it returns the images of
// runtimes that were made available for this program, and asks find for others.
func givenRuntimes(given string, find func(context.Context, topology.RuntimeName) (manifest.RuntimeImage, error)) func(context.Context, topology.RuntimeName) (manifest.RuntimeImage, error) {
	return func(ctx context.Context, name topology.RuntimeName) (manifest.RuntimeImage, error) {
		if image := manifest.RuntimeImageIn(given, name); image.Reference != "" {
			return image, nil
		}
		return find(ctx, name)
	}
}

// ImageSize returns the size, in bytes, of the files in the image of a runtime for
// nodes of an architecture.
func ImageSize(name topology.RuntimeName, arch string) (int64, error) {
	if name != topology.Agent {
		img, err := RuntimeImage(name, arch)
		if err != nil {
			return 0, err
		}
		return img.Size(), nil
	}
	plugin, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("finding this program: %w", err)
	}
	agent, err := image.Find(plugin, arch)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(agent.Path)
	if err != nil {
		return 0, fmt.Errorf("reading the size of the agent: %w", err)
	}
	return info.Size(), nil
}

// RuntimeImage builds the image of a runtime, for nodes of an architecture, from
// its installation on this machine.
func RuntimeImage(name topology.RuntimeName, arch string) (*image.Bundled, error) {
	store, err := runtimes.Default()
	if err != nil {
		return nil, err
	}
	m, err := runtimes.Lookup(name)
	if err != nil {
		return nil, err
	}
	l, err := store.Layout(&m)
	if err != nil {
		return nil, err
	}
	return image.BundleFiles(&image.Bundle{
		Name: string(m.Name), Arch: arch, Root: l.Root, Dir: l.Dir, Command: l.Command, Env: l.Env(image.BundleRoot), Trees: l.Trees, Without: l.Without,
	})
}
