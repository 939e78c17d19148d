package run

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// several is what several experiments of one command share; nil if there is only one.
type several struct {
	// tests writes the file of --junit.
	tests *junitWriter
	// results are the results of the experiments that have ended, for --output.
	results []any
}

// A oneOf is an experiment among several, with flags of its own.
type oneOf struct {
	*runOptions
	e experiment.Experiment
	// err is the error in which it ended; ended is false if it was not run.
	err   error
	ended bool
}

// startEach runs experiments one after the other, each with its own directory below
// --out and its own page. It checks all of them before the first begins.
func (o *runOptions) startEach(cmd *cobra.Command, experiments []*experiment.Experiment, args []string) error {
	all := make([]*oneOf, len(experiments))
	shared := &several{}
	for i, e := range experiments {
		all[i] = &oneOf{runOptions: o.forOne(e.Name, shared), e: *e}
	}
	for _, one := range all {
		if err := one.prepare(cmd.Flags(), &one.e); err != nil {
			return fmt.Errorf("%w; --only chooses among the experiments %s", err, namesOf(all))
		}
	}
	switch {
	case o.detached.detach:
		return cli.Usage(cmd, fmt.Errorf("--detach leaves one experiment to the cluster, and the files describe %d: choose one with --only, of %s", len(all), namesOf(all)))
	case o.dryRun:
		return o.planEach(cmd, all)
	}
	tests, err := newJUnitWriter(o.junit)
	if err = errors.Join(err, o.canWrite(all)); err != nil {
		return err
	}
	shared.tests = tests
	for i, one := range all {
		if i > 0 && !o.output.Machine() {
			fmt.Fprintln(o.streams.Out)
		}
		fmt.Fprintf(o.streams.Err, "experiment %d of %d: %s\n", i+1, len(all), one.e.Name)
		one.err, one.ended = one.begin(cmd.Context(), one.e, args), true
		// Leftovers of one experiment could disturb the next.
		if cmd.Context().Err() != nil || cli.ExitCode(one.err) == cli.ExitCleanup {
			break
		}
	}
	if tests != nil && tests.whole {
		o.tellFile("The checks are in", o.junit)
	}
	return o.concludeEach(all, shared.results)
}

func namesOf(all []*oneOf) string {
	var names []string
	for _, one := range all {
		names = append(names, one.e.Name)
	}
	return strings.Join(names, ", ")
}

// forOne returns the options of one experiment among several.
func (o *runOptions) forOne(name string, shared *several) *runOptions {
	one := *o
	one.several = shared
	one.inputs.Only = []string{name}
	one.junit = ""
	if o.out != "" {
		one.out = filepath.Join(o.out, name)
	}
	if ext := filepath.Ext(o.report); o.report != "" {
		one.report = strings.TrimSuffix(o.report, ext) + "-" + name + ext
	}
	return &one
}

// canWrite refuses files and directories that cannot be written, or that two
// outputs would share.
func (o *runOptions) canWrite(all []*oneOf) error {
	if o.out != "" && !o.force {
		if err := record.CheckParent(o.out); err != nil {
			return err
		}
	}
	for _, one := range all {
		if (one.out != "" || one.report != "") && !problem.IsFileName(one.e.Name) {
			return fmt.Errorf("the results of several experiments are in files of their names, and %q cannot name one: rename the experiment, or run it alone with --only", one.e.Name)
		}
		if _, err := newPageWriter(one.report, one.e); err != nil {
			return err
		}
		if o.junit != "" && filepath.Clean(o.junit) == filepath.Clean(one.report) {
			return fmt.Errorf("--junit is %q, which is the page of experiment %q, too: choose another file", o.junit, one.e.Name)
		}
		if one.out == "" {
			continue
		}
		check := record.CheckDir
		if one.series.applies(&one.e) {
			check = record.CheckSeriesDir
		}
		if err := check(record.Options{Dir: one.out, Force: o.force}); err != nil {
			return err
		}
	}
	return nil
}

// planEach prints what each of several experiments would do.
func (o *runOptions) planEach(cmd *cobra.Command, all []*oneOf) error {
	for i, one := range all {
		switch {
		case !o.output.Machine():
			if i > 0 {
				fmt.Fprintln(o.streams.Out)
			}
		case o.output.Format == "yaml" && i > 0:
			fmt.Fprintln(o.streams.Out, "---")
		}
		if err := one.plan(cmd.Context(), cmd.Flags(), &one.e); err != nil {
			return err
		}
	}
	if o.output.Machine() && o.output.Format != "yaml" {
		return o.output.Object(o.streams.Out, cli.AsList(all[0].several.results))
	}
	return nil
}

// concludeEach prints how the experiments ended. Its error has the exit code of the
// worst.
func (o *runOptions) concludeEach(all []*oneOf, results []any) error {
	var failed []error
	var rows [][]string
	var left []string
	worst := cli.ExitDone
	for _, one := range all {
		text := "passed"
		switch {
		case !one.ended:
			text = "not run"
			left = append(left, one.e.Name)
		case one.err != nil:
			text, _, _ = strings.Cut(one.err.Error(), "\n")
			failed = append(failed, fmt.Errorf("experiment %q: %w", one.e.Name, one.err))
			worst = worse(worst, cli.ExitCode(one.err))
		}
		rows = append(rows, []string{one.e.Name, text})
	}
	if len(left) > 0 {
		failed = append(failed, fmt.Errorf("not run: %s", strings.Join(left, ", ")))
	}
	var err error
	if o.output.Machine() {
		err = o.output.Object(o.streams.Out, cli.AsList(append([]any{}, results...)))
	} else {
		fmt.Fprintln(o.streams.Out)
		err = cli.PrintTable(o.streams.Out, []string{"EXPERIMENT", "RESULT"}, rows)
	}
	if err != nil {
		failed, worst = append(failed, err), worse(worst, cli.ExitError)
	}
	return cli.ExitWith(worst, errors.Join(failed...))
}

// worse returns the more serious of two exit codes. Leftovers are the most serious,
// then a misuse, then an error, then a check that did not hold.
func worse(a, b int) int {
	order := []int{cli.ExitDone, cli.ExitCheckFailed, cli.ExitError, cli.ExitUsage, cli.ExitCleanup}
	return order[max(slices.Index(order, a), slices.Index(order, b), 0)]
}
