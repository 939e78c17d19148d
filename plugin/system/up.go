// Package system is the commands about a running system: up, down, status, top, logs,
// call, and those about sandboxes.
package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/preview"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// upOptions are those of `up`.
type upOptions struct {
	streams cli.Streams
	inputs  cli.Inputs
	target  target.Target
	local   local.Flags
	name    string
	seed    uint64
	detach  bool
	update  bool
	output  string
	verbose bool
	dryRun  string
	force   bool
	// podMonitor is nil where nothing was said.
	podMonitor *bool
}

func NewUp(streams cli.Streams) *cobra.Command {
	o := &upOptions{streams: streams, target: target.New()}
	cmd := &cobra.Command{
		Use:   "up (-f FILE | EXAMPLE)",
		Short: "Bring a system up",
		Long: `Bring a system up.

On a cluster, its services become Deployments and Services in the namespace of -n, or of the
system's file, or in one of the system's name that is made for it. 'up' returns when all pods
are ready, and says what is wrong where they cannot be; the system stays until 'down'. Called
again, it changes what has changed in the file. --on kind makes a sandbox where there is none.

With --on local, the services listen on the loopback interface until Ctrl-C, or until 'down'
where --detach was given. A control plane takes MicroSim requests at its root, and shows a
browser there how the services are; 'status', 'call', 'load', 'fault' and 'down' find the
system by its name.`,
		Example: `  kubectl microsim up -f system.yaml --image registry.example/microsim-agent:v1
  kubectl microsim up -f system.yaml --on kind
  kubectl microsim up -f system.yaml --dry-run=client -o yaml
  kubectl microsim up -f system.yaml --on local
  kubectl microsim up social --on local --detach`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context(), args)
		},
	}
	o.inputs.AddFlags(cmd, "the system")
	o.target.AddFlags(cmd)
	o.local.AddFlags(cmd)
	cmd.Flags().StringVar(&o.name, "name", "", "name of the system, in place of the file's")
	cmd.Flags().Uint64Var(&o.seed, "seed", document.DefaultSeed, "seed of all random decisions")
	cmd.Flags().BoolVar(&o.detach, "detach", false, "leave the system running in the background")
	cmd.Flags().BoolVar(&o.update, "update", false, "change the running system of that name to what the file says")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "output format: json or yaml")
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "log every request")
	cmd.Flags().StringVar(&o.dryRun, "dry-run", "none", "only say what would be done: none, client, or server, which has the cluster check it")
	cmd.Flags().Lookup("dry-run").NoOptDefVal = "client"
	cmd.Flags().BoolVar(&o.force, "force-conflicts", false, "take over what others have changed of the system's objects")
	cmd.Flags().Var(cli.NewOptionalBool(&o.podMonitor), "pod-monitor", "add a PodMonitor for the operator of Prometheus: true or false (default where the cluster knows the kind)")
	cmd.Flags().Lookup("pod-monitor").NoOptDefVal = "true"
	o.target.Kube.AddImageFlags(cmd)
	return cmd
}

func (o *upOptions) Validate(args []string) error {
	if len(o.inputs.Filenames)+len(args) == 0 {
		return errors.New("there is no system to bring up: name a file with -f, or an example")
	}
	if o.output != "" {
		if err := cli.OneOf("output", o.output, "json", "yaml"); err != nil {
			return err
		}
	}
	if err := cli.OneOf("dry-run", o.dryRun, "none", "client", "server"); err != nil {
		return err
	}
	if err := o.target.Validate(); err != nil {
		return err
	}
	if o.dryRun == "server" && !o.target.OnCluster() {
		return errors.New("--dry-run=server asks a cluster, and there is none with --on local: write --dry-run=client")
	}
	return nil
}

func (o *upOptions) run(ctx context.Context, args []string) error {
	system, err := o.system(ctx, args)
	if err != nil {
		return err
	}
	if o.target.OnCluster() {
		return o.onKubernetes(ctx, system)
	}
	if o.dryRun == "client" {
		if err := preview.Services(o.streams.Out, system); err != nil {
			return err
		}
		fmt.Fprintf(o.streams.Out, "system/%s up (dry run)\n", system.Name)
		return nil
	}
	if o.update {
		return o.change(ctx, system)
	}
	if o.detach {
		return o.detached(ctx, system)
	}
	return o.foreground(ctx, system)
}

// system reads the one system that the files describe; that of an experiment
// will do.
func (o *upOptions) system(ctx context.Context, args []string) (*topology.System, error) {
	docs, err := o.inputs.Read(ctx, o.streams, args)
	if err != nil {
		return nil, err
	}
	cli.ShowNotes(o.streams.Err, docs)
	systems := docs.Systems()
	if len(systems) == 0 {
		for _, e := range docs.Experiments() {
			system := e.System
			systems = append(systems, &system)
		}
	}
	switch {
	case len(systems) == 0:
		return nil, fmt.Errorf("the files describe no system: write one of kind System, or an experiment with one")
	case len(systems) > 1:
		var names []string
		for _, s := range systems {
			names = append(names, s.Name)
		}
		return nil, fmt.Errorf("the files describe %d systems (%s): bring them up one by one", len(systems), strings.Join(names, ", "))
	}
	system := systems[0]
	if o.name != "" {
		system.Name = o.name
		if err := system.Validate().Err(); err != nil {
			return nil, fmt.Errorf("--name %q: %w", o.name, err)
		}
	}
	return system, nil
}

// change makes the running system what the file says. Services that are the same
// go on undisturbed.
func (o *upOptions) change(ctx context.Context, system *topology.System) error {
	client, err := local.Find(system.Name)
	if err != nil {
		return err
	}
	if err := client.Update(ctx, system); err != nil {
		return err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	return printSystem(o.streams.Out, o.output, status)
}

// foreground keeps the system up until a signal, or until somebody else takes
// it down.
func (o *upOptions) foreground(ctx context.Context, system *topology.System) error {
	deployer, err := o.local.Deployer(o.streams.Err, o.verbose)
	if err != nil {
		return err
	}
	deployment, err := deployer.Up(ctx, system, o.seed)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	status, err := deployment.Status(ctx)
	if err == nil {
		err = printSystem(o.streams.Out, o.output, status)
	}
	if err != nil {
		return errors.Join(err, deployment.Close(context.WithoutCancel(ctx)))
	}
	if os.Getenv(detachedEnv) == "" {
		fmt.Fprintf(o.streams.Err, "\nControl plane of %s at %s; Ctrl-C takes it down.\n", system.Name, deployment.ControlURL())
	}
	select {
	case <-ctx.Done():
		fmt.Fprintf(o.streams.Err, "\nTaking %s down.\n", system.Name)
	case <-deployment.ShutdownRequested():
	}
	if err := deployment.Close(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	fmt.Fprintf(o.streams.Err, "system/%s deleted\n", system.Name)
	return nil
}

// printSystem prints the services of a running system.
func printSystem(w io.Writer, output string, status *control.Status) error {
	if output != "" {
		return cli.PrintObject(w, output, status)
	}
	var rows [][]string
	for i := range status.Services {
		s := &status.Services[i]
		rows = append(rows, []string{s.Name, s.Endpoint, serviceKind(s), strings.Join(s.Calls, ",")})
	}
	return cli.PrintTable(w, []string{"NAME", "ENDPOINT", "KIND", "CALLS"}, rows)
}
