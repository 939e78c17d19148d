//go:build truth

package truth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/plugin"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// A figure is a number that the program shows, and the truth.
type figure struct {
	name         string
	truth, shown float64
	// within is by how much shown may differ, as a share of the truth; plus is
	// what it may differ beside that, in the figure's unit.
	within, plus float64
}

// relative is the error as a share of the truth.
func (f *figure) relative() float64 {
	if f.truth == f.shown {
		return 0
	}
	return (f.shown - f.truth) / math.Abs(f.truth)
}

func (f *figure) holds() bool {
	return math.Abs(f.shown-f.truth) <= f.within*math.Abs(f.truth)+f.plus
}

// compare prints each figure beside the truth with its error, and fails the
// test where the error is larger than it may be.
func compare(t *testing.T, figures ...figure) {
	t.Helper()
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "figure\ttruth\tshown\terror\tallowed\t\n")
	for i := range figures {
		f := &figures[i]
		verdict := ""
		if !f.holds() {
			verdict = "  WRONG"
			t.Errorf("%s is shown as %.6g, and is %.6g", f.name, f.shown, f.truth)
		}
		allowed := fmt.Sprintf("%.1f%%", 100*f.within)
		if f.plus > 0 {
			allowed += fmt.Sprintf(" + %.3g", f.plus)
		}
		fmt.Fprintf(table, "%s\t%.5g\t%.5g\t%+.2f%%\t%s\t%s\n", f.name, f.truth, f.shown, 100*f.relative(), allowed, verdict)
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
}

// full is the variable of the environment that asks for the whole size.
const full = "MICROSIM_TRUTH"

// size is large for `make truth` and small for `make test-truth`.
func size[T any](small, large T) T {
	if os.Getenv(full) == "full" {
		return large
	}
	return small
}

// run plays an experiment on this machine as a user does, and returns its
// result. A check that fails is not an error; args are further arguments.
func run(t *testing.T, experiment string, args ...string) *result.Result {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("MICROSIM_STATE_DIR", filepath.Join(dir, "state"))
	file := filepath.Join(dir, "experiment.yaml")
	if err := os.WriteFile(file, []byte(experiment), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	var stdout, stderr bytes.Buffer
	code := plugin.Run(t.Context(), append([]string{"run", "-f", file, "--on", "local", "--out", out}, args...), cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	if code != cli.ExitDone && code != cli.ExitCheckFailed {
		t.Fatalf("run: exit code %d\n%s%s", code, stdout.String(), stderr.String())
	}
	text, err := os.ReadFile(filepath.Join(out, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := new(result.Result)
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// serviceOf returns what is shown of a service in the whole run.
func serviceOf(t *testing.T, r *result.Result, name string) *result.ServiceStats {
	t.Helper()
	at := slices.IndexFunc(r.Segments[0].Services, func(s result.ServiceStats) bool { return s.Service == name })
	if at < 0 {
		t.Fatalf("the result has no service %q", name)
	}
	return &r.Segments[0].Services[at]
}
