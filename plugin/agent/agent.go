// Package agent has the commands of microsim-agent, the small program that serves
// mock services, applies faults and generates load.
package agent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Streams are the standard streams of a command: data goes to Out, messages go to
// Err.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// ErrUsage marks errors of the command line.
var ErrUsage = errors.New("see --help")

// A Command is a command of a Program.
type Command struct {
	Name, Doc string
	Run       func(ctx context.Context, args []string, streams Streams) error
}

// A Program is the agent, or another program with commands of this form.
type Program struct {
	// Name is the name of the program in messages.
	Name     string
	Commands []Command
}

// NewDriver makes the driver by which a service of some name reaches a data store.
type NewDriver func(caller string, t *topology.Service) (store.Driver, error)

// Commands returns the commands of the agent. Its services call data stores with
// drivers that newDriver makes. It is nil in microsim-agent, which stays small without
// drivers.
func Commands(newDriver NewDriver) []Command {
	return []Command{
		Serve("serve", newDriver),
		{"load", "generate load", generate},
		{"net", "break the network of a namespace", netFaults},
		{"node", "carry out orders on the pods of this node", nodeHelper},
		{"stress", "take processor, disk or memory away", stressCommand},
	}
}

// Serve returns the command that serves a mock service.
func Serve(name string, newDriver NewDriver) Command {
	return Command{name, "serve one mock service", func(ctx context.Context, args []string, streams Streams) error {
		return serve(ctx, newDriver, args, streams)
	}}
}

// Run executes the arguments of microsim-agent, without its name. It returns when the
// command is done or ctx has ended.
func Run(ctx context.Context, args []string, streams Streams) error {
	p := Program{Name: "microsim-agent", Commands: Commands(nil)}
	return p.Run(ctx, args, streams)
}

// Run executes arguments without the program's name. It returns when the command is
// done or ctx has ended.
func (p *Program) Run(ctx context.Context, args []string, streams Streams) error {
	if len(args) == 0 {
		return fmt.Errorf("no command is given: %w", ErrUsage)
	}
	for _, c := range p.Commands {
		if c.Name == args[0] {
			return c.Run(ctx, args[1:], streams)
		}
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		_, err := io.WriteString(streams.Out, p.usage())
		return err
	}
	return fmt.Errorf("%q is not a command of %s: %w", args[0], p.Name, ErrUsage)
}

// Parse parses the flags of a command that takes no other arguments. It returns
// true if the arguments ask for help, which it has printed.
func Parse(flags *flag.FlagSet, doc string, args []string, streams Streams) (helped bool, err error) {
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

func (p *Program) usage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s COMMAND [flags]\n\n", p.Name)
	for _, c := range p.Commands {
		fmt.Fprintf(&b, "  %-10s %s\n", c.Name, c.Doc)
	}
	fmt.Fprintf(&b, "\n%s COMMAND --help tells the flags.\n", p.Name)
	return b.String()
}
