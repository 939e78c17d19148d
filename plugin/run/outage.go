package run

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// The example on which the outage commands are based, and its faults.
const (
	outageLab      = "outage-lab"
	outageFault    = "outage"
	slownessFault  = "slowness"
	outageTarget   = "/recommendations"
	outageDuration = unit.Duration(10 * time.Second)
)

// outageOptions holds the flags of `run ideal`, `run performance` and `run outage`.
type outageOptions struct {
	runOptions
	mode     string
	retries  bool
	timeout  string
	breakers bool
	url      string
}

// newOutageRuns returns the commands that run the home page system in one mode
// each.
func newOutageRuns(streams cli.Streams) (commands []*cobra.Command) {
	for _, mode := range []struct{ name, short string }{
		{"ideal", "Run the home page system without trouble"},
		{"performance", "Run the home page system with one path that is slow: 5 to 10 seconds"},
		{"outage", "Run the home page system with one path that cannot be reached"},
	} {
		o := &outageOptions{runOptions: newOptions(streams), mode: mode.name}
		o.target.AllowVirtual = true
		o.series.duration = outageDuration
		cmd := &cobra.Command{
			Use:   mode.name,
			Short: mode.short,
			Long: mode.short + `.

The system is the example outage: home, authentication, recommendations, popular and settings, with
8 workers and a queue of 128 each. 10 clients ask for home pages in a closed loop. The result has
the home pages, what the path was asked and what its callers met, for every 10 seconds, and the tail
that the burst leaves behind. 'kubectl microsim run outage-lab' compares nine such runs.`,
			Example: "  kubectl microsim run " + mode.name + " --on local --timeout 0.5s --circuit-breakers --duration 30s",
			Args:    cobra.NoArgs,
			RunE:    o.run,
		}
		o.AddFlags(cmd)
		flags := cmd.Flags()
		flags.BoolVar(&o.retries, "retries", false, "try each call up to 4 times, without a wait between")
		flags.StringVar(&o.timeout, "timeout", "60s", "timeout of each call; a bare number is in seconds")
		flags.BoolVar(&o.breakers, "circuit-breakers", false, "open a breaker after 5 failures in a row, for 30 s, in each worker")
		flags.StringVar(&o.url, "url", outageTarget, "the path that is slow or cannot be reached")
		commands = append(commands, cmd)
	}
	return commands
}

func (o *outageOptions) run(cmd *cobra.Command, _ []string) error {
	timeout, err := parseSeconds(o.timeout)
	if err == nil {
		err = o.validateFlags(cmd)
	}
	if err != nil {
		return cli.Usage(cmd, err)
	}
	e, err := readOutageLab()
	if err != nil {
		return err
	}
	if e, err = o.build(e, timeout); err != nil {
		return err
	}
	return o.start(cmd, e, o.words())
}

// parseSeconds parses a timeout: a duration, or a number of seconds.
func parseSeconds(text string) (unit.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		text += "s"
	}
	timeout, err := unit.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("reading --timeout: %w", err)
	}
	if timeout <= 0 {
		return 0, fmt.Errorf("--timeout %q is not a time to wait: write a duration such as 500ms", text)
	}
	return timeout, nil
}

// readOutageLab reads the embedded example.
func readOutageLab() (experiment.Experiment, error) { return readLab(outageLab) }

// readLab reads an embedded experiment.
func readLab(name string) (e experiment.Experiment, err error) {
	text, err := examples.Open(name)
	if err != nil {
		return e, err
	}
	docs, err := spec.Read("example "+name, bytes.NewReader(text))
	if err != nil {
		return e, err
	}
	return *docs.Experiments()[0], nil
}

// build changes the example into the experiment of the mode and the flags.
func (o *outageOptions) build(lab experiment.Experiment, timeout unit.Duration) (experiment.Experiment, error) {
	v := experiment.Variant{Name: o.mode, Set: []experiment.Patch{o.patch(timeout)}, Faults: []string{}}
	switch o.mode {
	case "outage":
		v.Faults = []string{outageFault}
	case "performance":
		v.Faults = []string{slownessFault}
	}
	e, problems := lab.Apply(v)
	if err := problems.Err(); err != nil {
		return e, fmt.Errorf("changing the example %q as the flags say: %w", outageLab, err)
	}
	// Remove the marks of the example: the checks of the lab do not hold for this
	// run.
	e.Name, e.AppliedVariant, e.Checks, e.Title, e.Doc = o.mode, "", nil, "", ""
	target, err := o.targetOf(&e)
	if err != nil {
		return e, err
	}
	e.Faults = slices.Clone(e.Faults)
	for i := range e.Faults {
		e.Faults[i].Target = target
	}
	return e, nil
}

func (o *outageOptions) patch(timeout unit.Duration) experiment.Patch {
	p := experiment.Patch{Call: experiment.Everything, Timeout: &timeout}
	if o.retries {
		p.Retry = &policy.Retry{Attempts: 4, On: []policy.Trigger{policy.Trigger(outcome.ConnectionError), policy.Trigger(outcome.Timeout)}}
	}
	if o.breakers {
		p.Breaker = &policy.Breaker{Failures: 5, Reset: unit.Duration(30 * time.Second), Scope: policy.PerWorker}
	}
	return p
}

// targetOf returns the target of the fault: the service that serves the path of
// --url.
func (o *outageOptions) targetOf(e *experiment.Experiment) (fault.Target, error) {
	var known, called []string
	for i := range e.System.Services {
		called = append(called, e.System.Services[i].Calls()...)
	}
	for i := range e.System.Services {
		s := &e.System.Services[i]
		if !slices.Contains(called, s.Name) {
			continue // no service calls it, so no call can fail
		}
		for _, endpoint := range s.Endpoints {
			if endpoint.Path == o.url {
				return fault.Target{Service: s.Name}, nil
			}
			known = append(known, endpoint.Path)
		}
	}
	return fault.Target{}, fmt.Errorf("--url %q is not a path that is called (%s)", o.url, problem.DidYouMean(o.url, known, "known are "+strings.Join(known, ", ")))
}

// words returns the mode with its flags, as a user types them.
func (o *outageOptions) words() []string {
	words := []string{o.mode, "--timeout", o.timeout}
	if o.retries {
		words = append(words, "--retries")
	}
	if o.breakers {
		words = append(words, "--circuit-breakers")
	}
	if o.url != outageTarget {
		words = append(words, "--url", o.url)
	}
	return words
}
