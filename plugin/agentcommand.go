package plugin

import (
	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/plugin/agent"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/storeagent"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

// newAgent is a hidden command that makes this program its own agent, so that a
// plugin installed without microsim-agent can start processes.
func newAgent(streams cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:                "agent COMMAND",
		Short:              "What microsim-agent does: serve one service or store, break one network",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			program := agent.Program{Name: "kubectl-microsim agent", Commands: append(agent.Commands(driver.New), storeagent.Commands()...)}
			err := program.Run(cmd.Context(), args, agent.Streams{In: streams.In, Out: streams.Out, Err: streams.Err})
			return cli.ExitWith(agent.ExitCode(err), err)
		},
	}
}
