package system

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
	"github.com/microsim-dev/kubectl-microsim/plugin/preview"
)

// placeholder stands for the image in a plan if the flags name none. It is not a
// valid reference, so that no user takes it for one that can be pulled.
const placeholder = "microsim.dev/agent:NAME-ONE-WITH---image"

// onKubernetes starts the system on a cluster, where it stays until `down`.
func (o *upOptions) onKubernetes(ctx context.Context, system *topology.System) error {
	force := func(c *kubeapi.Config) { c.ForceConflicts, c.PodMonitor = o.force, o.podMonitor }
	if o.dryRun == "client" {
		return o.plan(ctx, system)
	}
	if err := manifest.Check(system); err != nil { // before a sandbox is made for it
		return err
	}
	c, err := o.target.ClusterForPods(ctx, o.streams, force)
	if err != nil {
		return err
	}
	if o.dryRun == "server" {
		objects, err := c.Check(ctx, system, o.seed)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		return printObjects(o.streams, &o.output, objects, "(server dry run)")
	}
	cleaned := cli.RecoverWith(ctx, o.target.Command("down", system.Name))
	deployment, err := c.Up(ctx, system, o.seed)
	cleaned() // from here on the system stays on purpose, or the error names what could not be removed
	if err != nil {
		return cli.Cause(ctx, err)
	}
	status, err := deployment.Status(ctx)
	if err != nil {
		return err
	}
	if o.output.Names() {
		return cli.PrintNames(o.streams.Out, "system", []string{system.Name})
	}
	return printKubeStatus(o.streams, &o.output, status)
}

// plan prints the objects without asking any cluster.
func (o *upOptions) plan(ctx context.Context, system *topology.System) error {
	config := kubeapi.Config{
		REST: offline(), Namespace: *o.target.Kube.Config.Namespace, Image: cmp.Or(o.target.Kube.Image, o.target.Kube.Push),
		ServiceSpec: o.target.Kube.ServiceSpec, AgentArgs: o.target.Kube.AgentArgs(), PodMonitor: o.podMonitor,
	}
	config.StoreImage, config.RuntimeImage = o.storeImageToExpect, o.runtimeImageToExpect
	config.PullSecret.Name = o.target.Kube.PullSecret
	if config.Image == "" && o.target.On != "kind" {
		if p, err := kube.Published(); err != nil {
			return err
		} else if p != nil {
			config.Image = p.Agent
		}
	}
	if config.Image == "" {
		if img, err := kube.AgentImage(runtime.GOARCH); err == nil && o.target.On == "kind" {
			config.Image, config.PullPolicy = img.Tag.String(), corev1.PullNever
			fmt.Fprintln(o.streams.Err, "note: these objects run only on nodes that have the agent's image; a command without --dry-run, such as 'up', loads it")
		} else {
			config.Image = placeholder
			fmt.Fprintln(o.streams.Err, "note: no image is named with --image, so these objects do not run as they are")
		}
	}
	c, err := cluster.New(config)
	if err != nil {
		return err
	}
	objects, err := c.Plan(ctx, system, o.seed)
	if err != nil {
		return err
	}
	if err := printObjects(o.streams, &o.output, objects, "(dry run)"); err != nil || o.output.Machine() {
		return err
	}
	preview.Settings(o.streams.Out, o.flags, settings()...)
	return nil
}

// runtimeImageToExpect returns the image of a runtime for a plan.
func (o *upOptions) runtimeImageToExpect(_ context.Context, name topology.RuntimeName) (manifest.RuntimeImage, error) {
	k := o.target.Kube
	switch {
	case k.Push != "" || k.Image != "" && o.target.On != "kind":
		return k.RuntimeImageToExpect(name)
	case o.target.On != "kind":
		return manifest.RuntimeImage{}, nil // the plan says that no image is known
	}
	img, err := kube.RuntimeImage(name, runtime.GOARCH) //nolint:contextcheck // nothing is started of what is found
	if err != nil {
		return manifest.RuntimeImage{}, err
	}
	return manifest.RuntimeImage{Reference: img.Tag.String()}, nil
}

// storeImageToExpect returns the image of microsim-store for a plan.
func (o *upOptions) storeImageToExpect(context.Context) (string, corev1.PullPolicy, error) {
	k := o.target.Kube
	if k.Image != "" || k.Push != "" {
		reference, err := k.StoreImageToExpect()
		return reference, "", err
	}
	if o.target.On != "kind" {
		if p, err := kube.Published(); err != nil || p != nil {
			reference, err := k.StoreImageToExpect()
			return reference, "", err
		}
	} else if img, err := kube.StoreImage(runtime.GOARCH); err == nil {
		return img.Tag.String(), corev1.PullNever, nil
	}
	return kube.BesideAgent(placeholder, "store"), "", nil
}

// printObjects prints objects as kubectl does: as documents for `kubectl apply`, or
// only their names.
func printObjects(streams cli.Streams, output *cli.Output, objects []*unstructured.Unstructured, mode string) error {
	if output.Machine() && !output.Names() && output.Format != "yaml" {
		return output.Object(streams.Out, cli.AsList(objects))
	}
	for i, o := range objects {
		if output.Format == "yaml" {
			text, err := yaml.Marshal(o.Object)
			if err != nil {
				return fmt.Errorf("writing YAML: %w", err)
			}
			if i > 0 {
				text = append([]byte("---\n"), text...)
			}
			if _, err := streams.Out.Write(text); err != nil {
				return err
			}
			continue
		}
		kind := strings.ToLower(o.GetKind())
		if group, _, found := strings.Cut(o.GetAPIVersion(), "/"); found {
			kind += "." + group
		}
		text := kind + "/" + o.GetName()
		if !output.Names() {
			text += " applied " + mode
		}
		fmt.Fprintln(streams.Out, text)
	}
	return nil
}
