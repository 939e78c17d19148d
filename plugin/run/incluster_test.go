package run

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster/archive"
	"github.com/microsim-dev/kubectl-microsim/cluster/detached"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// The arguments of a detached run's pod must be known flags.
func TestRunnerTakesItsArguments(t *testing.T) {
	o := &runOptions{target: target.Target{On: "kind", Kube: &kube.Flags{ReadyTimeout: time.Minute}}, pods: 3, series: series{variants: []string{"a", "b"}, seeds: 5}, signals: &signals{}}
	args := o.runnerArgs("shop", "registry.example/agent:1", "kubectl microsim run shop --on kind")
	quiet := cli.Streams{Out: io.Discard, Err: io.Discard}
	root := &cobra.Command{}
	root.AddCommand(New(quiet), NewRunner(quiet, nil))
	runner, rest, err := root.Find(args)
	if err != nil || runner.Name() != "runner" {
		t.Fatalf("found %v, %v", runner, err)
	}
	if err := runner.ParseFlags(rest); err != nil {
		t.Fatal(err)
	}
	if got := runner.Flag("namespace").Value.String(); got != "shop" {
		t.Errorf("the namespace is %q", got)
	}
	run, _, err := root.Find([]string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.ParseFlags(runner.Flags().Args()); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{
		"image": "registry.example/agent:1", "ready-timeout": "1m0s", "load-pods": "3", "variants": "[a,b]", "seeds": "5",
		calledFlag: "kubectl microsim run shop --on kind",
	} {
		if got := run.Flag(flag).Value.String(); got != want {
			t.Errorf("--%s is %q, want %q", flag, got, want)
		}
	}
}

func TestRunnersImageIsBesideTheAgents(t *testing.T) {
	for push, want := range map[string]string{
		"registry.example/agent":                "registry.example/agent:runner",
		"registry.example/agent:v1":             "registry.example/agent:v1-runner",
		"localhost:5000/a/agent":                "localhost:5000/a/agent:runner",
		"localhost:5000/a/agent:v1":             "localhost:5000/a/agent:v1-runner",
		"registry.example/agent@sha256:abcdef0": "registry.example/agent:runner",
	} {
		if got := kube.BesideAgent(push, "runner"); got != want {
			t.Errorf("%s: got %s, want %s", push, got, want)
		}
	}
}

func TestDetachedRunsAreBounded(t *testing.T) {
	profile := func(d time.Duration) load.Profile {
		return load.Profile{Phases: []load.Phase{{Rate: 1, Duration: unit.Duration(d)}}}
	}
	longer, counted := profile(time.Hour), load.Profile{Phases: []load.Phase{{Rate: 1, Count: 10}}}
	o := &runOptions{target: target.Target{Kube: &kube.Flags{ReadyTimeout: 5 * time.Minute}}, series: series{seeds: 2}, signals: &signals{}}
	for name, tt := range map[string]struct {
		e    experiment.Experiment
		want time.Duration
	}{
		"one":      {experiment.Experiment{Load: profile(time.Minute)}, 2 * 16 * time.Minute},
		"tail":     {experiment.Experiment{Load: profile(time.Minute), Tail: unit.Duration(time.Minute)}, 2 * 17 * time.Minute},
		"variants": {experiment.Experiment{Load: profile(time.Minute), Variants: []experiment.Variant{{}, {Load: &longer}}}, 4 * 75 * time.Minute},
		"counted":  {experiment.Experiment{Load: counted}, unboundedRun},
	} {
		if got := o.atMost(&tt.e); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for code, want := range map[int]detached.Phase{cli.ExitDone: detached.Passed, cli.ExitCheckFailed: detached.Failed, cli.ExitError: detached.Ended, cli.ExitCleanup: detached.Ended} {
		if got := verdictOf(code); got != want {
			t.Errorf("exit code %d: got %s, want %s", code, got, want)
		}
	}
}

// The report of a failed run ends with the error of the run itself.
func TestReportEndsAsTheRunDid(t *testing.T) {
	dir := t.TempDir()
	failed := result.Result{Kind: result.ResultKind, Name: "brief", Checks: []result.CheckResult{{}}}
	f, err := os.Create(filepath.Join(dir, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(failed.Encode(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	packed, _, err := archive.Pack(dir, detached.MaxResults, isEssential)
	if err != nil {
		t.Fatal(err)
	}
	for code, phase := range map[int]detached.Phase{cli.ExitCheckFailed: detached.Failed, cli.ExitError: detached.Ended, cli.ExitCleanup: detached.Ended} {
		o := &reportOptions{streams: cli.Streams{Out: io.Discard, Err: io.Discard}}
		err := o.showArchive(t.Context(), &detached.Experiment{Name: "brief", Phase: phase, Results: &detached.Results{Code: code, Error: "it was interrupted"}}, packed)
		if got := cli.ExitCode(err); got != code {
			t.Errorf("the run ended with %d, the report with %d: %v", code, got, err)
		}
	}
}

func TestResultsArePackedWithTheirPage(t *testing.T) {
	dir := t.TempDir()
	out, page := filepath.Join(dir, "out"), filepath.Join(dir, "page.html")
	results := &detached.Results{}
	if data, err := packResults(out, page, results); err != nil || data != nil {
		t.Errorf("where nothing was recorded: %d bytes, %v", len(data), err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{page, filepath.Join(out, "result.json")} {
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := packResults(out, page, results)
	if err != nil || len(data) == 0 || len(results.Omitted) > 0 {
		t.Fatalf("%d bytes without %v, %v", len(data), results.Omitted, err)
	}
	entries, err := os.ReadDir(out)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err != nil || !slices.Equal(names, []string{pageFile, "result.json"}) {
		t.Errorf("packed were %v, %v", names, err)
	}
}
