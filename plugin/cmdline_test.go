package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

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
			code := Run(t.Context(), strings.Fields(tt.args), cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &talk})
			if code != cli.ExitUsage || !strings.Contains(talk.String(), tt.want) {
				t.Errorf("exit code %d: %s", code, talk.String())
			}
		})
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
		code = Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &data, Err: &talk})
		return code, data.String(), talk.String()
	}
	for _, more := range [][]string{nil, {"--seeds", "2"}} {
		code, want, talk := do(append([]string{"run", "-f", file, "--on", "local", "--out", out, "--force"}, more...)...)
		if code != cli.ExitCheckFailed {
			t.Fatalf("exit code %d: %s", code, talk)
		}
		if code, got, talk := do("report", out); code != cli.ExitCheckFailed || got != want {
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
	if code, _, talk := do("report", out, "--report", page); code != cli.ExitError || !strings.Contains(talk, "no page") {
		t.Errorf("without a page: exit code %d, %s", code, talk)
	}
	if code, _, talk := do("report", t.TempDir()); code != cli.ExitError || !strings.Contains(talk, "neither result.json nor comparison.json") {
		t.Errorf("without results: exit code %d, %s", code, talk)
	}
	if code, _, talk := do("report", dir); code != cli.ExitError || !strings.Contains(talk, "name one of "+out) {
		t.Errorf("for the directory above: exit code %d, %s", code, talk)
	}
	if code, _, talk := do("report", out, "--wait"); code != cli.ExitUsage {
		t.Errorf("waiting for a directory: exit code %d, %s", code, talk)
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
