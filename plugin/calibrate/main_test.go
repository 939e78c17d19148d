package calibrate

import (
	"context"
	"os"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/plugin/agent"
)

// The test binary is the agent where it is started as that, as the program starts
// itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(agent.ExitCode(agent.Run(context.Background(), os.Args[2:], agent.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})))
	}
	os.Exit(m.Run())
}
