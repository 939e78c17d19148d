// Package dataset is the commands that make data sets: of runs that there are, and
// of runs that a file of kind Dataset describes.
package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/export"
	"github.com/microsim-dev/kubectl-microsim/observe/export/judge"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// exportOptions are those of `export`.
type exportOptions struct {
	streams       cli.Streams
	formats       []string
	out           string
	name          string
	step          time.Duration
	seed          uint64
	force         bool
	onlyEffective bool
	verify        bool
	output        cli.Output
}

// NewExport is `export`.
func NewExport(streams cli.Streams) *cobra.Command {
	o := &exportOptions{streams: streams}
	var layouts strings.Builder
	for _, f := range export.Formats() {
		fmt.Fprintf(&layouts, "  %-9s %s\n", f.Name, f.Layout)
	}
	cmd := &cobra.Command{
		Use:   "export RUN... --format FORMAT --out DIRECTORY | export --verify SET",
		Short: "Make a labelled data set of runs",
		Long: `Make a labelled data set of runs that 'run --out' has written. A directory of several runs stands for
all of them.

` + layouts.String() + `
Beside the directories of formats there are labels.csv and labels.jsonl, which say what was broken, when it
was asked for and when it acted, and what that did to the clients, with intervals; graph.csv with the calls; and
manifest.json with units and versions. Times are UTC in steps of one length; names have hyphens and no underscore;
columns stand in an order drawn by --seed.

A run that was cut off is refused. The directory appears as a whole, or not at all.

With --verify, the set is judged: which faults had no effect on the clients, how well simple rules find the causes,
against chance, whether anything else gives causes away, and whether normal runs look normal. Without --format,
a set that there is is judged. The verdict is written to its verification.json.`,
		Example: `  kubectl microsim run lesson-03-delay-inside-timeout --on virtual --seeds 5 --out runs/
  kubectl microsim export runs/ --format rcaeval --out set/
  kubectl microsim export runs/ --format vecrosim,csv --out effective/ --only-effective
  kubectl microsim export --verify set/`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.verify && len(o.formats) == 0 && o.out == "" {
				if err := o.validateVerify(cmd, args); err != nil {
					return cli.Usage(cmd, err)
				}
				return o.judge(args[0])
			}
			formats, err := o.validate()
			if err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context(), args, formats)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.formats, "format", nil, "the formats: "+strings.Join(export.FormatNames(), ", "))
	cli.CompleteFlag(cmd, "format", export.FormatNames()...)
	flags.StringVar(&o.out, "out", "", "directory for the data set, which must not be there, or be empty")
	flags.BoolVar(&o.force, "force", false, "replace the data set that --out holds")
	flags.StringVar(&o.name, "name", "", "name of the data set (default that of the directory)")
	o.step = time.Second
	flags.Var(stepFlag{&o.step}, "step", "distance of rows, in full seconds; rcaeval has 1s")
	flags.Uint64Var(&o.seed, "seed", document.DefaultSeed, "seed of the order of columns")
	flags.BoolVar(&o.onlyEffective, "only-effective", false, "leave out runs whose faults had no effect on the clients that could be seen")
	flags.BoolVar(&o.verify, "verify", false, "judge the data set")
	o.output.AddFlags(cmd, cli.Templates()...)
	return cmd
}

// validateVerify refuses what has no effect where a set is only judged.
func (o *exportOptions) validateVerify(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("--verify judges one data set, and %d are named", len(args))
	}
	if err := o.output.Validate(); err != nil {
		return err
	}
	return cli.Refuse(cmd.Flags(), "are about making a data set, and --verify without --format judges one: leave them out", "force", "name", "step", "seed", "only-effective")
}

// stepFlag reads durations as files do.
type stepFlag struct{ *time.Duration }

func (stepFlag) Type() string { return "duration" }

func (s stepFlag) String() string {
	if s.Duration == nil {
		return ""
	}
	return unit.Duration(*s.Duration).String()
}

func (s stepFlag) Set(text string) error {
	v, err := unit.ParseDuration(text)
	if err != nil {
		return err
	}
	if v.Std() < time.Second || v.Std()%time.Second != 0 {
		return fmt.Errorf("%q is not possible: write full seconds, because runs have a row for each second", text)
	}
	*s.Duration = v.Std()
	return nil
}

