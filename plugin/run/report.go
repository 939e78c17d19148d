package run

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/archive"
	"github.com/microsim-dev/kubectl-microsim/cluster/detached"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// reportOptions holds the flags of `report`.
type reportOptions struct {
	streams cli.Streams
	target  target.Target
	// guessed says that the user did not say where the results are: in a directory
	// or in a cluster.
	guessed bool
	wait    bool
	out     string
	page    string
	output  cli.Output
}

// NewReport returns the command `report`.
func NewReport(streams cli.Streams) *cobra.Command {
	o := &reportOptions{streams: streams, target: target.New()}
	cmd := &cobra.Command{
		Use:   "report (EXPERIMENT | DIRECTORY)",
		Short: "Show what an experiment in a cluster, or in a directory, has shown",
		Long: `Show the result of an experiment that 'run --detach' has left to a cluster, or of one that
'run --out DIRECTORY' has written, as 'run' shows it.

An experiment that has not ended is an error that says how far it is; --wait waits for it. The
exit code is that of the run: 10 if a check did not hold.`,
		Example: `  kubectl microsim report shop --on kind --wait
  kubectl microsim report shop --out results/ --report page.html
  kubectl microsim report results/ -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Without --on, an argument that looks like a path is a directory,
			// because the name of an experiment has neither a slash nor a dot.
			o.guessed = !cmd.Flags().Changed("on")
			if o.guessed && (isDir(args[0]) || strings.ContainsAny(args[0], "/\\.")) {
				o.target.On = "local"
			}
			if err := o.Validate(cmd); err != nil {
				return cli.Usage(cmd, err)
			}
			if !o.target.OnCluster() {
				return o.showDir(cmd.Context(), args[0], nil)
			}
			return o.fromCluster(cmd.Context(), args[0])
		},
	}
	o.target.AddFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.wait, "wait", false, "wait until the experiment has ended")
	flags.StringVar(&o.out, "out", "", "directory for the results, which must be empty or not there")
	flags.StringVar(&o.page, "report", "", "write the page of the results, which opens offline")
	o.output.AddFlags(cmd, cli.Templates()...)
	return cmd
}

func (o *reportOptions) Validate(cmd *cobra.Command) error {
	if err := cmp.Or(o.output.Validate(), o.target.Validate(cmd)); err != nil {
		return err
	}
	if o.target.OnCluster() {
		return nil
	}
	return cli.Refuse(cmd.Flags(), "are for experiments in a cluster: a directory has its results already", "wait", "out")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// fromCluster shows the results that a detached experiment has left in its cluster.
func (o *reportOptions) fromCluster(ctx context.Context, name string) error {
	c, err := o.target.Cluster(ctx, o.streams)
	if err != nil && o.guessed {
		return fmt.Errorf("there is no directory %q, so it is looked for in the cluster: %w", name, err)
	}
	if err != nil {
		return err
	}
	x, err := detached.Find(ctx, c.Client, name)
	if err == nil && o.wait && !x.Phase.Over() {
		x, err = o.await(ctx, c, x)
	}
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if x.Results == nil || x.Results.Pieces == 0 {
		return withoutResults(ctx, c, x)
	}
	packed, err := detached.FetchResults(ctx, c.Client, x)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if len(x.Results.Omitted) > 0 {
		fmt.Fprintf(o.streams.Err, "note: the results were too large to keep all of them; left out are %s\n", strings.Join(x.Results.Omitted, ", "))
	}
	return o.showArchive(ctx, x, packed)
}

// waitingPause is the pause between two reports of progress with --wait.
const waitingPause = 5 * time.Second

// await waits until an experiment has ended, and prints its progress.
func (o *reportOptions) await(ctx context.Context, c *cluster.Cluster, x *detached.Experiment) (*detached.Experiment, error) {
	fmt.Fprintf(o.streams.Err, "Waiting for experiment %s; it goes on when you stop waiting.\n", x.Name)
	type answer struct {
		x   *detached.Experiment
		err error
	}
	ended := make(chan answer, 1)
	go func() {
		x, err := detached.Await(ctx, c.Client, x.Namespace, x.Name)
		ended <- answer{x, err}
	}()
	ticker := time.NewTicker(waitingPause)
	defer ticker.Stop()
	last := ""
	for {
		select {
		case a := <-ended:
			return a.x, a.err
		case <-ticker.C:
			if word := detached.LastLine(ctx, c.Client, x); word != "" && word != last {
				fmt.Fprintln(o.streams.Err, word)
				last = word
			}
		}
	}
}

// withoutResults says why an experiment has no results.
func withoutResults(ctx context.Context, c *cluster.Cluster, x *detached.Experiment) error {
	switch {
	case x.Results != nil:
		return fmt.Errorf("experiment %q has ended, and has nothing to show: %s", x.Name, x.Results.Error)
	case x.Phase.Over():
		return fmt.Errorf("experiment %q has ended, and left no results that could be read: %s; %s removes what is left of it", x.Name, x.Why, c.Client.Command("down", x.Name, "-n", x.Namespace))
	case x.Phase == detached.Starting:
		text := fmt.Sprintf("experiment %q has not begun", x.Name)
		if x.Why != "" {
			text += ": " + x.Why
		}
		return errors.New(text + "; --wait waits for it")
	}
	text := fmt.Sprintf("experiment %q has been running for %s and has no results yet", x.Name, cli.Age(time.Since(x.Started)))
	if word := detached.LastLine(ctx, c.Client, x); word != "" {
		text += ": " + word
	}
	return errors.New(text + "\n--wait waits for them")
}

// showArchive unpacks results into --out, or into a temporary directory, and shows
// them.
func (o *reportOptions) showArchive(ctx context.Context, x *detached.Experiment, packed []byte) (err error) {
	dir := o.out
	if dir == "" {
		temp, err := os.MkdirTemp("", "microsim-report-")
		if err != nil {
			return fmt.Errorf("unpacking the results of experiment %q: %w", x.Name, err)
		}
		defer func() { _ = os.RemoveAll(temp) }() // a temporary directory
		dir = filepath.Join(temp, "results")
	}
	if err := archive.Unpack(packed, dir); err != nil {
		return err
	}
	var ended error
	if x.Phase == detached.Ended {
		ended = cli.EndedBadly(x.Results.Code, x.Results.Error)
	}
	err = o.showDir(ctx, dir, ended)
	if o.out != "" {
		fmt.Fprintf(o.streams.Err, "Results are in %s\n", o.out)
	}
	return err
}

// showDir shows the result, or the comparison, in a directory. ended is the error
// in which the run ended, or nil.
func (o *reportOptions) showDir(ctx context.Context, dir string, ended error) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fmt.Errorf("reading the results in %q: it is a file: name the directory that 'run --out' has written", dir)
	} else if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the results in %q: there is no such directory; 'kubectl microsim run --out DIR' writes one", dir)
	}
	show := &runOptions{streams: o.streams, output: o.output, report: o.page, written: written{page: o.page != ""}}
	read := func(name string) ([]byte, error) {
		return cli.Interruptible(ctx, func() ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) })
	}
	text, err := read(record.ComparisonFile)
	single := errors.Is(err, os.ErrNotExist)
	if single {
		text, err = read(record.ResultFile)
	}
	if errors.Is(err, os.ErrNotExist) {
		if below := record.Below(dir); len(below) > 0 {
			return fmt.Errorf("reading the results in %q: it has those of several experiments: name one of %s", dir, strings.Join(below, ", "))
		}
		return fmt.Errorf("reading the results in %q: there is neither %s nor %s", dir, record.ResultFile, record.ComparisonFile)
	}
	if err == nil && o.page != "" {
		_, err = cli.Interruptible(ctx, func() (struct{}, error) { return struct{}{}, o.copyPage(dir) })
	}
	if err != nil {
		return fmt.Errorf("reading the results in %q: %w", dir, err)
	}
	if single {
		one := &result.Result{}
		if err := decodeRecord(text, result.ResultKind, &one.Kind, one); err != nil {
			return fmt.Errorf("reading %q: %w", filepath.Join(dir, record.ResultFile), err)
		}
		return show.conclude(one, ended)
	}
	comparison := &result.Comparison{}
	if err := decodeRecord(text, result.ComparisonKind, &comparison.Kind, comparison); err != nil {
		return fmt.Errorf("reading %q: %w", filepath.Join(dir, record.ComparisonFile), err)
	}
	return show.concludeAll(comparison, ended)
}

// decodeRecord decodes a JSON document, and refuses one whose kind is not the
// wanted one. kind points to that field of into.
func decodeRecord(text []byte, want string, kind *string, into any) error {
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(into); err != nil {
		return err
	}
	if *kind != want {
		return fmt.Errorf("its kind is %q, not %q", *kind, want)
	}
	return nil
}

// copyPage copies the page that was made with the results to --report.
func (o *reportOptions) copyPage(dir string) error {
	page, err := os.ReadFile(filepath.Join(dir, pageFile))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no page with them: 'run --report' makes one, and 'run --detach' keeps one")
	}
	if err != nil {
		return err
	}
	return oneFile{o.page, "the page of --report"}.write(func(to io.Writer) error {
		_, err := to.Write(page)
		return err
	})
}
