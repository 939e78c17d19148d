package system

import (
	"context"
	"os"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/plugin/agent"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// The test binary is the agent, or the holder of a system in the background, where it
// is started as that, as the program starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(agent.ExitCode(agent.Run(context.Background(), os.Args[2:], agent.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})))
	}
	if os.Getenv(detachedEnv) != "" {
		cmd := NewUp(cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
		cmd.SetArgs(os.Args[2:]) // the first is up
		os.Exit(cli.Conclude(os.Stderr, cmd.ExecuteContext(context.Background())))
	}
	os.Exit(m.Run())
}
