package system

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster/logs"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// logsOptions holds the flags of `logs`.
type logsOptions struct {
	streams  cli.Streams
	target   target.Target
	system   string
	all      bool
	follow   bool
	previous bool
	since    unit.Duration
	tail     int64
}

func NewLogs(streams cli.Streams) *cobra.Command {
	o := &logsOptions{streams: streams, target: target.New()}
	cmd := &cobra.Command{
		Use:   "logs (SERVICE ... | --all)",
		Short: "Print what services of a running system have printed",
		Long: `Print what services of a running system have printed.

The lines of all pods are merged, each behind its service and the number of its replica. With
-f, pods that take the place of others are followed, too. A service says little while all is
well.

On this machine there is a log of systems that run in the background ('up --detach'). With --all,
it is printed as it is, with what happens to replicas; otherwise the lines of these services.

'up --verbose' logs each request, and --log-format json makes lines that programs read.`,
		Example: `  kubectl microsim logs cart db --system shop
  kubectl microsim logs --all -f --since 5m
  kubectl microsim logs cart -p
  kubectl microsim logs cart --on local --since 1min -f`,
		ValidArgsFunction: o.target.CompleteServices(&o.system),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(cmd, args); err != nil {
				return cli.Usage(cmd, err)
			}
			if o.target.OnCluster() {
				return o.onKubernetes(cmd.Context(), args)
			}
			return o.onMachine(cmd.Context(), args)
		},
	}
	o.target.AddFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.system, "system", "", "the running system; may be left out if there is only one")
	flags.BoolVar(&o.all, "all", false, "every service of the system")
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on with what is printed from now on, until Ctrl-C")
	flags.BoolVarP(&o.previous, "previous", "p", false, "of the containers that ended before those that run")
	flags.Var(cli.NewDuration(&o.since), "since", "leave out what is older than this")
	flags.Int64Var(&o.tail, "tail", -1, "how many lines of each replica to begin with; -1 is all")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "previous")
	_ = cmd.RegisterFlagCompletionFunc("system", o.target.CompleteSystems())
	return cmd
}

func (o *logsOptions) Validate(cmd *cobra.Command, services []string) error {
	if err := o.target.Validate(cmd); err != nil {
		return err
	}
	switch {
	case cmd.Flags().Changed("since") && o.since <= 0:
		return fmt.Errorf("--since %v leaves out every line: leave it out for all", o.since)
	case !o.all && len(services) == 0:
		return errors.New("no service is named: name services, or write --all")
	case o.all && len(services) > 0:
		return errors.New("--all and names of services are both given: keep one")
	case o.follow && o.previous:
		return errors.New("--follow and --previous are both given: what has ended prints no more")
	case o.tail < -1:
		return fmt.Errorf("--tail %d is not a number of lines: write -1 for all", o.tail)
	}
	return nil
}

func (o *logsOptions) onKubernetes(ctx context.Context, services []string) error {
	c, err := o.target.Cluster(ctx, o.streams)
	if err != nil {
		return err
	}
	d, err := c.Find(ctx, o.system)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	out, style := cli.Styled(o.streams.Out)
	show := printLine(out, style.Color)
	err = logs.Read(ctx, d.Instance, logs.Options{Services: services, Follow: o.follow, Previous: o.previous, Since: o.since.Std(), Tail: o.tail}, show)
	if o.follow && ctx.Err() != nil {
		return nil //nolint:nilerr // Ctrl-C is the usual end
	}
	return cli.Cause(ctx, err)
}

// printLine returns a function that prints a line after its service and replica. A
// service has the same colour in every run.
func printLine(w io.Writer, color bool) func(logs.Line) {
	return func(l logs.Line) {
		prefix := fmt.Sprintf("%s/%d", l.Service, l.Replica)
		if color {
			const firstColor, colors = 31, 6 // red to cyan
			hash := fnv.New32a()
			_, _ = io.WriteString(hash, l.Service)
			prefix = fmt.Sprintf("\x1b[%dm%s\x1b[0m", firstColor+hash.Sum32()%colors, prefix)
		}
		fmt.Fprintf(w, "%s %s\n", prefix, strings.TrimSuffix(l.Text, "\r"))
	}
}
