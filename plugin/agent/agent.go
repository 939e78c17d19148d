// Package agent has the commands of microsim-agent, the small program that runs
// beside, or as, the services of a system.
package agent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Streams are where a command reads and writes: data goes to Out, talk to Err.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// ErrUsage marks errors of the command line.
var ErrUsage = errors.New("see microsim-agent --help")

// A command of the agent.
type command struct {
	name, doc string
	run       func(ctx context.Context, args []string, streams Streams) error
}

func commands() []command {
	return []command{
		{"serve", "serve one mock service", serve},
		{"load", "generate load", generate},
		{"net", "break the network of a namespace", netFaults},
		{"node", "carry out orders on the pods of this node", nodeHelper},
		{"stress", "take processor, disk or memory away", stressCommand},
	}
}

// Run does what the arguments, without the program's name, ask for, and returns
// when it is done or ctx has ended.
func Run(ctx context.Context, args []string, streams Streams) error {
	if len(args) == 0 {
		return fmt.Errorf("no command is given: %w", ErrUsage)
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], streams)
		}
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		_, err := io.WriteString(streams.Out, usage())
		return err
	}
	return fmt.Errorf("%q is not a command of microsim-agent: %w", args[0], ErrUsage)
}

// parse reads the flags of a command that takes no other arguments. It reports
// whether help was asked for, and printed.
func parse(flags *flag.FlagSet, doc string, args []string, streams Streams) (helped bool, err error) {
	flags.SetOutput(io.Discard)
	err = flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(streams.Out, doc)
		flags.SetOutput(streams.Out)
		flags.PrintDefaults()
		return true, nil
	case err != nil:
		return false, fmt.Errorf("%s: %w: %w", flags.Name(), err, ErrUsage)
	case flags.NArg() > 0:
		return false, fmt.Errorf("%s takes no argument %q: %w", flags.Name(), flags.Arg(0), ErrUsage)
	}
	return false, nil
}

func usage() string {
	var b strings.Builder
	b.WriteString("microsim-agent COMMAND [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-10s %s\n", c.name, c.doc)
	}
	b.WriteString("\nmicrosim-agent COMMAND --help tells the flags.\n")
	return b.String()
}
