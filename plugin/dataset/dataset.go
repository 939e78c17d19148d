package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/dataset"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/observe/export"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/run"
)

// inputFile keeps what a data set was made of.
const inputFile = "dataset.yaml"

// lockFile keeps two programs from writing one data set.
const lockFile = ".lock"

// setOptions are those of `dataset`.
type setOptions struct {
	streams cli.Streams
	inputs  cli.Inputs
	player  *run.Player
	out     string
	output  cli.Output
}

// New is `dataset`.
func New(streams cli.Streams) *cobra.Command {
	o := &setOptions{streams: streams, player: run.NewPlayer(streams)}
	cmd := &cobra.Command{
		Use:   "dataset (DATASET | -f FILE) --out DIRECTORY",
		Short: "Make a labelled data set of failures by running them",
		Long: `Make a labelled data set by running what a file of kind Dataset describes: each fault in each strength, at
each target, with each seed, in a run of its own, and runs without a fault beside them.

Runs in virtual time are played side by side on all processors; others one after another. Only what the
formats of the file need is written. A set that was interrupted goes on with the same command: cases that are finished
are not run again, and none is written by half.

docs/datasets.md says what is in a set. 'export --verify' judges it.`,
		Example: `  kubectl microsim dataset dataset-social --on virtual --out set/
  kubectl microsim dataset -f failures.yaml --on local --out set/
  kubectl microsim export --verify set/`,
		ValidArgsFunction: cli.CompleteInputs(document.KindDataset),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(cmd, args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context(), args)
		},
	}
	o.inputs.AddFlags(cmd, "the data set")
	o.player.AddFlags(cmd)
	cmd.Flags().StringVar(&o.out, "out", "", "directory for the data set: a new or empty one, or that of the same set, which is gone on with")
	o.output.AddFlags(cmd, cli.Templates()...)
	return cmd
}

func (o *setOptions) validate(cmd *cobra.Command, args []string) error {
	switch {
	case len(o.inputs.Filenames)+len(args) == 0:
		return errors.New("there is no data set: name a file of kind Dataset, or an example")
	case o.out == "":
		return errors.New("there is no place for the data set: write --out DIRECTORY")
	}
	if err := o.output.Validate(); err != nil {
		return err
	}
	return o.player.Validate(cmd)
}

func (o *setOptions) run(ctx context.Context, args []string) error {
	d, err := o.read(ctx, args)
	if err != nil {
		return err
	}
	formats, err := export.FindFormats(d.Formats...)
	if err != nil {
		return fmt.Errorf("data set %q: formats: %w", d.Name, err)
	}
	cases := d.Cases()
	if err := o.possible(cases); err != nil {
		return fmt.Errorf("data set %q: %w", d.Name, err)
	}
	hash, err := hashOf(&d.System)
	if err != nil {
		return err
	}
	unlock, err := o.occupy(d)
	if err != nil {
		return fmt.Errorf("writing the data set %q: %w", o.out, err)
	}
	defer unlock()
	set, err := export.OpenSet(o.out, d.Name, formats, time.Second, d.Seed)
	if err != nil {
		return err
	}
	m := &maker{set: set, data: d, cases: cases, hash: hash, player: o.player, line: newLine(o.streams.Err), traces: export.NeedTraces(formats)}
	made := m.make(ctx)
	manifest, err := set.Finish(len(cases), nil)
	if err = errors.Join(made, err); err != nil {
		// What stopped it may be mended, such as a disk that was full.
		if done := set.Done(); done > 0 || ctx.Err() != nil {
			err = fmt.Errorf("%w; %d of %d cases are finished, and the same command goes on from there", err, done, len(cases))
		}
		return err
	}
	if o.output.Machine() {
		err = o.output.Object(o.streams.Out, manifest)
	} else {
		tell(o.streams, manifest)
	}
	fmt.Fprintf(o.streams.Err, "The data set is in %s; 'kubectl microsim export --verify %s' judges it\n", o.out, o.out)
	return err
}

// read reads the one data set of the files.
func (o *setOptions) read(ctx context.Context, args []string) (*dataset.Dataset, error) {
	docs, err := o.inputs.Read(ctx, o.streams, args)
	if err != nil {
		return nil, err
	}
	cli.ShowNotes(o.streams.Err, docs)
	sets := docs.Datasets()
	if len(sets) != 1 {
		return nil, fmt.Errorf("the files describe %d data sets, and one can be made: name a file with one of kind %s", len(sets), document.KindDataset)
	}
	return sets[0], nil
}

// possible refuses faults that have no meaning where the runs take place, before any
// run. Targets of real time say so themselves, before they start a run.
func (o *setOptions) possible(cases []dataset.Case) error {
	if !o.player.Virtual() {
		return nil
	}
	for i := range cases {
		e := &cases[i].Experiment
		for j := range e.Faults {
			if err := virtual.CanInject(e, &e.Faults[j]); err != nil {
				return fmt.Errorf("fault %q is not possible on target %q: %w", e.Faults[j].Label(), virtual.Target, err)
			}
		}
	}
	return nil
}

// occupy makes the directory, or goes on with it if it holds the same set. No other
// program writes there until unlock is called.
func (o *setOptions) occupy(d *dataset.Dataset) (unlock func(), err error) {
	text, err := spec.FormatDataset(d)
	if err != nil {
		return nil, err
	}
	text = []byte(problem.CleanText(string(text)))
	entries, err := os.ReadDir(o.out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, plain(err)
	}
	input := filepath.Join(o.out, inputFile)
	before, err := os.ReadFile(input)
	switch {
	case err == nil && !bytes.Equal(before, text):
		return nil, fmt.Errorf("it holds another data set, as its %s says: name another directory", inputFile)
	case errors.Is(err, os.ErrNotExist) && !onlyOurs(entries):
		return nil, errors.New("it holds files that are not of this data set: name another directory")
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, plain(err)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, plain(err)
	}
	lock := flock.New(filepath.Join(o.out, lockFile))
	held, err := lock.TryLock()
	if err != nil {
		return nil, plain(err)
	}
	if !held {
		return nil, errors.New("another program is writing it: wait for that to end, or name another directory")
	}
	unlock = func() {
		_ = os.Remove(lock.Path()) // one that stays does no harm
		_ = lock.Close()
	}
	if before == nil {
		// Half of it would be another data set to the command that goes on.
		if err := replaceFile(input, text); err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

// onlyOurs reports whether a directory has nothing but what a program leaves that was
// killed before it had written the input.
func onlyOurs(entries []os.DirEntry) bool {
	return !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return e.Name() != lockFile && !partial.IsLeftover(e.Name(), inputFile)
	})
}
