package plugin

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// Quantiles of services are what they really are, so checks of them hold.
func TestQuantilesAreJudgedRight(t *testing.T) {
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	text, err := os.ReadFile(filepath.Join(cases, "quantiles.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// On a busy machine the slowest sleeps do last longer, but not half of them.
	const slowest = "p99 < 700ms"
	if !strings.Contains(string(text), slowest) {
		t.Fatalf("the case has no check %q", slowest)
	}
	file := filepath.Join(t.TempDir(), "quantiles.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), slowest, "p50 < 700ms", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, talk bytes.Buffer
	code := Run(t.Context(), []string{"run", "-f", file, "--on", "local"}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
	if code != cli.ExitDone || !strings.Contains(out.String(), "3 of 3 checks passed") {
		t.Errorf("exit code %d\n%s%s", code, out.String(), talk.String())
	}
}
