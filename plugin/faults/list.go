package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

func newFaultList(streams cli.Streams) *cobra.Command {
	o := &faultOptions{streams: streams, target: target.New()}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the faults that act now",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmp.Or(o.output.Validate(), o.target.Validate(cmd)); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.list(cmd.Context())
		},
	}
	o.AddFlags(cmd)
	o.target.AddAllNamespaces(cmd)
	o.output.AddFlags(cmd, append(cli.Templates(), "name", "wide")...)
	o.output.AddNoHeaders(cmd)
	return cmd
}

// A placedFault is a fault and where it acts.
type placedFault struct {
	runner.Injection
	// In names the place, if there may be several.
	In string `json:"in,omitempty"`
}

func (o *faultOptions) list(ctx context.Context) error {
	places, err := o.places(ctx)
	if err != nil {
		return err
	}
	var all []placedFault
	for _, p := range places {
		active, err := p.Active(ctx)
		if err != nil {
			return err
		}
		for _, in := range active {
			f := placedFault{Injection: in}
			if len(places) > 1 {
				f.In = p.name
			}
			all = append(all, f)
		}
	}
	switch {
	case o.output.Names():
		var names []string
		for i := range all {
			names = append(names, all[i].ID)
		}
		return cli.PrintNames(o.streams.Out, "fault", names)
	case o.output.Machine():
		if all == nil {
			all = []placedFault{}
		}
		return o.output.Object(o.streams.Out, cli.AsList(all))
	}
	return printPlaced(o.streams, &o.output, all)
}

// Print prints the faults of one place.
func Print(streams cli.Streams, output *cli.Output, active []runner.Injection) error {
	var all []placedFault
	for _, in := range active {
		all = append(all, placedFault{Injection: in})
	}
	return printPlaced(streams, output, all)
}

// printPlaced prints the table of faults. The wide table also has their parameters
// and begins. It leaves out columns that are empty for all faults.
func printPlaced(streams cli.Streams, output *cli.Output, all []placedFault) error {
	if len(all) == 0 {
		fmt.Fprintln(streams.Err, "No faults act.")
		return nil
	}
	var places, effects bool
	for i := range all {
		places, effects = places || all[i].In != "", effects || all[i].Effective != ""
	}
	titles := []string{"NAME", "TYPE", "TARGET", "REPLICAS", "HITS", "BY", "REMAINING"}
	if effects {
		titles = append(titles, "EFFECTIVE")
	}
	if places {
		titles = append(titles, "IN")
	}
	if output.Wide() {
		titles = append(titles, "PROBABILITY", "PARAMETERS", "SINCE")
	}
	titles = append(titles, "AGE")
	var rows [][]string
	for i := range all {
		in := &all[i].Injection
		row := faultRow(in)
		if effects {
			row = append(row, in.Effective)
		}
		if places {
			row = append(row, all[i].In)
		}
		if output.Wide() {
			row = append(row, fmt.Sprint(in.Fault.Probability), strings.TrimSpace(describeArgs(&in.Fault)), in.Since.Format(time.RFC3339))
		}
		rows = append(rows, append(row, cli.Age(time.Since(in.Since))))
	}
	if err := output.Table(streams.Out, titles, rows); err != nil {
		return err
	}
	printTroubles(streams.Err, all)
	return nil
}

// faultRow returns the cells that every table of faults has, without the age.
func faultRow(in *runner.Injection) []string {
	remaining := "unlimited"
	switch {
	case !in.Deadline.IsZero():
		remaining = cli.Age(time.Until(in.Deadline))
	case timeline.ActsOnce(&in.Fault):
		remaining = "<none>" // it has no deadline, and is listed until its victims are back
	}
	hits := "<unknown>"
	if in.Hits >= 0 {
		hits = fmt.Sprint(in.Hits)
	}
	by := in.By
	if entry, _ := fault.Lookup(in.Fault.Type); by == "" {
		by = string(entry.Layer)
	}
	return []string{in.ID, string(in.Fault.Type), in.Fault.Target.String(), strings.Join(in.Replicas, ","), hits, by, remaining}
}

func printTroubles(w io.Writer, all []placedFault) {
	for i := range all {
		for _, text := range all[i].Errors {
			fmt.Fprintf(w, "fault/%s does not act everywhere: %s\n", all[i].ID, text)
		}
	}
}

func newFaultClear(streams cli.Streams) *cobra.Command {
	o := &faultOptions{streams: streams, target: target.New()}
	var all bool
	cmd := &cobra.Command{
		Use:   "clear (NAME ... | --all)",
		Short: "Clear faults, so that they act no more",
		Example: `  kubectl microsim fault clear latency-cart --on local
  kubectl microsim fault clear --all --system shop`,
		ValidArgsFunction: o.completeFaults(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.target.Validate(cmd); err != nil {
				return cli.Usage(cmd, err)
			}
			switch {
			case !all && len(args) == 0:
				return cli.Usage(cmd, errors.New("there is nothing to clear: name faults, or write --all"))
			case all && len(args) > 0:
				return cli.Usage(cmd, errors.New("--all and names of faults are both given: keep one"))
			}
			return o.clear(cmd.Context(), args, all)
		},
	}
	o.AddFlags(cmd)
	o.target.AddAllNamespaces(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "clear every fault; if faults act in several places, write --system or --all-namespaces, too")
	return cmd
}

func (o *faultOptions) clear(ctx context.Context, names []string, all bool) error {
	places, err := o.places(ctx)
	if err != nil {
		return err
	}
	at := map[string][]faultPlace{}
	var acting []string
	busy := map[string]bool{}
	for _, p := range places {
		active, err := p.Active(ctx)
		if err != nil {
			return err
		}
		for _, in := range active {
			if at[in.ID] == nil {
				acting = append(acting, in.ID)
			}
			at[in.ID] = append(at[in.ID], p)
			busy[p.name] = true
		}
	}
	if all {
		if len(busy) > 1 && !o.target.AllNamespaces() {
			return fmt.Errorf("clearing all faults: they act in %d places; name one with --system or -n, or write --all-namespaces to mean all", len(busy))
		}
		names = acting
	}
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, o.clearOne(ctx, name, at[name], all))
	}
	return failed
}

func (o *faultOptions) clearOne(ctx context.Context, name string, at []faultPlace, all bool) error {
	switch {
	case len(at) == 0:
		return fmt.Errorf("clearing fault %q: no such fault acts; '%s' shows those that do", name, o.Command("list"))
	case len(at) > 1 && !all:
		return fmt.Errorf("clearing fault %q: there is one in %s, and one in %s; name the place with --system or -n", name, at[0].name, at[1].name)
	}
	for _, p := range at {
		if err := p.Clear(ctx, name); err != nil {
			return err
		}
	}
	fmt.Fprintf(o.streams.Out, "fault/%s cleared\n", name)
	return nil
}
