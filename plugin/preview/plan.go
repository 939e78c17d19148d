// Package preview prints what a command would do, for --dry-run.
package preview

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// Services prints the services of a system that would be started.
func Services(w io.Writer, system *topology.System) error {
	var rows [][]string
	for i := range system.Services {
		s := &system.Services[i]
		kind := string(s.Kind)
		if !s.ObeysContract() {
			kind = s.Badge()
		}
		rows = append(rows, []string{s.Name, fmt.Sprint(s.Replicas), kind, strings.Join(s.Calls(), ",")})
	}
	return cli.PrintTable(w, []string{"NAME", "REPLICAS", "KIND", "CALLS"}, rows)
}

// Experiment prints what the runs of an experiment would do, and when. Each variant
// would run with this number of seeds. settings prints further lines.
func Experiment(w io.Writer, e *experiment.Experiment, seeds int, settings func(io.Writer)) error {
	if err := Services(w, &e.System); err != nil {
		return err
	}
	fmt.Fprintln(w)
	var length time.Duration
	var rows [][]string
	for _, p := range e.Load.Phases {
		rows = append(rows, []string{length.String(), p.Duration.String(), p.Name, Phase(&p)})
		length += p.Duration.Std()
	}
	if err := cli.PrintTable(w, []string{"AT", "FOR", "PHASE", "LOAD"}, rows); err != nil {
		return err
	}
	if err := requests(w, &e.Load); err != nil {
		return err
	}
	rows = nil
	plan, err := timeline.New(e.Faults, timeline.Options{Length: length + e.Tail.Std(), Seed: e.Seed})
	if err != nil {
		return fmt.Errorf("planning the faults of experiment %q: %w", e.Name, err)
	}
	for _, step := range plan.Steps {
		w := &plan.Windows[step.Window]
		f := &e.Faults[w.Index]
		verb, target := "apply", f.Target.String()
		if step.Clear {
			verb = "clear"
		}
		if w.Victim != "" {
			target = w.Victim
		}
		rows = append(rows, []string{unit.Duration(step.At).String(), verb, f.Label(), target})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		if err := cli.PrintTable(w, []string{"AT", "CHANGE", "FAULT", "TARGET"}, rows); err != nil {
			return err
		}
	}
	for i, v := range e.Variants {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, strings.TrimSpace("variant "+cli.Clean(v.Name)+"  "+cli.Clean(v.Doc)))
	}
	runs := max(1, len(e.Variants)) * seeds
	if runs > 1 {
		fmt.Fprintf(w, "\n%d runs, with seeds %d to %d\n", runs, e.Seed, e.Seed+uint64(seeds)-1)
	}
	settings(w)
	fmt.Fprintf(w, "\nexperiment/%s run (dry run)\n", cli.Clean(e.Name))
	return nil
}

// Settings prints those of the named flags that are on the command line, because
// they are not part of the printed system or experiment.
func Settings(w io.Writer, flags *pflag.FlagSet, names ...string) {
	var words []string
	for _, name := range names {
		switch f := flags.Lookup(name); {
		case f == nil || !f.Changed:
		case f.Value.Type() == "bool" && f.Value.String() == "true":
			words = append(words, "--"+name)
		case f.Value.Type() == "bool": // a following word would be an argument
			words = append(words, "--"+name+"="+f.Value.String())
		default:
			words = append(words, "--"+name, cli.Clean(f.Value.String()))
		}
	}
	if len(words) > 0 {
		fmt.Fprintf(w, "\nwith %s\n", strings.Join(words, " "))
	}
}

// requests lists the requests that each arrival sends, if it sends several.
func requests(w io.Writer, p *load.Profile) error {
	if len(p.Requests) < 2 || !slices.ContainsFunc(p.Phases, func(phase load.Phase) bool { return phase.Each && phase.IsOpen() }) {
		return nil
	}
	var rows [][]string
	for i := range p.Requests {
		r := &p.Requests[i]
		every, burst, end := "each", "1", ""
		if b := r.Beat; b != nil {
			if b.Every > 1 {
				every = fmt.Sprintf("every %d", b.Every)
			}
			burst = fmt.Sprint(max(b.Burst, 1))
			if b.Count > 0 {
				end = fmt.Sprintf("%d times", b.Count)
			}
		}
		rows = append(rows, []string{cli.Clean(r.Name), every, burst, end})
	}
	fmt.Fprintln(w)
	return cli.PrintTable(w, []string{"REQUEST", "ARRIVALS", "BURST", "ENDS AFTER"}, rows)
}

// Phase returns a short description of the load of a phase.
func Phase(p *load.Phase) string {
	if p.Users > 0 || p.UsersTo != nil {
		text := fmt.Sprintf("%d users", p.Users)
		if p.UsersTo != nil {
			text = fmt.Sprintf("%d to %d users", p.Users, *p.UsersTo)
		}
		return text
	}
	text := fmt.Sprintf("%v/s", p.Rate)
	if p.RateTo != nil {
		text = fmt.Sprintf("%v to %v/s", p.Rate, *p.RateTo)
	}
	if p.Burst > 1 {
		text += fmt.Sprintf(" of %d", p.Burst)
	}
	if p.Arrivals != "" {
		text += " " + string(p.Arrivals)
	}
	return text
}
