package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/workload"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// selectOptions holds the flags of faults on pods that are selected by labels.
type selectOptions struct {
	selector string
	to       []string
	podGuard
}

// A podGuard has the flags that protect foreign pods from being broken by mistake.
type podGuard struct {
	allowSystem bool
	maxPods     int
	yes         bool
}

// addFlags adds the flags; about names, in the help, the pods that they protect.
func (g *podGuard) addFlags(cmd *cobra.Command, about string) {
	flags := cmd.Flags()
	flags.BoolVar(&g.allowSystem, "allow-system", false, about+": admit pods that the cluster itself needs")
	flags.IntVar(&g.maxPods, "max-pods", 10, about+": refuse to break more pods than this")
	flags.BoolVarP(&g.yes, "yes", "y", false, about+": do not ask before breaking pods")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "allow-system", "max-pods", "yes")
}

// validate refuses a bound that admits no pod.
func (g *podGuard) validate() error {
	if g.maxPods < 1 {
		return fmt.Errorf("--max-pods %d breaks nothing: write 1 or more", g.maxPods)
	}
	return nil
}

func (o *selectOptions) AddFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&o.selector, "selector", "l", "", "in place of --target: break the pods of -n with these labels, including pods outside any system")
	flags.StringArrayVar(&o.to, "to", nil, "with --selector: only packets to and from an address, a CIDR, a Service (cart, cart.shop) or a name in the DNS; may be repeated")
	o.addFlags(cmd, "with --selector")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "selector", "to")
}

// selectedFor is how long faults on selected pods last without --for.
const selectedFor = unit.Duration(5 * time.Minute)

// validateSelection refuses flags that do not go together.
func (o *addOptions) validateSelection(flags *pflag.FlagSet) error {
	if !flags.Changed("selector") {
		return cli.Refuse(flags, "are about pods that --selector names: write it, or leave them out", "to", "allow-system", "max-pods", "yes", "push")
	}
	if err := o.podGuard.validate(); err != nil {
		return err
	}
	return cli.Refuse(flags, "do not go with --selector, which names the pods to break: leave them out; --to limits what is broken to destinations", "target", "system", "from")
}

func (o *addOptions) run(ctx context.Context, f fault.Fault) error {
	if o.selector != "" && o.lasts == 0 {
		o.lasts = selectedFor
		f.Duration = o.lasts
		fmt.Fprintf(o.streams.Err, "note: it lasts for %v; --for says otherwise\n", o.lasts)
	}
	at, err := o.injector(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	id := o.name
	if id == "" {
		id = faultID(f)
	}
	if o.dryRun || o.selector != "" {
		if err := o.plan(ctx, at, id, f); err != nil || o.dryRun {
			return cli.Cause(ctx, err)
		}
	}
	if system, err := runningSystem(ctx, at); err == nil && system != nil {
		noteUnused(o.streams.Err, system, &f)
		noteOneThread(o.streams.Err, system, &f)
	}
	cleaned := cli.RecoverWith(ctx, o.Command("clear", id))
	// Count the duration from now, without the time that the user needed to answer.
	deadline := o.until()
	if err := at.Inject(ctx, id, f, deadline); err != nil {
		if ctx.Err() != nil {
			// The fault may have been added before the interrupt came.
			err = errors.Join(err, o.takeBack(ctx, at, id))
		}
		cleaned()
		return cli.Cause(ctx, err)
	}
	fmt.Fprintf(o.streams.Out, "fault/%s added\n", id)
	if o.wait {
		defer cleaned()
		return o.waitFor(ctx, at, id, deadline)
	}
	cleaned()
	if o.target.OnCluster() && !timeline.ActsOnce(&f) {
		fmt.Fprintln(o.streams.Err, "note: it acts in the pods that are there now; pods that come later get it only while --wait follows them")
	}
	return nil
}

// injector returns the system or the pods that the flags mean.
func (o *addOptions) injector(ctx context.Context) (injector, error) {
	k := o.target.Kube
	if o.selector == "" {
		return o.find(ctx, func(c *kubeapi.Config) { c.Image = k.Image })
	}
	c, err := o.target.Cluster(ctx, o.streams, func(c *kubeapi.Config) { c.FindImage = k.ImageFinder(o.target.On, o.streams) })
	if err != nil {
		return nil, err
	}
	namespace, err := k.Namespace(ctx, o.target.On)
	if err != nil {
		return nil, err
	}
	at, err := workload.Select(ctx, c.Client, workload.Selection{Namespace: namespace, Selector: o.selector, To: o.to, AllowSystem: o.allowSystem, MaxPods: o.maxPods})
	if err != nil {
		return nil, err
	}
	return at, nil
}

// waitFor waits until the fault ends or the command is interrupted. Meanwhile the
// fault also acts on new pods.
func (o *addOptions) waitFor(ctx context.Context, at injector, id string, deadline time.Time) error {
	waiting := ctx
	if !deadline.IsZero() {
		var stop context.CancelFunc
		waiting, stop = context.WithDeadline(ctx, deadline)
		defer stop()
		fmt.Fprintf(o.streams.Err, "It acts for %v, on pods that come later, too; an interrupt takes it back sooner.\n", o.lasts)
	} else {
		fmt.Fprintln(o.streams.Err, "It acts, on pods that come later, too, until an interrupt takes it back.")
	}
	if p, follows := at.(planner); follows {
		p.Follow(waiting)
	} else {
		<-waiting.Done()
	}
	if err := o.takeBack(ctx, at, id); err != nil {
		return err
	}
	fmt.Fprintf(o.streams.Out, "fault/%s cleared\n", id)
	return nil
}

// takeBack clears the fault, even if ctx has ended.
func (o *addOptions) takeBack(ctx context.Context, at injector, id string) error {
	clearing, cancel := context.WithTimeout(context.WithoutCancel(ctx), runner.ClearTimeout)
	defer cancel()
	if err := at.Clear(clearing, id); err != nil {
		return &runner.CleanupError{Left: []string{"fault/" + id}, Err: err, Remedy: "run " + o.Command("clear", id)}
	}
	return nil
}
