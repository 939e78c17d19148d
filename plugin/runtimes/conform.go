package runtimes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/google/shlex"
	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runtimes"
	"github.com/microsim-dev/kubectl-microsim/workload/service/servicetest"
)

type conformOptions struct {
	streams cli.Streams
	output  cli.Output
	command string
	level   string
	timeout time.Duration
	// words are the program and its arguments.
	words  []string
	wanted servicetest.Level
	// serve makes the command of a runtime; nil for a program of the user's.
	serve func() (*exec.Cmd, error)
}

func newConform(streams cli.Streams) *cobra.Command {
	o := &conformOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "conform (RUNTIME | --command 'PROGRAM [ARG ...]')",
		Short: "Check a program, in whatever language, against the contract of a mock service",
		Long: `Start a program many times, each time as another service, and check from outside what it
answers, sends and counts. The program gets its service in MICROSIM_SERVICE (JSON, or @FILE)
and the address to listen on in MICROSIM_ADDR, prints {"addr":"HOST:PORT"} as a line when it
listens, and ends at the signal TERM or, with MICROSIM_WATCH_STDIN, when its stdin is closed.
docs/service.md has the whole contract.

Its level is the highest of which it passes all cases, and all of the levels below:
L1 answers chains, L2 has endpoints, work, calls, faults and metrics, L3 policies and workers.
The exit code is 10 if the level is lower than --level, or than a runtime claims.`,
		Example: `  kubectl microsim runtimes conform --command './my-server'
  kubectl microsim runtimes conform --command 'node src/main.js' --level L2
  kubectl microsim runtimes conform --command './my-server' -o json
  kubectl microsim runtimes conform express`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.command, "command", "", "the program to check with its arguments, in quotes as for a shell")
	flags.StringVar(&o.level, "level", "L1", "level that is needed: L1, L2 or L3; cases above it are not run")
	flags.DurationVar(&o.timeout, "start-timeout", 20*time.Second, "how long the program may take to print its address")
	cli.CompleteFlag(cmd, "level", "L1", "L2", "L3")
	flags.Lookup("level").DefValue = ""
	flags.Lookup("level").Usage = "level that is needed, L1, L2 or L3; cases above it are not run (default: run all, need L1)"
	o.level = ""
	o.output.AddFlags(cmd, cli.Templates()...)
	o.output.AddNoHeaders(cmd)
	return cmd
}

func (o *conformOptions) validate(args []string) (err error) {
	if err := o.output.Validate(); err != nil {
		return err
	}
	if o.timeout <= 0 {
		return fmt.Errorf("--start-timeout %v is not a time to wait: write one such as 20s", o.timeout)
	}
	o.wanted = servicetest.Chains
	if o.level != "" {
		if o.wanted, err = servicetest.ParseLevel(o.level); err != nil {
			return fmt.Errorf("--level: %w", err)
		}
	}
	switch {
	case len(args) > 0 && o.command != "":
		return errors.New("a runtime and --command both say what to check: keep one")
	case len(args) > 0:
		return o.useRuntime(topology.RuntimeName(args[0]))
	case o.command == "":
		return errors.New("there is no program to check: name a runtime, or write --command './my-server'")
	}
	if o.words, err = shlex.Split(o.command); err != nil || len(o.words) == 0 {
		return fmt.Errorf("--command %q is not a command line: %w", o.command, cmp.Or(err, errors.New("it has no words")))
	}
	if o.words[0], err = exec.LookPath(o.words[0]); err != nil {
		return fmt.Errorf("--command %q: %w", o.command, err)
	}
	return nil
}

// useRuntime checks an installed runtime against what its manifest claims.
func (o *conformOptions) useRuntime(name topology.RuntimeName) error {
	m, err := runtimes.Lookup(name)
	if err != nil {
		return err
	}
	store, err := runtimes.Default()
	if err != nil {
		return err
	}
	if o.level == "" {
		o.level = m.Level
		if o.wanted, err = servicetest.ParseLevel(m.Level); err != nil {
			return err
		}
	}
	o.words, o.serve = m.Run, func() (*exec.Cmd, error) { return store.Command(&m) }
	return nil
}

