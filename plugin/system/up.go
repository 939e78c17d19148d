// Package system has the commands about a running system: up, down, status, top,
// logs, call, and those about sandboxes.
package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/preview"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// upOptions holds the flags of `up`.
type upOptions struct {
	streams cli.Streams
	inputs  cli.Inputs
	target  target.Target
	local   local.Flags
	sending sending
	name    string
	seed    uint64
	detach  bool
	update  bool
	// frameworks gives services the runtimes that their labels name.
	frameworks bool
	output     cli.Output
	dryRun     string
	force      bool
	flags      *pflag.FlagSet
	// podMonitor is nil if the flag was not given.
	podMonitor *bool
}

// NewUp returns the command `up`.
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
  kubectl microsim up social --on local --detach
  kubectl microsim up shop --on local --otlp http://localhost:4318`,
		ValidArgsFunction: cli.CompleteInputs(document.KindSystem, document.KindExperiment, "Simulation", "MockServiceGraph"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(cmd, args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context(), args)
		},
	}
	o.inputs.AddFlags(cmd, "the system")
	o.target.AddFlags(cmd)
	o.local.AddFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "name of the system, in place of the file's")
	flags.Uint64Var(&o.seed, "seed", document.DefaultSeed, "seed of all random decisions")
	flags.BoolVar(&o.detach, "detach", false, "leave the system running in the background")
	flags.BoolVar(&o.update, "update", false, "change the running system of that name to what the file says")
	flags.BoolVarP(&o.local.Verbose, "verbose", "v", false, "log every request")
	flags.StringVar(&o.local.LogFormat, "log-format", service.TextLogs, "format of the services' logs: text or json")
	cli.CompleteFlag(cmd, "log-format", service.TextLogs, service.JSONLogs)
	o.local.Tell = true
	o.sending.AddFlags(cmd)
	flags.BoolVar(&o.frameworks, "frameworks", false, "serve services by the runtimes that their language and framework name, such as those of a Simulation")
	cli.OnlyOn(flags, []string{"local"}, append(sendingFlags(), "detach", "update", "frameworks")...)
	flags.StringVar(&o.dryRun, "dry-run", "none", "only say what would be done: none, client, or server, which has the cluster check it")
	flags.Lookup("dry-run").NoOptDefVal = "client"
	cli.CompleteFlag(cmd, "dry-run", "none", "client", "server")
	flags.BoolVar(&o.force, "force-conflicts", false, "take over what others have changed of the system's objects")
	flags.Var(cli.NewOptionalBool(&o.podMonitor), "pod-monitor", "add a PodMonitor for the operator of Prometheus: true or false (default true if the cluster knows the kind)")
	flags.Lookup("pod-monitor").NoOptDefVal = "true"
	cli.CompleteFlag(cmd, "pod-monitor", "true", "false")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "force-conflicts", "pod-monitor")
	o.output.AddFlags(cmd, append(cli.Templates(), "name")...)
	o.target.Kube.AddImageFlags(cmd)
	return cmd
}

