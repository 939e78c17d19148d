// Package runtimes has the commands about mock services in other languages: which
// there are, what they need here, and whether a program obeys the contract.
package runtimes

import (
	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// New is `runtimes`.
func New(streams cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runtimes",
		Short: "Mock services in other languages and web frameworks",
		Args:  cli.Commands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newList(streams), newInstall(streams), newConform(streams))
	return cmd
}
