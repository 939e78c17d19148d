// Package plugin builds the tree of commands and runs command lines. It is the only
// place that wires the other packages together. Data goes to stdout, messages go to
// stderr.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/calibrate"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/dataset"
	"github.com/microsim-dev/kubectl-microsim/plugin/doctor"
	"github.com/microsim-dev/kubectl-microsim/plugin/explore"
	"github.com/microsim-dev/kubectl-microsim/plugin/faults"
	"github.com/microsim-dev/kubectl-microsim/plugin/files"
	"github.com/microsim-dev/kubectl-microsim/plugin/gate"
	"github.com/microsim-dev/kubectl-microsim/plugin/load"
	"github.com/microsim-dev/kubectl-microsim/plugin/monitor"
	"github.com/microsim-dev/kubectl-microsim/plugin/run"
	"github.com/microsim-dev/kubectl-microsim/plugin/runtimes"
	"github.com/microsim-dev/kubectl-microsim/plugin/system"
	"github.com/microsim-dev/kubectl-microsim/plugin/ui"
)

// Main runs the command line of this process and returns its exit code.
func Main() int {
	ctx, stop := cli.UntilSignal(context.Background(), os.Stderr)
	defer stop()
	return Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}

// Run executes one command line, without the program's name, and returns the exit
// code. The end of ctx interrupts the command, which then cleans up. So does a
// closed pipe on stdout or stderr.
func Run(ctx context.Context, args []string, streams cli.Streams) int {
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	out, talk := cli.NewCleanWriter(streams.Out), cli.NewCleanWriter(streams.Err)
	for _, w := range []*cli.CleanWriter{out, talk} {
		w.OnLost(func(err error) {
			if errors.Is(err, syscall.EPIPE) {
				interrupt(err)
			}
		})
	}
	root := newRoot(cli.Streams{In: streams.In, Out: out, Err: talk}) //nolint:contextcheck // the commands take their context when they run
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	// Report a lost line here, so that commands need not check each line that they
	// print.
	if lost := out.Err(); lost != nil && !errors.Is(err, lost) {
		err = errors.Join(err, fmt.Errorf("writing the output: %w", lost))
	}
	// A reader that has read enough, such as head(1), expects no error.
	if errors.Is(err, syscall.EPIPE) && cli.ExitCode(err) == cli.ExitError {
		return cli.ExitError
	}
	return cli.Conclude(talk, err)
}

func newRoot(streams cli.Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "microsim",
		Short: "Stand up a mock distributed system from one file, load it, break it, and see what happens",
		Long: `Stand up a mock distributed system from one file, put load on it, break it in the
ways production breaks, protect it, and see what happened.

  kubectl microsim run shop --on local        a whole experiment, in 20 seconds
  kubectl microsim up -f system.yaml          on the cluster of the current context
  kubectl microsim up -f system.yaml --on kind
  kubectl microsim call -f request.json --on local
  kubectl microsim examples                   what there is to start from`,
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cli.Commands,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl microsim"},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return cli.Usage(cmd, err) })
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(newHelp())
	root.AddGroup(
		&cobra.Group{ID: "system", Title: "Systems:"},
		&cobra.Group{ID: "act", Title: "Load and faults:"},
		&cobra.Group{ID: "files", Title: "Files:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		"system": {system.NewUp(streams), system.NewDown(streams), system.NewStatus(streams), system.NewLogs(streams), system.NewTop(streams), ui.New(streams), monitor.New(streams), system.NewCluster(streams)},
		"act": {
			run.New(streams), run.NewReport(streams), dataset.NewExport(streams), dataset.New(streams),
			explore.NewLimit(streams), explore.NewSweep(streams), explore.NewSearch(streams), calibrate.New(streams),
			system.NewCall(streams), load.New(streams), faults.New(streams), gate.New(streams),
		},
		"files": {files.NewValidate(streams), files.NewConvert(streams), files.NewExamples(streams), files.NewSchema(streams), runtimes.New(streams)},
		"":      {doctor.New(streams), newCompletion(streams), newVersion(streams), newAgent(streams), run.NewRunner(streams, newRoot)},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	wrapArgs(root)
	return root
}

// newHelp is `help`: it shows the help of a command, and refuses a command that
// does not exist.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 && about.HasSubCommands() {
				err = cli.Commands(about, rest)
			}
			if err != nil {
				return cli.Usage(cmd, err)
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if about, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				for _, sub := range about.Commands() {
					if sub.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// wrapArgs makes a wrong number of arguments and an empty flag value usage errors,
// for a command and those below it.
func wrapArgs(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		check = cobra.ArbitraryArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := refuseEmpty(cmd.Flags())
		if err == nil {
			err = wordArgs(cmd, args, check(cmd, args))
		}
		if err != nil {
			return cli.Usage(cmd, err)
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}

// wordArgs replaces cobra's text about a wrong number of arguments by one that says
// what to write.
func wordArgs(cmd *cobra.Command, args []string, err error) error {
	switch {
	case err == nil || cmd.HasSubCommands():
		return err
	case strings.HasPrefix(err.Error(), "unknown command"):
		return fmt.Errorf("unexpected argument %q: %s takes none", args[0], cmd.CommandPath())
	case strings.HasPrefix(err.Error(), "invalid argument") && len(cmd.ValidArgs) > 0:
		return fmt.Errorf("%q is not known: write %s", strings.Join(args, " "), strings.Join(cmd.ValidArgs, ", "))
	}
	for _, one := range []struct{ says, means string }{
		{"accepts %d arg(s), received %d", "%s"}, {"requires at least %d arg(s), only received %d", "at least %s"},
		{"accepts at most %d arg(s), received %d", "at most %s"},
	} {
		var wanted, got int
		if n, _ := fmt.Sscanf(err.Error(), one.says, &wanted, &got); n == 2 {
			return fmt.Errorf("%s takes "+one.means+", and %s given", cmd.CommandPath(), unit.Count(wanted, "argument"), given(args))
		}
	}
	return err
}

func given(args []string) string {
	switch len(args) {
	case 0:
		return "none is"
	case 1:
		return fmt.Sprintf("%q is", args[0])
	}
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = strconv.Quote(arg)
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " and " + quoted[len(quoted)-1] + " are"
}

// refuseEmpty refuses flags with an empty value. Such a value comes from an unset
// shell variable, and the command would act as if the flag were not given.
func refuseEmpty(flags *pflag.FlagSet) (err error) {
	meaningful := []string{"body", "with"}
	flags.Visit(func(flag *pflag.Flag) {
		if err == nil && flag.Value.Type() == "string" && flag.Value.String() == "" && !slices.Contains(meaningful, flag.Name) {
			err = fmt.Errorf("--%s is empty: write a value, or leave it out", flag.Name)
		}
	})
	return err
}
