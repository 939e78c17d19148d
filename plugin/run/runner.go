package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster/archive"
	"github.com/microsim-dev/kubectl-microsim/cluster/detached"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// pageFile is the name of the report page among the results of a detached run.
const pageFile = "report.html"

// keepTimeout bounds the storing of results in the cluster.
const keepTimeout = 45 * time.Second

// NewRunner returns the hidden command that `run --detach` starts in a pod. newRoot
// makes the tree of commands to which `run` belongs.
func NewRunner(streams cli.Streams, newRoot func(cli.Streams) *cobra.Command) *cobra.Command {
	k := &kube.Flags{}
	cmd := &cobra.Command{
		Use:    "runner --namespace NAMESPACE -- FLAGS",
		Short:  "Run the experiment of this pod, and keep its results in the cluster",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if *k.Config.Namespace == "" {
				return cli.Usage(cmd, errors.New("--namespace is missing: it is that of this pod, which keeps the results"))
			}
			return runInside(cmd.Context(), newRoot(streams), streams, k, args)
		},
	}
	// A pod connects with its service account. The other flags keep their defaults,
	// so nothing shows them.
	k.AddFlags(&cobra.Command{})
	cmd.Flags().StringVarP(k.Config.Namespace, "namespace", "n", "", "namespace of this pod")
	return cmd
}

// runInside runs the experiment of this pod with flags of `run`. It stores the
// results in the cluster however the run ends.
func runInside(ctx context.Context, root *cobra.Command, streams cli.Streams, k *kube.Flags, flags []string) error {
	e, err := ownExperiment(ctx)
	if err != nil {
		return err
	}
	c, err := k.Cluster(ctx, "cluster", streams, false)
	if err != nil {
		return err
	}
	x := &detached.Experiment{Name: e.Name, Namespace: *k.Config.Namespace, System: e.System.Name}
	started := time.Now()
	out, page := filepath.Join(manifest.ResultsDir, "out"), filepath.Join(manifest.ResultsDir, pageFile)
	args := append([]string{"run", "-f", manifest.ExperimentFile, "--on", "cluster", "--namespace", x.Namespace, "--out", out, "--report", page}, flags...)
	root.SetArgs(args)
	failed := cli.Cause(ctx, root.ExecuteContext(ctx))
	results := detached.Results{Code: cli.ExitCode(failed), Verdict: verdictOf(cli.ExitCode(failed)), Started: started.UTC(), Ended: time.Now().UTC()}
	if failed != nil {
		results.Error = failed.Error()
		var cleanup *runner.CleanupError
		results.LeftSystem = errors.As(failed, &cleanup)
	}
	// The end of ctx, such as when the pod is deleted, interrupts the experiment
	// but not the storing of its results.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	packed, err := packResults(out, page, &results)
	if err != nil {
		results.Lost(cli.ExitCode(err), err)
	}
	return errors.Join(failed, err, detached.KeepResults(ctx, c.Client, x, results, packed))
}

// ownExperiment reads the experiment from the file that is mounted into this pod.
func ownExperiment(ctx context.Context) (*experiment.Experiment, error) {
	docs, err := spec.Reader{}.ReadFiles(ctx, manifest.ExperimentFile)
	if err != nil {
		return nil, err
	}
	if all := docs.Experiments(); len(all) == 1 {
		return all[0], nil
	}
	return nil, fmt.Errorf("reading the experiment of this pod: %q describes %d in place of one", manifest.ExperimentFile, len(docs.Experiments()))
}

func verdictOf(code int) detached.Phase {
	switch code {
	case cli.ExitDone:
		return detached.Passed
	case cli.ExitCheckFailed:
		return detached.Failed
	}
	return detached.Ended
}

// packResults packs the results into an archive. It returns nil if the run wrote
// none.
func packResults(out, page string, results *detached.Results) ([]byte, error) {
	if _, err := os.Stat(out); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err := os.Rename(page, filepath.Join(out, pageFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("packing the page of the results: %w", err)
	}
	packed, omitted, err := archive.Pack(out, detached.MaxResults, isEssential)
	if err != nil {
		return nil, err
	}
	results.Omitted = omitted
	return packed, nil
}

// isEssential reports whether a file must be among the results. If they are too
// large, others are left out: files with a row for each second, and traces, which
// exist in two formats.
func isEssential(name string) bool {
	ext := filepath.Ext(name)
	return filepath.Base(name) != record.ChromeFile && (ext == ".json" || ext == ".yaml")
}
