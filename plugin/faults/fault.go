// Package faults has the commands that add, apply, list and clear faults on a
// running system.
package faults

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// New returns the command `fault`, with the commands below it.
func New(streams cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "Add faults to a running system, list them, and clear them",
		Args:  cli.Commands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFaultAdd(streams), newFaultApply(streams), newFaultList(streams), newFaultClear(streams))
	return cmd
}

// faultOptions holds the flags that all commands of `fault` share.
type faultOptions struct {
	streams cli.Streams
	target  target.Target
	system  string
	output  cli.Output
}

func (o *faultOptions) AddFlags(cmd *cobra.Command) {
	o.target.AddFlags(cmd)
	cmd.Flags().StringVar(&o.system, "system", "", "the running system; may be left out if there is only one")
	_ = cmd.RegisterFlagCompletionFunc("system", o.target.CompleteSystems())
}

// addOptions holds the flags of `fault add`.
type addOptions struct {
	faultOptions
	selectOptions
	wait, dryRun   bool
	name, On, from string
	probability    unit.Share
	lasts          unit.Duration
	delay, jitter  unit.Duration
	hold           unit.Duration
	status         int
	size           unit.Size
	rate           unit.Rate
	cores          unit.Cores

	percent                  unit.Percent
	correlation              unit.Share
	direction, pattern, with string
	load                     unit.Share
	method, operation        string
}

func newFaultAdd(streams cli.Streams) *cobra.Command {
	o := &addOptions{probability: 1, faultOptions: faultOptions{streams: streams, target: target.New()}}
	var types []string
	var text strings.Builder
	for _, e := range fault.Vocabulary() {
		types = append(types, string(e.Type))
		fmt.Fprintf(&text, "  %-20s  %s%s\n", e.Type, e.Doc, argsOf(e))
	}
	cmd := &cobra.Command{
		Use:   "add TYPE (--target SERVICE | --selector LABELS)",
		Short: "Break a service of a running system, the way to it, or other pods",
		Long:  "Break a service of a running system, or the way to it.\n\nTypes:\n" + text.String(),
		Example: `  kubectl microsim fault add latency --target cart --delay 300ms --jitter 50ms --for 30s --probability 0.3 --on local
  kubectl microsim fault add error --target cart/items --status 503 --on local
  kubectl microsim fault add kill --target cart/2 --on local
  kubectl microsim fault add net-delay --target 'web->cart' --delay 100ms --jitter 10ms --on local
  kubectl microsim fault add net-delay --target cart --delay 300ms --for 3m --wait
  kubectl microsim fault add net-loss --selector app=checkout -n shop --to payment.bank --percent 10 --for 2m`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: types,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := o.Validate(cmd, args[0])
			if err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context(), f)
		},
	}
	o.faultOptions.AddFlags(cmd)
	o.selectOptions.AddFlags(cmd)
	o.target.Kube.AddHelperFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.wait, "wait", false, "stay until the fault's time is over, or an interrupt; then it is taken back, and until then it follows pods that come and go")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only print which pods would be hit, and how")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "dry-run")
	flags.StringVar(&o.name, "name", "", "name to clear the fault by; made from type and target if left out")
	flags.StringVar(&o.On, "target", "", "what to break: SERVICE, SERVICE/REPLICA, SERVICE/PATH or CALLER->SERVICE")
	flags.StringVar(&o.from, "from", "", "only requests of this caller")
	flags.Var(&o.probability, "probability", "share of requests to break, such as 0.1 or 10%; on the network, of connections")
	flags.StringVar(&o.direction, "direction", "", "which way the network is broken: to the target, from it, or both")
	flags.Var(cli.NewDuration(&o.lasts), "for", "how long; without it until it is cleared, with --selector 5m")
	cli.CompleteFlag(cmd, "direction", string(fault.ToTarget), string(fault.FromTarget), string(fault.Both))
	_ = cmd.RegisterFlagCompletionFunc("target", o.target.CompleteServices(&o.system))
	_ = cmd.RegisterFlagCompletionFunc("from", o.target.CompleteServices(&o.system))
	o.addParameterFlags(cmd)
	return cmd
}

// addParameterFlags adds a flag for each parameter that a type of fault can have.
func (o *addOptions) addParameterFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(cli.NewDuration(&o.delay), "delay", "how long requests, packets, or data are held up, or connections live")
	flags.Var(cli.NewDuration(&o.jitter), "jitter", "spread of the delay")
	flags.Var(cli.NewDuration(&o.hold), "hold", "how long memory is held, processors are kept busy, or a store has no primary")
	flags.IntVar(&o.status, "status", 0, "HTTP status of errors")
	flags.Var(&o.size, "size", "memory to leak, or bytes to write, per request; bytes of a connection, or of a part of its data")
	flags.Var(&o.rate, "rate", "bytes per second, such as 100k or 1Mi, or bits, such as 800kbit")
	flags.Var(&o.percent, "percent", "percents of the packets to hit: 10 is one in ten")
	flags.Var(&o.correlation, "correlation", "how much a packet's fate follows that of the one before, such as 0.25 or 25%")
	flags.StringVar(&o.pattern, "pattern", "", "regular expression of what to replace")
	flags.StringVar(&o.with, "with", "", "what to replace it by; $1 is its first group")
	flags.Var(&o.load, "load", "share of each processor that a stress takes, such as 0.5 or 50%")
	flags.StringVar(&o.method, "method", "", "way of a stress; see the documentation of its type")
	flags.StringVar(&o.operation, "operation", "", "which operations of a data store: read, write, range or transaction, of kafka publish or consume; without it all")
	flags.Var(&o.cores, "cores", "processors to keep busy")
	cli.CompleteFlag(cmd, "operation", fault.Operations()...)
	_ = cmd.RegisterFlagCompletionFunc("method", completeMethods)
}