// A Report is what conform prints.
type Report struct {
	Command []string `json:"command"`
	// Level is the highest that was reached: L0 to L3.
	Level string `json:"level"`
	// Needed is the level that was asked for.
	Needed string       `json:"needed"`
	Cases  []CaseReport `json:"cases"`
}

// A CaseReport is what became of a case.
type CaseReport struct {
	Level    string   `json:"level"`
	Name     string   `json:"name"`
	Passed   bool     `json:"passed"`
	Mistakes []string `json:"mistakes,omitempty"`
	Seconds  float64  `json:"seconds"`
}

func (o *conformOptions) run(ctx context.Context) error {
	highest := servicetest.Policies
	if o.level != "" {
		highest = o.wanted
	}
	p := &program{timeout: o.timeout, command: o.serve}
	if p.command == nil {
		p.command = func() (*exec.Cmd, error) {
			cmd := exec.Command(o.words[0], o.words[1:]...)
			cmd.Env = os.Environ()
			return cmd, nil
		}
	}
	var cases []servicetest.Case
	for _, c := range append(lifecycleCases(ctx, p), servicetest.Cases()...) {
		if c.Level <= highest {
			cases = append(cases, c)
		}
	}
	report, level, err := o.conform(ctx, p, cases)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if err := o.conclude(report, level); err != nil {
		return err
	}
	if level < o.wanted {
		return cli.ExitWith(cli.ExitCheckFailed, fmt.Errorf("the program does not reach level %v: see the cases that failed above, and docs/service.md", o.wanted))
	}
	return nil
}

// conform runs the cases one after another. People see each as soon as it ends.
func (o *conformOptions) conform(ctx context.Context, p *program, cases []servicetest.Case) (report Report, level servicetest.Level, err error) {
	width := 0
	for _, c := range cases {
		width = max(width, len(c.Name))
	}
	if !o.output.Machine() && !o.output.NoHeaders {
		fmt.Fprintf(o.streams.Out, "%-8s%-*s   RESULT   TIME\n", "LEVEL", width, "CASE")
	}
	var outcomes []servicetest.Outcome
	for _, c := range cases {
		out := servicetest.Run(c, p.starter(ctx))
		if err := ctx.Err(); err != nil {
			return report, servicetest.None, err
		}
		outcomes = append(outcomes, out)
		told := CaseReport{Level: out.Level.String(), Name: out.Name, Passed: out.Passed(), Mistakes: out.Mistakes, Seconds: float64(out.Took.Milliseconds()) / 1000}
		report.Cases = append(report.Cases, told)
		if !o.output.Machine() {
			o.tell(told, width)
		}
		// A program that does not start would fail every other case alike.
		if len(outcomes) == 1 && !out.Passed() {
			break
		}
	}
	level = servicetest.LevelOf(outcomes)
	report.Command, report.Level, report.Needed = o.words, level.String(), o.wanted.String()
	return report, level, nil
}

func (o *conformOptions) tell(c CaseReport, width int) {
	result := "passed"
	if !c.Passed {
		result = "failed"
	}
	fmt.Fprintf(o.streams.Out, "%-8s%-*s   %s   %.2fs\n", c.Level, width, c.Name, result, c.Seconds)
	for _, mistake := range c.Mistakes {
		fmt.Fprintf(o.streams.Out, "        - %s\n", cli.Clean(mistake))
	}
}

func (o *conformOptions) conclude(report Report, level servicetest.Level) error {
	switch {
	case o.output.Machine():
		return o.output.Object(o.streams.Out, report)
	case level == servicetest.None:
		_, err := fmt.Fprintln(o.streams.Out, "level: none, because cases of L1 failed")
		return err
	default:
		_, err := fmt.Fprintf(o.streams.Out, "level: %v\n", level)
		return err
	}
}
