package agent

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestNodeUsage(t *testing.T) {
	t.Setenv("MICROSIM_TOKEN", "")
	for _, args := range [][]string{{"node", "x"}, {"node", "--linger", "-1s"}, {"node", "--port", "1"}, {"node"},
		{"stress"}, {"stress", "--type", "x"}, {"stress", "--type", "memory-stress"}, {"stress", "--type", "io-stress", "--method", "dd"}, {"stress", "x"}} {
		err := Run(t.Context(), args, Streams{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
		if !errors.Is(err, ErrUsage) {
			t.Errorf("%q gives %v, want a usage error", args, err)
		}
	}
	for _, name := range []string{"node", "stress"} {
		var out bytes.Buffer
		if err := Run(t.Context(), []string{name, "--help"}, Streams{Out: &out}); err != nil || !slices.Contains(strings.Fields(out.String()), name) {
			t.Errorf("help: %v\n%s", err, out.String())
		}
	}
}