// completeMethods completes --method with the methods of the type on the command line.
func completeMethods(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return fault.Methods(fault.Type(args[0])), cobra.ShellCompDirectiveNoFileComp
}

// Validate returns the fault that the flags describe, or an error if they are
// wrong.
func (o *addOptions) Validate(cmd *cobra.Command, word string) (fault.Fault, error) {
	flags := cmd.Flags()
	for _, check := range []func() error{
		func() error { return o.target.Validate(cmd) },
		func() error { return o.validateSelection(flags) },
		func() error { return validateArgs(flags, word) },
	} {
		if err := check(); err != nil {
			return fault.Fault{}, err
		}
	}
	switch {
	case flags.Changed("for") && o.lasts <= 0:
		return fault.Fault{}, fmt.Errorf("--for %v is not a time to break something: leave it out to break it until it is cleared", o.lasts)
	case flags.Changed("for") && timeline.ActsOnce(&fault.Fault{Type: fault.Type(word)}):
		return fault.Fault{}, fmt.Errorf("a %s acts once, so it does not last: leave --for out", word)
	case flags.Changed("probability") && o.probability == 0:
		return fault.Fault{}, errors.New("--probability 0 breaks nothing: write a share above 0, up to 1")
	}
	return o.fault(word)
}

// validateArgs refuses parameters that the type of fault does not have, and zeros,
// which would mean the default.
func validateArgs(flags *pflag.FlagSet, word string) error {
	entry, ok := fault.Lookup(fault.Type(word))
	if !ok {
		return nil // the error about the type comes later, with a list of all types
	}
	has := append(slices.Clone(entry.Needs), entry.May...)
	for _, arg := range []fault.Arg{
		fault.ArgDelay, fault.ArgJitter, fault.ArgStatus, fault.ArgSize, fault.ArgHold, fault.ArgCores, fault.ArgRate, fault.ArgPercent,
		fault.ArgCorrelation, fault.ArgMethod, fault.ArgLoad, fault.ArgPattern, fault.ArgWith, fault.ArgOperation,
	} {
		flag := flags.Lookup(string(arg))
		if flag == nil || !flag.Changed {
			continue
		}
		if !slices.Contains(has, arg) {
			return fmt.Errorf("fault type %q has no --%s: it takes %s", word, arg, cmp.Or(strings.Trim(argsOf(entry), " ()"), "no parameters"))
		}
		if flag.Value.String() == zeroOf(flag) && slices.Contains([]fault.Arg{fault.ArgStatus, fault.ArgHold, fault.ArgCores, fault.ArgLoad}, arg) {
			return fmt.Errorf("--%s %s is not possible: leave it out for the default, or write more", arg, flag.Value)
		}
	}
	return nil
}

// zeroOf returns the text of the zero value of a flag, which is the default of
// these flags.
func zeroOf(flag *pflag.Flag) string { return flag.DefValue }

// argsOf lists the flags of a type for its help.
func argsOf(e fault.Entry) string {
	var flags []string
	for _, a := range e.Needs {
		flags = append(flags, "--"+string(a))
	}
	for _, a := range e.May {
		flags = append(flags, "[--"+string(a)+"]")
	}
	if len(flags) == 0 {
		return ""
	}
	return " (" + strings.Join(flags, " ") + ")"
}

// fault returns the fault that the flags describe, or an error if they are wrong.
func (o *addOptions) fault(word string) (fault.Fault, error) {
	f := fault.Fault{
		Name: o.name, Type: fault.Type(word), Duration: o.lasts, Probability: o.probability,
		Args: fault.Args{
			Delay: dist.Fixed(o.delay.Std()), Jitter: o.jitter, Hold: o.hold, Status: o.status, Size: o.size, Cores: o.cores,
			Rate: o.rate, Percent: o.percent, Correlation: o.correlation, Pattern: o.pattern, With: o.with,
			Load: o.load, Method: o.method, Operation: o.operation,
		},
	}
	var err error
	switch {
	case o.selector != "":
		f.Target.Service = o.selector
	case o.On == "":
		return f, errors.New("--target is missing: name the service to break, or pods with --selector")
	default:
		if f.Target, err = fault.ParseTarget(o.On); err != nil {
			return f, fmt.Errorf("--target: %w", err)
		}
	}
	if o.from != "" {
		f.Target.From = o.from
	}
	f.Target.Direction = fault.Direction(o.direction)
	f = f.WithDefaults()
	problems := f.Validate()
	for i := range problems {
		problems[i].Path = flagOf(problems[i].Path)
	}
	return f, problems.Err()
}

// flagOf returns the flag that stands for the field of a file at a path.
func flagOf(path string) string {
	switch name := path[strings.LastIndex(path, ".")+1:]; name {
	case "service", "replica", "endpoint":
		return "--target"
	case "duration":
		return "--for"
	default: // the other flags have the name of the field
		return "--" + name
	}
}

// until returns when a fault that begins now ends; the zero time means never.
func (o *addOptions) until() time.Time {
	if o.lasts == 0 {
		return time.Time{}
	}
	return time.Now().Add(o.lasts.Std())
}

// faultID returns a name made of type and target, which needs no quotes on a
// command line.
func faultID(f fault.Fault) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '-'
	}, strings.ReplaceAll(f.Target.String(), "->", "-"))
	return string(f.Type) + "-" + strings.Trim(clean, "-")
}
