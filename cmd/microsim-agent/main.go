// Command microsim-agent is the small program that serves one mock service,
// breaks the network of one namespace, or generates load inside a pod.
package main

import (
	"fmt"
	"os"

	"github.com/microsim-dev/kubectl-microsim/plugin/agent"
)

func main() {
	ctx, stop := agent.UntilSignal(os.Stderr, func() { os.Exit(agent.ExitInterrupted) })
	err := agent.Run(ctx, os.Args[1:], agent.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "microsim-agent:", err)
	}
	os.Exit(agent.ExitCode(err))
}
