package run

import (
	"context"
	"os"
	"testing"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/plugin/agent"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// asCommand is the first argument by which the test binary is the command run.
const asCommand = "run-as-command"

// The test binary is the agent where it is started as that, as the program starts
// itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(agent.ExitCode(agent.Run(context.Background(), os.Args[2:], agent.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})))
	}
	if len(os.Args) > 1 && os.Args[1] == asCommand {
		cmd := New(cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.Args = cobra.ArbitraryArgs
		cmd.SetArgs(os.Args[2:])
		os.Exit(cli.Conclude(os.Stderr, cmd.ExecuteContext(context.Background())))
	}
	os.Exit(m.Run())
}