func (o *upOptions) Validate(cmd *cobra.Command, args []string) error {
	if len(o.inputs.Filenames)+len(args) == 0 {
		return errors.New("there is no system to bring up: name a file with -f, or an example")
	}
	for _, check := range []func() error{
		o.output.Validate,
		func() error { return cli.OneOf("dry-run", o.dryRun, "none", "client", "server") },
		func() error { return o.sending.Validate(o, cmd.Flags()) },
		func() error { return o.target.Validate(cmd) },
		o.local.Validate,
		func() error { return cli.OneOf("log-format", o.local.LogFormat, service.TextLogs, service.JSONLogs) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	o.flags = cmd.Flags()
	o.target.Kube.Verbose, o.target.Kube.LogFormat = o.local.Verbose, o.local.LogFormat
	flags := cmd.Flags()
	switch {
	case o.dryRun == "server" && !o.target.OnCluster():
		return errors.New("--dry-run=server asks a cluster, and there is none with --on local: write --dry-run=client")
	case o.dryRun == "client" && o.force:
		return errors.New("--force-conflicts changes what a cluster does, and --dry-run=client asks none: write --dry-run=server")
	case flags.Changed("name") && o.name == "":
		return errors.New("--name \"\" is not a name: leave it out to take the file's")
	case o.update && o.dryRun != "none":
		return errors.New("--update asks the running system what is to change, and --dry-run asks none: keep one")
	case o.dryRun == "client" && !o.target.OnCluster() && o.output.Machine():
		return cli.Refuse(flags, "are not of the system, which is all that --dry-run prints with --output: leave them out, or --output", settings()...)
	case o.update:
		return cli.Refuse(flags, "are decided when a system starts, and --update changes one that runs: leave them out, or take the system down first",
			append(sendingFlags(), "isolation", "port-base", "seed", "verbose", "log-format", "detach")...)
	}
	return nil
}

// settings lists the flags that say how a system is started. They do not change its
// description.
func settings() []string {
	return append(sendingFlags(), "seed", "isolation", "port-base", "verbose", "log-format", "detach", "ready-timeout", "image-pull-secret")
}

func (o *upOptions) run(ctx context.Context, args []string) error {
	system, err := o.system(ctx, args)
	if err != nil {
		return err
	}
	switch {
	case o.target.OnCluster():
		return o.onKubernetes(ctx, system)
	case o.dryRun == "client":
		return o.planLocal(ctx, system)
	case o.update:
		return o.change(ctx, system)
	case o.detach:
		return o.detached(ctx, system)
	}
	return o.foreground(ctx, system)
}

// planLocal prints what `up` would start on this machine, or returns why it would
// not.
func (o *upOptions) planLocal(ctx context.Context, system *topology.System) error {
	if o.output.Machine() {
		if o.output.Names() {
			return cli.PrintNames(o.streams.Out, "system", []string{system.Name})
		}
		text, err := spec.FormatSystem(system)
		if err != nil {
			return err
		}
		if o.output.Format == "yaml" {
			_, err := o.streams.Out.Write(text)
			return err
		}
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			return fmt.Errorf("describing system %q: %w", system.Name, err)
		}
		return o.output.Object(o.streams.Out, v)
	}
	deployer, err := o.local.DeployerIn("", o.streams.Err) // a dry run stores nothing
	if err != nil {
		return err
	}
	if err := deployer.CanDeploy(ctx, system); err != nil {
		return err
	}
	if err := preview.Services(o.streams.Out, system); err != nil {
		return err
	}
	preview.Settings(o.streams.Out, o.flags, settings()...)
	fmt.Fprintf(o.streams.Out, "system/%s up (dry run)\n", system.Name)
	return nil
}

// system returns the one system in the files, which may be the system of an
// experiment.
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
		return nil, fmt.Errorf("the files describe %d systems (%s): write each into a file of its own, and bring them up one by one", len(systems), strings.Join(names, ", "))
	}
	system := systems[0]
	if o.name != "" {
		system.Name = o.name
		if err := system.Validate().Err(); err != nil {
			return nil, fmt.Errorf("--name %q: %w", o.name, err)
		}
	}
	if o.frameworks {
		if err := system.TakeFrameworks(); err != nil {
			return nil, err
		}
		if err := system.Validate().Err(); err != nil {
			return nil, fmt.Errorf("--frameworks: %w", err)
		}
	}
	return system, nil
}

// change changes the running system to the description of the file. Unchanged
// services go on undisturbed.
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
	return printSystem(o.streams.Out, &o.output, status)
}

// foreground keeps the system up until a signal, or until another program takes
// it down.
func (o *upOptions) foreground(ctx context.Context, system *topology.System) error {
	o.sending.begin(o, system.Name, o.streams.Err) //nolint:contextcheck // what is sent to others goes on until the system is down
	deployer, err := o.local.Deployer(o.streams.Err)
	if err != nil {
		return o.sending.end(context.WithoutCancel(ctx), o.streams.Err, func() error { return err })
	}
	cleaned := cli.RecoverWith(ctx, o.target.Command("down", system.Name))
	deployment, err := deployer.Up(ctx, system, o.seed)
	if err != nil {
		cleaned()
		return o.sending.end(context.WithoutCancel(ctx), o.streams.Err, func() error { return cli.Cause(ctx, err) })
	}
	takeDown := func() error {
		aside := context.WithoutCancel(ctx)
		return o.sending.end(aside, o.streams.Err, func() error { return deployment.Close(aside) })
	}
	if err := o.sending.follow(ctx, deployment); err != nil {
		return errors.Join(cli.Cause(ctx, err), takeDown())
	}
	status, err := deployment.Status(ctx)
	if err == nil {
		err = printSystem(o.streams.Out, &o.output, status)
	}
	if err != nil {
		return errors.Join(cli.Cause(ctx, err), takeDown())
	}
	if os.Getenv(detachedEnv) == "" {
		fmt.Fprintf(o.streams.Err, "\nControl plane of %s at %s; Ctrl-C takes it down.\n", system.Name, deployment.ControlURL())
	}
	select {
	case <-ctx.Done():
		fmt.Fprintf(o.streams.Err, "\nTaking %s down.\n", system.Name)
	case <-deployment.ShutdownRequested():
	}
	if err := takeDown(); err != nil {
		return err
	}
	cleaned()
	removeOwnLog()
	fmt.Fprintf(o.streams.Err, "system/%s deleted\n", system.Name)
	return nil
}

// printSystem prints the services of a running system.
func printSystem(w io.Writer, output *cli.Output, status *control.Status) error {
	if output.Names() {
		return cli.PrintNames(w, "system", []string{status.Name})
	}
	if output.Machine() {
		return output.Object(w, status)
	}
	var rows [][]string
	for i := range status.Services {
		s := &status.Services[i]
		rows = append(rows, []string{s.Name, s.Endpoint, serviceKind(s), strings.Join(s.Calls, ",")})
	}
	return output.Table(w, []string{"NAME", "ENDPOINT", "KIND", "CALLS"}, rows)
}
