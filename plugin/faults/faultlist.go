package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
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
			if o.output != "" {
				if err := cli.OneOf("output", o.output, "json", "yaml"); err != nil {
					return cli.Usage(cmd, err)
				}
			}
			if err := o.target.Validate(); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.list(cmd.Context())
		},
	}
	o.AddFlags(cmd)
	o.addAllNamespaces(cmd)
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "output format: json or yaml")
	return cmd
}

// A placedFault is a fault and where it acts.
type placedFault struct {
	runner.Injection
	// In names the place where there may be several.
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
	if o.output != "" {
		if all == nil {
			all = []placedFault{}
		}
		return cli.PrintObject(o.streams.Out, o.output, cli.AsList(all))
	}
	return printPlaced(o.streams, all)
}

// printFaults prints the faults of one place.
func Print(streams cli.Streams, active []runner.Injection) error {
	var all []placedFault
	for _, in := range active {
		all = append(all, placedFault{Injection: in})
	}
	return printPlaced(streams, all)
}

func printPlaced(streams cli.Streams, all []placedFault) error {
	if len(all) == 0 {
		fmt.Fprintln(streams.Err, "No faults act.")
		return nil
	}
	titles := []string{"NAME", "TYPE", "TARGET", "REPLICAS", "HITS", "UNTIL", "AGE", "BY"}
	var places, effects bool
	for i := range all {
		places, effects = places || all[i].In != "", effects || all[i].Effective != ""
	}
	if effects {
		titles = append(titles, "EFFECTIVE")
	}
	if places {
		titles = append(titles, "IN")
	}
	var rows [][]string
	for i := range all {
		row := faultRow(&all[i].Injection)
		if effects {
			row = append(row, all[i].Effective)
		}
		if places {
			row = append(row, all[i].In)
		}
		rows = append(rows, row)
	}
	if err := cli.PrintTable(streams.Out, titles, rows); err != nil {
		return err
	}
	printTroubles(streams.Err, all)
	return nil
}

func faultRow(in *runner.Injection) []string {
	until := "cleared"
	if !in.Deadline.IsZero() {
		until = "in " + cli.Age(time.Until(in.Deadline))
	}
	hits := "<unknown>"
	if in.Hits >= 0 {
		hits = fmt.Sprint(in.Hits)
	}
	by := in.By
	if entry, _ := fault.Lookup(in.Fault.Type); by == "" {
		by = string(entry.Layer)
	}
	return []string{in.ID, string(in.Fault.Type), in.Fault.Target.String(), strings.Join(in.Replicas, ","), hits, until, cli.Age(time.Since(in.Since)), by}
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
		Short: "Take faults back",

		ValidArgsFunction: o.completeFaults(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.target.Validate(); err != nil {
				return cli.Usage(cmd, err)
			}
			if !all && len(args) == 0 {
				return cli.Usage(cmd, errors.New("there is nothing to clear: name faults, or write --all"))
			}
			return o.clear(cmd.Context(), args, all)
		},
	}
	o.AddFlags(cmd)
	o.addAllNamespaces(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "take back every fault; where faults act in several places, only with --system or --all-namespaces")
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
		if len(busy) > 1 && !o.all {
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
		return fmt.Errorf("clearing fault %q: no such fault acts; 'kubectl microsim fault list' shows those that do", name)
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
