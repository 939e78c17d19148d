package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster/archive"
	"github.com/microsim-dev/kubectl-microsim/cluster/detached"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// What the pod of a detached run is called with must be flags that there are.
func TestRunnerTakesItsArguments(t *testing.T) {
	o := &runOptions{target: target{on: "kind", kube: &kube{timeout: time.Minute}}, pods: 3, series: series{variants: []string{"a", "b"}, seeds: 5}}
	args := o.runnerArgs("shop", "registry.example/agent:1", "kubectl microsim run shop --on kind")
	quiet := Streams{Out: io.Discard, Err: io.Discard}
	root := newRoot(quiet)
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

func TestDetachRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ args, want string }{
		"local":  {"run shop --on local --detach", "--on kind or --on cluster"},
		"out":    {"run shop --detach --out x", "kubectl microsim report"},
		"report": {"run shop --detach --report x.html", "kubectl microsim report"},
		"output": {"run shop --detach -o json", "kubectl microsim report"},
		"image":  {"run shop --on kind --runner-image x", "--detach"},
	} {
		t.Run(name, func(t *testing.T) {
			var talk bytes.Buffer
			code := Run(t.Context(), strings.Fields(tt.args), Streams{In: strings.NewReader(""), Out: io.Discard, Err: &talk})
			if code != exitUsage || !strings.Contains(talk.String(), tt.want) {
				t.Errorf("exit code %d: %s", code, talk.String())
			}
		})
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
		if got := runnerReference(push); got != want {
			t.Errorf("%s: got %s, want %s", push, got, want)
		}
	}
}

func TestDetachedRunsAreBounded(t *testing.T) {
	profile := func(d time.Duration) load.Profile {
		return load.Profile{Phases: []load.Phase{{Rate: 1, Duration: unit.Duration(d)}}}
	}
	longer, counted := profile(time.Hour), load.Profile{Phases: []load.Phase{{Rate: 1, Count: 10}}}
	o := &runOptions{target: target{kube: &kube{timeout: 5 * time.Minute}}, series: series{seeds: 2}}
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
	for code, want := range map[int]detached.Phase{exitDone: detached.Passed, exitCheckFailed: detached.Failed, exitError: detached.Ended, exitCleanup: detached.Ended} {
		if got := verdictOf(code); got != want {
			t.Errorf("exit code %d: got %s, want %s", code, got, want)
		}
	}
}

const briefExperiment = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: brief
system: {name: brief, services: [{name: front, calls: [back]}, {name: back}]}
load: {rate: 50, duration: 1s}
faults: [{type: error, target: {service: back}, start: 200ms, duration: 500ms}]
checks: ["errors < 1%"]
`

// A directory is shown as the run was that wrote it.
func TestReportShowsWhatRunShowed(t *testing.T) {
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	dir := t.TempDir()
	file, out, page := filepath.Join(dir, "brief.yaml"), filepath.Join(dir, "out"), filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, []byte(briefExperiment), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(args ...string) (code int, stdout, stderr string) {
		var data, talk bytes.Buffer
		code = Run(t.Context(), args, Streams{In: strings.NewReader(""), Out: &data, Err: &talk})
		return code, data.String(), talk.String()
	}
	for _, more := range [][]string{nil, {"--seeds", "2"}} {
		code, want, talk := do(append([]string{"run", "-f", file, "--on", "local", "--out", out, "--force"}, more...)...)
		if code != exitCheckFailed {
			t.Fatalf("exit code %d: %s", code, talk)
		}
		if code, got, talk := do("report", out); code != exitCheckFailed || got != want {
			t.Errorf("%v: exit code %d, %s; want what the run printed:\n%s\ngot\n%s", more, code, talk, want, got)
		}
		name := "result.json"
		if more != nil {
			name = "comparison.json"
		}
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, got, _ := do("report", out, "-o", "json"); !sameJSON(t, got, string(text)) {
			t.Errorf("%v: the JSON is not that of %s", more, name)
		}
	}
	if code, _, talk := do("report", out, "--report", page); code != exitError || !strings.Contains(talk, "no page") {
		t.Errorf("without a page: exit code %d, %s", code, talk)
	}
	if code, _, talk := do("report", dir); code != exitError || !strings.Contains(talk, "neither result.json nor comparison.json") {
		t.Errorf("without results: exit code %d, %s", code, talk)
	}
	if code, _, talk := do("report", out, "--wait"); code != exitUsage {
		t.Errorf("waiting for a directory: exit code %d, %s", code, talk)
	}
}

// What is told of a run that ended badly is what the run itself told.
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
	for code, phase := range map[int]detached.Phase{exitCheckFailed: detached.Failed, exitError: detached.Ended, exitCleanup: detached.Ended} {
		o := &reportOptions{streams: Streams{Out: io.Discard, Err: io.Discard}}
		err := o.showArchive(&detached.Experiment{Name: "brief", Phase: phase, Results: &detached.Results{Code: code, Error: "it was interrupted"}}, packed)
		if got := exitCode(err); got != code {
			t.Errorf("the run ended with %d, the report with %d: %v", code, got, err)
		}
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var left, right any
	if err := errors.Join(json.Unmarshal([]byte(a), &left), json.Unmarshal([]byte(b), &right)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(left, right)
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
