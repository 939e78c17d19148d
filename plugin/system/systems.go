package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/netfault/netlab"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/faults"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/store/daemon"
)

// NewStatus returns the command `status`.
func NewStatus(streams cli.Streams) *cobra.Command {
	var (
		at     = target.New()
		output cli.Output
	)
	cmd := &cobra.Command{
		Use:   "status [SYSTEM]",
		Short: "Show the running systems, or the services of one",
		Example: `  kubectl microsim status --on local
  kubectl microsim status shop
  kubectl microsim status -A -o name`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: at.CompleteSystems(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(output.Validate(), at.Validate(cmd)); err != nil {
				return cli.Usage(cmd, err)
			}
			if at.OnCluster() {
				return kubeStatus(cmd.Context(), streams, &at, args, &output)
			}
			if len(args) == 0 {
				return listSystems(cmd.Context(), streams, &output)
			}
			client, err := local.Find(args[0])
			if err != nil {
				return err
			}
			status, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			return printStatus(streams, &output, status)
		},
	}
	at.AddFlags(cmd)
	at.AddAllNamespaces(cmd)
	output.AddFlags(cmd, append(cli.Templates(), "name", "wide")...)
	output.AddNoHeaders(cmd)
	return cmd
}

// systemRow is one running system in a list of them.
type systemRow struct {
	Name     string    `json:"name"`
	Services int       `json:"services"`
	Ready    string    `json:"ready"`
	State    string    `json:"state"`
	Control  string    `json:"control,omitempty"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
}

func listSystems(ctx context.Context, streams cli.Streams, output *cli.Output) error {
	systems, err := systemRows(ctx)
	if err != nil {
		return err
	}
	switch {
	case output.Names():
		var names []string
		for i := range systems {
			names = append(names, systems[i].Name)
		}
		return cli.PrintNames(streams.Out, "system", names)
	case output.Machine():
		return output.Object(streams.Out, cli.AsList(systems))
	case len(systems) == 0:
		fmt.Fprintln(streams.Err, "No systems run on this machine.")
		return nil
	}
	var rows [][]string
	for _, s := range systems {
		row := []string{s.Name, fmt.Sprint(s.Services), s.Ready, s.State, cli.Age(time.Since(s.Started))}
		if output.Wide() {
			row = append(row, s.Control, fmt.Sprint(s.PID))
		}
		rows = append(rows, row)
	}
	titles := []string{"NAME", "SERVICES", "READY", "STATE", "AGE"}
	if output.Wide() {
		titles = append(titles, "CONTROL", "PID")
	}
	return output.Table(streams.Out, titles, rows)
}

// systemRows asks each system on this machine for its status.
func systemRows(ctx context.Context) ([]systemRow, error) {
	entries, err := local.Systems()
	if err != nil {
		return nil, err
	}
	systems := []systemRow{}
	for _, e := range entries {
		row := systemRow{Name: e.Name, State: "running", Control: e.ControlURL, PID: e.Holder.PID, Started: e.Started}
		switch {
		case !e.Alive:
			row.State = "dead"
		case e.ControlURL == "":
			row.State = "starting"
		default:
			status, err := control.NewClient(e.Record).Status(ctx)
			if err != nil {
				row.State = "unreachable"
				break
			}
			row.Services, row.Ready = len(status.Services), readyOf(status)
		}
		systems = append(systems, row)
	}
	return systems, nil
}

// readyOf counts the replicas that are ready: 9/10.
func readyOf(status *control.Status) string {
	ready, all := 0, 0
	for i := range status.Services {
		r, n, _ := countReplicas(&status.Services[i])
		ready, all = ready+r, all+n
	}
	return fmt.Sprintf("%d/%d", ready, all)
}

// countReplicas returns how many replicas of a service are ready, how many there
// are, and how often they were restarted.
func countReplicas(s *control.ServiceStatus) (ready, all, restarts int) {
	for _, r := range s.Replicas {
		if r.State == runner.Ready {
			ready++
		}
		restarts += r.Restarts
	}
	return ready, len(s.Replicas), restarts
}

func printStatus(streams cli.Streams, output *cli.Output, status *control.Status) error {
	switch {
	case output.Names():
		var names []string
		for i := range status.Services {
			names = append(names, status.Services[i].Name)
		}
		return cli.PrintNames(streams.Out, "service", names)
	case output.Machine():
		return output.Object(streams.Out, status)
	}
	titles := []string{"NAME", "ENDPOINT", "KIND", "READY", "RESTARTS", "CALLS"}
	if output.Wide() {
		titles = append(titles, "REPLICAS")
	}
	var rows [][]string
	for i := range status.Services {
		s := &status.Services[i]
		ready, all, restarts := countReplicas(s)
		row := []string{s.Name, s.Endpoint, serviceKind(s), fmt.Sprintf("%d/%d", ready, all), fmt.Sprint(restarts), strings.Join(s.Calls, ",")}
		if output.Wide() {
			var replicas []string
			for _, r := range s.Replicas {
				replicas = append(replicas, fmt.Sprintf("%s (%s)", r.URL, r.State))
			}
			row = append(row, strings.Join(replicas, ","))
		}
		rows = append(rows, row)
	}
	if err := output.Table(streams.Out, titles, rows); err != nil {
		return err
	}
	if status.OTLP != nil || status.Fluent != nil {
		fmt.Fprintln(streams.Out)
		report.PrintSent(streams.Out, status.OTLP, status.Fluent)
	}
	if len(status.Faults) > 0 {
		fmt.Fprintln(streams.Out)
		if err := faults.Print(streams, output, status.Faults); err != nil {
			return err
		}
	}
	for i := range status.Faults {
		for _, s := range status.Services {
			if f := &status.Faults[i].Fault; s.Name == f.Target.Service {
				faults.NoteOneThread(streams.Err, s.Runtime, f)
			}
		}
	}
	return nil
}

// serviceKind returns the cell KIND of a service: url, its runtime, the language and framework
// that a Simulation gives it, or its kind, with the engine of a data store.
func serviceKind(s *control.ServiceStatus) string {
	if s.URL != "" {
		return "url"
	}
	if s.Runtime != "" {
		return "runtime " + string(s.Runtime)
	}
	if s.Language != "" {
		return s.Language + "-" + s.Framework
	}
	if s.Engine != "" {
		return string(s.Kind) + " " + string(s.Engine)
	}
	return string(s.Kind)
}

// downOptions holds the flags of `down`.
type downOptions struct {
	streams        cli.Streams
	target         target.Target
	inputs         cli.Inputs
	output         cli.Output
	all            bool
	ignoreNotFound bool
}

// NewDown returns the command `down`.
func NewDown(streams cli.Streams) *cobra.Command {
	o := &downOptions{streams: streams, target: target.New()}
	cmd := &cobra.Command{
		Use:   "down (SYSTEM ... | -f FILE | --all)",
		Short: "Take systems down, and remove all that they made",
		Example: `  kubectl microsim down shop
  kubectl microsim down shop --on local
  kubectl microsim down --all --on local`,
		ValidArgsFunction: o.target.CompleteSystems(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(cmd, args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context(), args)
		},
	}
	o.target.AddFlags(cmd)
	o.target.AddAllNamespaces(cmd)
	o.inputs.AddFlags(cmd, "the files that the systems came from")
	cmd.Flags().BoolVar(&o.all, "all", false, "take down every system there is: on this machine, or in the namespaces that -n or -A means")
	cmd.Flags().BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "a system that does not run is not an error")
	o.output.AddFlags(cmd, "name")
	return cmd
}

func (o *downOptions) Validate(cmd *cobra.Command, args []string) error {
	if err := cmp.Or(o.output.Validate(), o.target.Validate(cmd)); err != nil {
		return err
	}
	named := len(args)+len(o.inputs.Filenames) > 0
	switch {
	case !o.all && !named:
		return errors.New("there is nothing to take down: name systems, or write --all")
	case o.all && named:
		return errors.New("--all takes down every system, and some are named, too: keep one")
	case o.all && o.ignoreNotFound:
		return errors.New("--ignore-not-found is about systems that are named, and --all names none: keep one")
	}
	return nil
}

func (o *downOptions) run(ctx context.Context, args []string) error {
	names, err := o.systems(ctx, args)
	if err != nil {
		return err
	}
	if o.target.OnCluster() {
		return o.onKubernetes(ctx, names)
	}
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, o.end(ctx, dir, name))
	}
	return cli.Cause(ctx, failed)
}

// end takes a system on this machine down, with its log.
func (o *downOptions) end(ctx context.Context, dir, name string) error {
	err := localsim.Down(ctx, dir, name, netlab.Sweep)
	missing := (*registry.NotFoundError)(nil)
	if err != nil && !errors.As(err, &missing) {
		return err
	}
	if err := daemon.Sweep(daemon.Base(dir)); err != nil {
		return &runner.CleanupError{Left: []string{"the data of stores"}, Err: err}
	}
	if err := removeLogs(dir, name); err != nil {
		return &runner.CleanupError{Left: []string{"the log of system " + name}, Err: err}
	}
	if missing != nil && o.ignoreNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	o.deleted("system", name)
	return nil
}

// deleted prints that an object is gone.
func (o *downOptions) deleted(kind, name string) {
	if o.output.Names() {
		fmt.Fprintf(o.streams.Out, "%s/%s\n", kind, name)
		return
	}
	fmt.Fprintf(o.streams.Out, "%s/%s deleted\n", kind, name)
}

// systems lists the systems that the arguments and the files name or, with --all,
// those that run on this machine.
func (o *downOptions) systems(ctx context.Context, args []string) ([]string, error) {
	names := append([]string(nil), args...)
	if len(o.inputs.Filenames) > 0 {
		docs, err := o.inputs.Read(ctx, o.streams, nil)
		if err != nil {
			return nil, err
		}
		for _, s := range docs.Systems() {
			names = append(names, s.Name)
		}
		for _, e := range docs.Experiments() {
			names = append(names, e.System.Name)
		}
		if len(names) == 0 {
			return nil, errors.New("the files describe no system to take down: name the files that it came from")
		}
	}
	if o.all && !o.target.OnCluster() {
		systems, err := local.Systems()
		if err != nil {
			return nil, err
		}
		for _, s := range systems {
			names = append(names, s.Name)
		}
	}
	return names, nil
}
