// Command microsim-store serves a data store, or a mock service that calls some.
package main

import (
	"fmt"
	"os"

	"github.com/microsim-dev/kubectl-microsim/plugin/agent"
	"github.com/microsim-dev/kubectl-microsim/plugin/storeagent"
)

func main() {
	ctx, stop := agent.UntilSignal(os.Stderr, func() { os.Exit(agent.ExitInterrupted) })
	err := storeagent.Program().Run(ctx, os.Args[1:], agent.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "microsim-store:", err)
	}
	os.Exit(agent.ExitCode(err))
}