func (o *exportOptions) validate() ([]export.Format, error) {
	if err := o.output.Validate(); err != nil {
		return nil, err
	}
	if len(o.formats) == 0 {
		return nil, fmt.Errorf("there is no format: write --format with one or more of %s", strings.Join(export.FormatNames(), ", "))
	}
	formats, err := export.FindFormats(o.formats...)
	if err != nil {
		return nil, fmt.Errorf("--format: %w", err)
	}
	if o.out == "" {
		return nil, errors.New("there is no place for the data set: write --out DIRECTORY")
	}
	var problems problem.List
	if problems.CheckFileName("--name", o.name); len(problems) > 0 {
		return nil, problems.Err()
	}
	if o.step != time.Second && slices.Contains(o.formats, "rcaeval") {
		return nil, fmt.Errorf("--step %s is not possible with --format rcaeval, whose rows are of 1s: leave it out", unit.Duration(o.step))
	}
	return formats, nil
}

func (o *exportOptions) run(ctx context.Context, args []string, formats []export.Format) error {
	var dirs []string
	for _, arg := range args {
		found, err := export.FindRuns(arg)
		if err != nil {
			return err
		}
		for _, dir := range found {
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	name := o.name
	if name == "" {
		name = nameOf(o.out)
	}
	var m *export.Manifest
	var v *judge.Verification
	err := writeWhole(o.out, o.force, cli.NoteRemoved(o.streams.Err), func(dir string) error {
		set, err := export.OpenSet(dir, name, formats, o.step, o.seed)
		if err != nil {
			return err
		}
		leftOut, err := o.add(ctx, set, name, dirs)
		if err != nil {
			return err
		}
		if m, err = set.Finish(len(dirs), leftOut); err == nil && m.Cases == 0 {
			return fmt.Errorf("none of the %d runs had an effect that could be seen, so nothing is left to export; leave out --only-effective", len(dirs))
		}
		if err == nil && o.verify {
			v, err = verify(dir, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case o.output.Machine() && v != nil:
		err = o.output.Object(o.streams.Out, v)
	case o.output.Machine():
		err = o.output.Object(o.streams.Out, m)
	default:
		tell(o.streams, m)
		tellVerification(o.streams, v)
	}
	fmt.Fprintf(o.streams.Err, "The data set is in %s\n", o.out)
	return err
}

// add adds the runs to the set, and returns those that are left out.
func (o *exportOptions) add(ctx context.Context, set *export.Set, name string, dirs []string) (leftOut []export.LeftOut, err error) {
	for i, dir := range dirs {
		if ctx.Err() != nil {
			return nil, cli.Cause(ctx, ctx.Err())
		}
		run, err := export.Read(dir, filepath.ToSlash(dir))
		if err != nil {
			return nil, err
		}
		if run.SystemHash, err = hashOfRun(dir); err != nil {
			return nil, err
		}
		c, err := export.NewCase(run, export.CaseName(i+1), name, o.step, o.seed)
		if err != nil {
			return nil, err
		}
		if why := c.WithoutEffect(); why != "" && o.onlyEffective {
			leftOut = append(leftOut, export.LeftOut{Run: run.Name, Why: why})
			continue
		}
		if err := set.Add(c); err != nil {
			return nil, err
		}
	}
	return leftOut, nil
}

// hashOfRun tells the system of a run from others.
func hashOfRun(dir string) (string, error) {
	path := filepath.Join(dir, "experiment.yaml")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil // the run can be used without it
	}
	if err != nil {
		return "", fmt.Errorf("reading the system of the run: %w", err)
	}
	docs, err := spec.Read(path, bytes.NewReader(text))
	if err != nil {
		return "", fmt.Errorf("reading the system of the run in %q: %w", dir, err)
	}
	e, err := docs.Experiment()
	if err != nil {
		return "", fmt.Errorf("reading the system of the run in %q: %w", dir, err)
	}
	return hashOf(&e.System)
}

func hashOf(s *topology.System) (string, error) {
	text, err := spec.FormatSystem(s)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// tell prints what a data set has.
func tell(streams cli.Streams, m *export.Manifest) {
	fmt.Fprintf(streams.Out, "%s: %d cases of %d, %d normal; %d services, %d metrics, steps of %s\n",
		cli.Clean(m.Name), m.Cases, m.Planned, m.Normal, len(m.Services), len(m.Metrics), unit.Duration(m.StepSeconds*1e9))
	fmt.Fprintf(streams.Out, "effect on the clients: %d seen, %d not seen, %d not known\n",
		m.Verdicts[export.Effective], m.Verdicts[export.None], m.Verdicts[export.Unknown])
	for _, l := range m.LeftOut {
		fmt.Fprintf(streams.Out, "left out %s: %s\n", cli.Clean(l.Run), l.Why)
	}
	for _, note := range m.Notes {
		fmt.Fprintf(streams.Err, "note: %s\n", note)
	}
}

// nameOf makes a name of a directory's.
func nameOf(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "set"
	}
	return document.NameFromFile(abs)
}
