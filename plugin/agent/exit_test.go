package agent

import (
	"bytes"
	"errors"
	"fmt"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodeagent"
	"github.com/microsim-dev/kubectl-microsim/netfault/impair"
	"io"
	"testing"
)

// Scripts and Jobs depend on these numbers.
func TestExitCode(t *testing.T) {
	cause := errors.New("no")
	for name, tt := range map[string]struct {
		err  error
		want int
	}{
		"done":                  {nil, 0},
		"error":                 {cause, 1},
		"misuse":                {fmt.Errorf("net: %w: %w", cause, ErrUsage), 2},
		"left behind":           {fmt.Errorf("%w: %w", impair.ErrCleanup, cause), 11},
		"left behind, joined":   {errors.Join(cause, fmt.Errorf("pod a: %w", impair.ErrCleanup)), 11},
		"a helper still wanted": {fmt.Errorf("node: %w", nodeagent.ErrWanted), 1},
	} {
		if got := ExitCode(tt.err); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", name, got, tt.want)
		}
	}
}

// Misuse of any command is told from its other errors.
func TestMisuseHasItsExitCode(t *testing.T) {
	for _, args := range [][]string{
		{}, {"nonsense"}, {"--flag"},
		{"serve", "--no-such-flag"}, {"load", "--no-such-flag"}, {"stress", "--no-such-flag"}, {"node", "--no-such-flag"},
		{"net"}, {"net", "nonsense"}, {"net", "apply", "--no-such-flag"}, {"node", "--linger", "-1s"}, {"serve", "argument"},
	} {
		if got := ExitCode(Run(t.Context(), args, Streams{In: &bytes.Buffer{}, Out: io.Discard, Err: io.Discard})); got != 2 {
			t.Errorf("microsim-agent %q: exit code %d, want 2", args, got)
		}
	}
	for _, args := range [][]string{{"help"}, {"serve", "--help"}, {"load", "--help"}, {"net", "--help"}, {"node", "--help"}, {"stress", "--help"}} {
		if got := ExitCode(Run(t.Context(), args, Streams{In: &bytes.Buffer{}, Out: io.Discard, Err: io.Discard})); got != 0 {
			t.Errorf("microsim-agent %q: exit code %d, want 0", args, got)
		}
	}
}
