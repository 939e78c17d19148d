package kube

import (
	"context"
	"fmt"
	"os"

	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/access"
	"github.com/microsim-dev/kubectl-microsim/cluster/image"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/sandbox"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runtimes"
)

// A loader brings an image to the nodes of a cluster.
type loader func(ctx context.Context, reference string, archive sandbox.Archive) error

// runtimeLoader makes the images of runtimes from their installations on this machine,
// and has them loaded into the nodes of a cluster.
func runtimeLoader(config *rest.Config, load loader) func(context.Context, topology.RuntimeName) (string, error) {
	return func(ctx context.Context, name topology.RuntimeName) (string, error) {
		arch, err := access.Architecture(ctx, config)
		if err != nil {
			return "", err
		}
		img, err := RuntimeImage(name, arch) //nolint:contextcheck // nothing is started of what is found
		if err != nil {
			return "", err
		}
		return img.Tag.String(), load(ctx, img.Tag.String(), img)
	}
}

// noRuntimes refuses runtimes for a cluster whose nodes are not reached from here.
func noRuntimes(_ context.Context, name topology.RuntimeName) (string, error) {
	return "", fmt.Errorf("runtime %s: its image is made on this machine and loaded into the nodes of kind, minikube and k3d, and this cluster is another; leave runtime out, or build an image from runtimes/ and name it by image", name)
}

// givenRuntimes takes the images of runtimes that were brought to the nodes for this
// program, which runs in a pod, and finds others as find does.
func givenRuntimes(given string, find func(context.Context, topology.RuntimeName) (string, error)) func(context.Context, topology.RuntimeName) (string, error) {
	return func(ctx context.Context, name topology.RuntimeName) (string, error) {
		if reference := manifest.RuntimeImageIn(given, name); reference != "" {
			return reference, nil
		}
		return find(ctx, name)
	}
}

// ImageSize is how many bytes the files of the image of a runtime have, for nodes of an
// architecture. The agent's image has one file.
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

// RuntimeImage makes the image of a runtime, for nodes of an architecture, from its
// installation on this machine.
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
