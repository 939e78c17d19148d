package plugin

import (
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/spf13/cobra"
)

// Command returns the tree of all commands, hidden ones included, for programs that
// describe them. Use Run to execute a command line.
func Command(streams cli.Streams) *cobra.Command { return newRoot(streams) }
