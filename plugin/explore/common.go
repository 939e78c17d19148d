// Package explore has the commands that answer questions by many runs in virtual
// time: limit (the load that a system bears), sweep (the effect of settings) and
// search (the faults that break it).
package explore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/bounds"
	"github.com/microsim-dev/kubectl-microsim/plugin/calibrate"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// common holds the flags that all these commands share.
type common struct {
	streams cli.Streams
	inputs  cli.Inputs
	seed    uint64
	variant string
	costs   calibrate.Flag
	bounds  bounds.Flags
	output  cli.Output
}

func (o *common) addFlags(cmd *cobra.Command) {
	o.inputs.AddFlags(cmd, "the experiment")
	o.inputs.AddOnly(cmd, "experiments, systems or loads")
	flags := cmd.Flags()
	flags.Uint64Var(&o.seed, "seed", 0, "the first seed, in place of the file's")
	flags.StringVar(&o.variant, "variant", "", "the variant of the experiment that is played: its name, or the beginning of it")
	o.costs.AddFlag(cmd)
	o.bounds.AddFlags(cmd)
	o.output.AddFlags(cmd, cli.Templates()...)
	cmd.ValidArgsFunction = cli.CompleteInputs("Experiment")
}

func (o *common) validate(args []string) error {
	if len(o.inputs.Filenames)+len(args) == 0 {
		return errors.New("there is no experiment: name a file, or an example")
	}
	if err := o.bounds.Validate(); err != nil {
		return err
	}
	return o.output.Validate()
}

// read reads the experiment in the form that the flags ask for.
func (o *common) read(cmd *cobra.Command, args []string) (experiment.Experiment, error) {
	docs, err := o.inputs.Read(cmd.Context(), o.streams, args)
	if err != nil {
		return experiment.Experiment{}, err
	}
	cli.ShowNotes(o.streams.Err, docs)
	cli.ShowLoad(o.streams.Err, docs)
	e, err := docs.Experiment()
	if err != nil {
		return experiment.Experiment{}, err
	}
	if cmd.Flags().Changed("seed") {
		e.Seed = o.seed
	}
	applied := *e
	switch {
	case cmd.Flags().Changed("variant"):
		selected, err := e.Select([]string{o.variant})
		if err != nil {
			return applied, err
		}
		var problems interface{ Err() error }
		if applied, problems = apply(e, selected[0]); problems.Err() != nil {
			return applied, problems.Err()
		}
	case len(e.Variants) > 0:
		o.note("the experiment is played as it is; its variants are left out (--variant plays one)")
	}
	applied.Variants = nil
	applied.Load = applied.Load.WithDefaults()
	return applied, nil
}

func apply(e *experiment.Experiment, v experiment.Variant) (experiment.Experiment, interface{ Err() error }) {
	applied, problems := e.Apply(v)
	return applied, problems
}

func (o *common) note(format string, args ...any) {
	fmt.Fprintf(o.streams.Err, "note: "+format+"\n", args...)
}

// newPlayer returns the player of the runs, with the costs and limits of the flags.
func (o *common) newPlayer(ctx context.Context, progress *line) (*player, error) {
	machine, costs, err := o.costs.Load()
	if err != nil {
		return nil, err
	}
	calibrate.Note(o.streams.Err, costs)
	return &player{ctx: ctx, line: progress, machine: machine, costs: costs, limits: o.bounds.Limits()}, nil
}

// print prints a document for programs, or the text for people.
func (o *common) print(document interface{ Encode(w io.Writer) error }, text func() error) error {
	switch {
	case o.output.Format == "json":
		return document.Encode(o.streams.Out)
	case o.output.Machine():
		return o.output.Object(o.streams.Out, document)
	}
	return text()
}

// command returns the command line that repeats this command.
func (o *common) command(cmd *cobra.Command, seed uint64, args []string) string {
	words := append([]string{"kubectl", "microsim", cmd.Name()}, args...)
	for _, f := range o.inputs.Filenames {
		words = append(words, "-f", f)
	}
	words = append(words, changed(cmd)...)
	return cli.CommandLine(append(words, "--seed", strconv.FormatUint(seed, 10))...)
}

// requirements holds the flag --slo: the requirements that a system must meet.
type requirements struct {
	texts []string
	list  []search.Requirement
}

func (r *requirements) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&r.texts, "slo", nil, `what must hold, such as "p99 < 300ms" or "web->cart: errors < 1%"; may be repeated (default those checks of the experiment that bound a latency or a share of the whole run)`)
}

func (r *requirements) validate() error {
	for _, text := range r.texts {
		one, err := search.ParseRequirement(text)
		if err != nil {
			return fmt.Errorf("--slo: %w", err)
		}
		r.list = append(r.list, one)
	}
	return nil
}

// of returns the requirements for an experiment.
func (r *requirements) of(o *common, e *experiment.Experiment) ([]search.Requirement, error) {
	list := r.list
	if len(list) == 0 {
		if list = search.RequirementsOf(e); len(list) == 0 {
			return nil, fmt.Errorf("experiment %q has no check that could serve as requirement: write --slo, such as --slo 'p99 < 300ms' --slo 'errors < 1%%'", e.Name)
		}
		var texts []string
		for _, one := range list {
			texts = append(texts, one.Text())
		}
		o.note("without --slo, the checks of the experiment that bound the whole run are required: %s", strings.Join(texts, ", "))
	}
	if err := search.Fit(e, list); err != nil {
		return nil, err
	}
	if !search.BoundsErrors(list) {
		o.note("nothing is required of errors, and a request that fails at once is fast: --slo 'errors < 1%%' would count it")
	}
	return list, nil
}

// share is a flag for a number between 0 and 1, as a share or in percents.
type share struct {
	to          *float64
	least, most float64
}

func (s share) Type() string { return "share" }

func (s share) String() string {
	if s.to == nil {
		return ""
	}
	return strconv.FormatFloat(*s.to*100, 'g', 4, 64) + "%"
}

func (s share) Set(text string) error {
	var v unit.Share
	if err := v.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if float64(v) < s.least || float64(v) > s.most {
		return fmt.Errorf("%q is out of range: write %s to %s", text, share{to: &s.least}, share{to: &s.most})
	}
	*s.to = float64(v)
	return nil
}

// height is a flag for a load: requests per second, or users.
type height float64

func (h *height) Type() string { return "load" }

func (h *height) String() string {
	if h == nil || *h == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*h), 'f', -1, 64)
}

func (h *height) Set(text string) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "/s"), 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is not a load: write requests per second, or users, over 0", text)
	}
	*h = height(v)
	return nil
}

// length is a flag for a time over least.
type length struct {
	to    *unit.Duration
	least unit.Duration
}

func (l length) Type() string { return "duration" }

func (l length) String() string {
	if l.to == nil {
		return ""
	}
	return l.to.String()
}

func (l length) Set(text string) error {
	v, err := unit.ParseDuration(text)
	if err != nil {
		return err
	}
	if v < l.least {
		return fmt.Errorf("%q is too short: write %s or more", text, l.least)
	}
	*l.to = v
	return nil
}

func isCancelled(err error) bool { return errors.Is(err, context.Canceled) }
