package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apply"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// revertTimeout bounds the way back from a change that was not possible.
const revertTimeout = 2 * time.Minute

// Update makes the running system another one, and returns when every pod is as wanted.
// Pods that are the same for both go on. Those of the agent follow a new description of
// their service in place, if they can. The others are replaced service by service, as
// Deployments do. The image, the seed and the
// arguments of the agents stay those of the system. On an error the system is what it
// was before, or the error says what is not.
func (d *Deployment) Update(ctx context.Context, next *topology.System) error {
	d.updating.Lock()
	defer d.updating.Unlock()
	old := d.System()
	doing := fmt.Sprintf("changing system %q in namespace %q", old.Name, d.Namespace())
	if err := d.checkUpdate(ctx, old, next); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	c, err := d.clientAsStarted(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	place, err := apply.PrepareTarget(ctx, c, next)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, kubeapi.Explain(err))
	}
	if !place.Runs {
		return &NotFoundError{old.Name, d.Namespace(), d.Client}
	}
	before, err := apply.BuildFor(ctx, c, old, d.seed, place)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	after, err := apply.BuildFor(ctx, c, next, d.seed, place)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := d.turn(ctx, c, next, before, after); err != nil {
		err = fmt.Errorf("%s: %w", doing, kubeapi.Explain(err))
		reverting, cancel := context.WithTimeout(context.WithoutCancel(ctx), revertTimeout)
		defer cancel()
		if back := d.turn(reverting, c, old, after, before); back != nil {
			return errors.Join(err, fmt.Errorf("the system is not what it was before, either: %w; %s shows it, and %s makes it what a file says", kubeapi.Explain(back), d.Client.Command("status", old.Name), d.Client.Command("up", "-f", "FILE")))
		}
		return err
	}
	return nil
}

// checkUpdate refuses what no running system can become.
func (d *Deployment) checkUpdate(ctx context.Context, old, next *topology.System) error {
	if err := next.Validate().Err(); err != nil {
		return err
	}
	if next.Name != old.Name {
		return fmt.Errorf("the new description is of system %q; keep the name, or start it beside the other", next.Name)
	}
	if next.Namespace != old.Namespace {
		return fmt.Errorf("a running system cannot move from namespace %q to %q; take it down and bring it up again", old.Namespace, next.Namespace)
	}
	faults, err := d.Active(ctx)
	if err != nil {
		return err
	}
	for i := range faults {
		t := faults[i].Fault.Target
		if next.Service(t.Service) == nil || t.From != "" && next.Service(t.From) == nil {
			return fmt.Errorf("fault %q acts on %s, which the new description lacks; take the fault back first", faults[i].ID, t)
		}
	}
	return nil
}

// turn applies what another plan has otherwise, lets the pods that go on follow it, waits
// until all of it is ready, and deletes what that plan does not have. A pod that starts
// meanwhile finds the new description, because that is applied before any pod is told.
func (d *Deployment) turn(ctx context.Context, c *kubeapi.Client, to *topology.System, from, plan []apply.Object) error {
	live, err := d.deployments(ctx)
	if err != nil {
		return err
	}
	t, err := manifest.Plan(from, plan, apply.Differing(from, plan), live)
	if err != nil {
		return err
	}
	if err := apply.Apply(ctx, c, t.Objects); err != nil {
		return err
	}
	d.SetSystem(to)
	if t.Starts {
		// Nobody calls a service before its pods are ready.
		if err := watch.AwaitReady(ctx, c, to, d.Namespace()); err != nil {
			return err
		}
	}
	followed := d.following(t.InPlace)
	if err := apply.Apply(ctx, c, t.Replacing(followed.ready(ctx))); err != nil {
		return err
	}
	if err := watch.AwaitReady(ctx, c, to, d.Namespace()); err != nil {
		return err
	}
	if err := followed.all(ctx, followTimeout); err != nil {
		return err
	}
	if err := d.Connected(ctx); err != nil {
		return err
	}
	if err := apply.Prune(ctx, c, to.Name, d.Namespace(), plan); err != nil {
		return err
	}
	return d.forgetPeers(ctx, from, plan)
}

// deployments are those of the services, by name.
func (d *Deployment) deployments(ctx context.Context) (map[string]*appsv1.Deployment, error) {
	list, err := d.Client.Clientset.AppsV1().Deployments(d.Namespace()).List(ctx, metav1.ListOptions{LabelSelector: manifest.Selector(d.System().Name)})
	if err != nil {
		return nil, fmt.Errorf("asking for the services of system %q: %w", d.System().Name, kubeapi.Explain(err))
	}
	all := map[string]*appsv1.Deployment{}
	for i := range list.Items {
		all[list.Items[i].Labels[manifest.ServiceLabel]] = &list.Items[i]
	}
	return all, nil
}

// clientAsStarted is a client with which the pods of the system are made as those that
// run: of the same images, with the same arguments.
func (d *Deployment) clientAsStarted(ctx context.Context) (*kubeapi.Client, error) {
	list, err := d.Client.Clientset.AppsV1().Deployments(d.Namespace()).List(ctx, metav1.ListOptions{LabelSelector: manifest.Selector(d.System().Name)})
	if err != nil {
		return nil, fmt.Errorf("asking for its services: %w", kubeapi.Explain(err))
	}
	c := *d.Client
	c.Config.Namespace = d.Namespace()
	if image, policy := manifest.AgentOf(list.Items); image != "" {
		c.Config.Image, c.Config.PullPolicy = image, policy
		c.Config.AgentArgs = manifest.AgentArgsOf(list.Items)
	} else if c.Config.Image == "" {
		if c.Config.Image, c.Config.PullPolicy, err = c.Config.FindImage(ctx); err != nil {
			return nil, err
		}
	}
	if image, policy := manifest.StoreImageOf(list.Items); image != "" {
		c.Config.StoreImage = func(context.Context) (string, corev1.PullPolicy, error) { return image, policy, nil }
	}
	c.Config.RuntimeImage = d.runtimeImages(list.Items)
	c.Config.PullSecret = kubeapi.PullSecret{Name: manifest.PullSecretOf(list.Items), From: d.Namespace()}
	return &c, nil
}

// runtimeImages finds the images of runtimes at the services that have them, and others
// as the client does.
func (d *Deployment) runtimeImages(deployments []appsv1.Deployment) func(context.Context, topology.RuntimeName) (manifest.RuntimeImage, error) {
	images, system := map[topology.RuntimeName]manifest.RuntimeImage{}, d.System()
	for i := range deployments {
		s := system.Service(deployments[i].Labels[manifest.ServiceLabel])
		if s == nil {
			continue
		}
		if r, foreign := s.Foreign(); foreign {
			pod := &deployments[i].Spec.Template.Spec
			images[r.Name] = manifest.RuntimeImage{Reference: imageOf(pod), Arch: pod.NodeSelector[corev1.LabelArchStable]}
		}
	}
	bring := d.Client.Config.RuntimeImage
	return func(ctx context.Context, name topology.RuntimeName) (manifest.RuntimeImage, error) {
		switch {
		case images[name].Reference != "":
			return images[name], nil
		case bring != nil:
			return bring(ctx, name)
		}
		return manifest.RuntimeImage{}, fmt.Errorf("no service of the running system has runtime %s, so its image is not on the nodes; bring the system up with %s", name, d.Client.Command("up", "-f", "FILE"))
	}
}

func imageOf(pod *corev1.PodSpec) string {
	for i := range pod.Containers {
		if pod.Containers[i].Name == manifest.ContainerName {
			return pod.Containers[i].Image
		}
	}
	return ""
}
