package system

import (
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
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/faults"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

func NewStatus(streams cli.Streams) *cobra.Command {
	var (
		at     = target.New()
		output string
	)
	cmd := &cobra.Command{
		Use:               "status [SYSTEM]",
		Short:             "Show the running systems, or the services of one",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: at.CompleteSystems(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "" {
				if err := cli.OneOf("output", output, "json", "yaml", "wide"); err != nil {
					return cli.Usage(cmd, err)
				}
			}
			if err := at.Validate(); err != nil {
				return cli.Usage(cmd, err)
			}
			if at.OnCluster() {
				return kubeStatus(cmd.Context(), streams, &at, args, output)
			}
			if len(args) == 0 {
				return listSystems(cmd.Context(), streams, output)
			}
			client, err := local.Find(args[0])
			if err != nil {
				return err
			}
			status, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			return printStatus(streams, output, status)
		},
	}
	at.AddFlags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "output format: json, yaml or wide")
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

func listSystems(ctx context.Context, streams cli.Streams, output string) error {
	entries, err := local.Systems()
	if err != nil {
		return err
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
	if output == "json" || output == "yaml" {
		return cli.PrintObject(streams.Out, output, cli.AsList(systems))
	}
	if len(systems) == 0 {
		fmt.Fprintln(streams.Err, "No systems run on this machine.")
		return nil
	}
	var rows [][]string
	for _, s := range systems {
		row := []string{s.Name, fmt.Sprint(s.Services), s.Ready, s.State, cli.Age(time.Since(s.Started))}
		if output == "wide" {
			row = append(row, s.Control, fmt.Sprint(s.PID))
		}
		rows = append(rows, row)
	}
	titles := []string{"NAME", "SERVICES", "READY", "STATE", "AGE"}
	if output == "wide" {
		titles = append(titles, "CONTROL", "PID")
	}
	return cli.PrintTable(streams.Out, titles, rows)
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

// countReplicas counts the replicas of a service that are ready, all of them,
// and how often they were started again.
func countReplicas(s *control.ServiceStatus) (ready, all, restarts int) {
	for _, r := range s.Replicas {
		if r.State == runner.Ready {
			ready++
		}
		restarts += r.Restarts
	}
	return ready, len(s.Replicas), restarts
}

func printStatus(streams cli.Streams, output string, status *control.Status) error {
	if output == "json" || output == "yaml" {
		return cli.PrintObject(streams.Out, output, status)
	}
	var rows [][]string
	for i := range status.Services {
		s := &status.Services[i]
		ready, all, restarts := countReplicas(s)
		rows = append(rows, []string{s.Name, s.Endpoint, serviceKind(s), fmt.Sprintf("%d/%d", ready, all), fmt.Sprint(restarts), strings.Join(s.Calls, ",")})
	}
	if err := cli.PrintTable(streams.Out, []string{"NAME", "ENDPOINT", "KIND", "READY", "RESTARTS", "CALLS"}, rows); err != nil {
		return err
	}
	if len(status.Faults) > 0 {
		fmt.Fprintln(streams.Out)
		return faults.Print(streams, status.Faults)
	}
	return nil
}

// serviceKind shows what a service is made of: the language and framework that
// a Simulation gives it, or its kind.
func serviceKind(s *control.ServiceStatus) string {
	if s.Language != "" {
		return s.Language + "-" + s.Framework
	}
	return string(s.Kind)
}

func NewDown(streams cli.Streams) *cobra.Command {
	var (
		at             = target.New()
		in             cli.Inputs
		all            bool
		ignoreNotFound bool
	)
	cmd := &cobra.Command{
		Use:   "down (SYSTEM ... | -f FILE | --all)",
		Short: "Take systems down, and remove all that they made",
		Example: `  kubectl microsim down shop
  kubectl microsim down shop --on local
  kubectl microsim down --all --on local`,
		ValidArgsFunction: at.CompleteSystems(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := at.Validate(); err != nil {
				return cli.Usage(cmd, err)
			}
			if !all && len(args)+len(in.Filenames) == 0 {
				return cli.Usage(cmd, errors.New("there is nothing to take down: name systems, or write --all"))
			}
			names, err := systemNames(cmd.Context(), streams, &in, args, all && !at.OnCluster())
			if err != nil {
				return err
			}
			if at.OnCluster() {
				return kubeDown(cmd.Context(), streams, &at, names, all, ignoreNotFound)
			}
			dir, err := registry.DefaultDir(os.Getenv)
			if err != nil {
				return err
			}
			var failed error
			for _, name := range names {
				err := localsim.Down(cmd.Context(), dir, name, netlab.Sweep)
				var missing *registry.NotFoundError
				if errors.As(err, &missing) && ignoreNotFound {
					continue
				}
				if err == nil {
					fmt.Fprintf(streams.Out, "system/%s deleted\n", name)
				}
				failed = errors.Join(failed, err)
			}
			return failed
		},
	}
	at.AddFlags(cmd)
	in.AddFlags(cmd, "the files that the systems came from")
	cmd.Flags().BoolVar(&all, "all", false, "take down every system there is: on this machine, or in the namespaces that -n means")
	cmd.Flags().BoolVar(&ignoreNotFound, "ignore-not-found", false, "a system that does not run is no error")
	return cmd
}

// systemNames lists the systems that the arguments, the files, or --all name.
func systemNames(ctx context.Context, streams cli.Streams, in *cli.Inputs, args []string, all bool) ([]string, error) {
	names := append([]string(nil), args...)
	if len(in.Filenames) > 0 {
		docs, err := in.Read(ctx, streams, nil)
		if err != nil {
			return nil, err
		}
		for _, s := range docs.Systems() {
			names = append(names, s.Name)
		}
		for _, e := range docs.Experiments() {
			names = append(names, e.System.Name)
		}
	}
	if all {
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
