package plugin

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// Quantiles of services are what they really are, so checks of them hold.
func TestQuantilesAreJudgedRight(t *testing.T) {
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	var out, talk bytes.Buffer
	code := Run(t.Context(), []string{"run", "-f", filepath.Join(cases, "quantiles.yaml"), "--on", "local"}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
	if code != cli.ExitDone || !strings.Contains(out.String(), "3 of 3 checks passed") {
		t.Errorf("exit code %d\n%s%s", code, out.String(), talk.String())
	}
}
