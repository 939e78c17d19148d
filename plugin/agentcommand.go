package plugin

import (
	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/plugin/agent"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// newAgent makes this program its own agent, so that a plugin that was installed
// alone can start processes.
func newAgent(streams cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:                "agent COMMAND",
		Short:              "What microsim-agent does: serve one service, break one network",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := agent.Run(cmd.Context(), args, agent.Streams{In: streams.In, Out: streams.Out, Err: streams.Err})
			return cli.ExitWith(agent.ExitCode(err), err)
		},
	}
}
