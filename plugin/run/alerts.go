package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/internal/webguard"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/federation"
	"github.com/microsim-dev/kubectl-microsim/observe/monitor"
	"github.com/microsim-dev/kubectl-microsim/observe/prometheus"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// alertFlags are the flags of `run` that name a Prometheus, which evaluates alerts.
type alertFlags struct {
	// prometheus is the path of a program, or the URL of a Prometheus that runs
	// already.
	prometheus string
	// rules is the path of a rule file for the program.
	rules string
	// file is the content of that file.
	file []byte
}

func (a *alertFlags) AddFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&a.prometheus, "prometheus", "", "the Prometheus that evaluates alerts: the program, which runs beside the system (with --on local), or the URL of one that watches the system")
	flags.StringVar(&a.rules, "rules", "", "rule file with alerts for that program, beside those of the experiment")
	cli.OnlyOn(flags, []string{"local", "kind", "cluster"}, "prometheus")
	cli.OnlyOn(flags, []string{"local"}, "rules")
}

// isURL reports whether --prometheus names one that runs already.
func (a *alertFlags) isURL() bool {
	return strings.HasPrefix(a.prometheus, "http://") || strings.HasPrefix(a.prometheus, "https://")
}

// Validate refuses flags without effect, and reads the rule file.
func (a *alertFlags) Validate(o *runOptions, flags *pflag.FlagSet) (err error) {
	switch {
	case a.rules != "" && a.prometheus == "":
		return errors.New("--rules has alerts for the Prometheus of --prometheus: write that, too, or leave it out")
	case a.rules != "" && a.isURL():
		return errors.New("--rules is for a Prometheus that is started, and the one at a URL has rules of its own: name the program, or leave it out")
	case a.prometheus != "" && o.detached.detach:
		return errors.New("--prometheus is asked by this program, which ends with --detach: leave one out")
	case a.prometheus != "" && o.target.OnCluster() && !a.isURL():
		return fmt.Errorf("--prometheus %s would run on this machine, and does not reach the pods of a cluster: write the URL of one that watches the system; 'kubectl microsim monitor' says how", a.prometheus)
	case o.dryRun:
		return cli.Refuse(flags, "are for what a run shows, and --dry-run runs nothing: leave them out", "prometheus", "rules")
	case a.rules == "":
		return nil
	}
	if a.file, err = os.ReadFile(a.rules); err != nil {
		return fmt.Errorf("reading the alerts of --rules: %w", err)
	}
	return nil
}

// suits says why the experiment's alerts cannot be evaluated by the Prometheus of
// the flags; nil if they can.
func (a *alertFlags) suits(e *experiment.Experiment, virtual bool) error {
	what := e.NeedsPrometheus()
	switch {
	case what == "" || virtual: // virtual time refuses alerts itself
		return nil
	case a.prometheus == "":
		return fmt.Errorf("experiment %q: %s, and none is named: write --prometheus PATH, such as /usr/bin/prometheus (Debian's package prometheus), or the URL of one that watches the system", e.Name, what)
	case a.isURL() && len(e.Alerts) > 0:
		return fmt.Errorf("experiment %q has alerts of its own, and a Prometheus at a URL has its own rules: name the program with --prometheus, or move the alerts there and leave them out", e.Name)
	}
	return nil
}

// watcher returns the watcher of alerts, or nil if --prometheus is not given.
func (a *alertFlags) watcher() runner.AlertWatcher {
	if a.prometheus == "" {
		return nil
	}
	return &alertWatcher{flags: a}
}

// args returns the flags for the command line that repeats the run.
func (a *alertFlags) args() (args []string) {
	if a.prometheus != "" {
		args = append(args, "--prometheus", a.prometheus)
	}
	if a.rules != "" {
		args = append(args, "--rules", a.rules)
	}
	return args
}

// alertWatcher watches the alerts of a run with a Prometheus that it starts, or with
// one that runs already.
type alertWatcher struct {
	flags   *alertFlags
	server  *http.Server
	served  chan error
	door    *federation.Door
	program *prometheus.Server
	watch   *prometheus.Watch
}

// replicasWithin is how long a Prometheus may take to find the replicas; it refreshes
// its targets every five seconds.
const replicasWithin = 40 * time.Second

// Start implements runner.AlertWatcher.
func (a *alertWatcher) Start(ctx context.Context, e *experiment.Experiment, d runner.Deployment) (err error) {
	address := a.flags.prometheus
	if !a.flags.isURL() {
		if err := a.startProgram(ctx, e, d); err != nil {
			return err
		}
		address = a.program.URL
	}
	if a.watch, err = prometheus.Connect(ctx, address); err != nil {
		return err
	}
	a.watch.System, a.watch.All = e.System.Name, !a.flags.isURL()
	for _, check := range e.Checks {
		if c, err := experiment.ParseCheck(check.Expr); err == nil && c.Alert != "" {
			a.watch.Named = append(a.watch.Named, c.Alert)
		}
	}
	replicas, err := d.Replicas(ctx)
	if err != nil {
		return fmt.Errorf("listing the replicas that Prometheus reads: %w", err)
	}
	ready := 0
	for i := range replicas {
		if replicas[i].State == runner.Ready && !replicas[i].Silent {
			ready++
		}
	}
	if err := a.watch.AwaitReplicas(ctx, ready, replicasWithin); err != nil {
		return err
	}
	return a.watch.Start(ctx)
}

// options says how the Prometheus watches the system: as `monitor` on this machine
// does.
func (a *alertWatcher) options() monitor.Options {
	return monitor.Options{Interval: time.Second, Objective: monitor.DefaultObjective, Burn: monitor.ShortBurn}
}

// startProgram runs Prometheus on the metrics of the system.
func (a *alertWatcher) startProgram(ctx context.Context, e *experiment.Experiment, d runner.Deployment) error {
	rules, err := a.rules(e)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serving the metrics of system %q: %w", e.System.Name, err)
	}
	a.door = federation.New(federation.Config{System: e.System.Name, Replicas: d.Replicas, Faults: d.Active, Hosts: webguard.LoopbackHosts(ln.Addr())})
	a.server = &http.Server{Handler: a.door, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	a.served = make(chan error, 1)
	go func() { a.served <- a.server.Serve(ln) }()
	var names []string
	for name := range rules {
		names = append(names, name)
	}
	config, err := monitor.Config(&url.URL{Scheme: "http", Host: ln.Addr().String(), Path: federation.TargetsPath}, names, a.options())
	if err != nil {
		return err
	}
	a.program, err = prometheus.Start(ctx, prometheus.Options{Path: a.flags.prometheus, Config: config, Rules: rules})
	return err
}

// rules returns the rule files of a run by name: those of the experiment and of
// --rules or, if there are none, those made from the system.
func (a *alertWatcher) rules(e *experiment.Experiment) (map[string][]byte, error) {
	files := map[string][]byte{}
	if a.flags.file != nil {
		files["rules.yml"] = a.flags.file
	}
	var made *monitor.Rules
	switch {
	case len(e.Alerts) > 0:
		made = monitor.RulesFor(e.Name, e.Alerts, a.options())
	case len(files) == 0:
		made = monitor.RulesOf(&e.System, a.options())
	default:
		return files, nil
	}
	text, err := made.YAML()
	files["alerts.yml"] = text
	return files, err
}

// Stop implements runner.AlertWatcher.
func (a *alertWatcher) Stop(ctx context.Context, zero time.Time) *result.Alerts {
	var seen *result.Alerts
	if a.watch != nil {
		seen = a.watch.Stop(ctx, zero)
	}
	if a.program != nil {
		// The end of the program explains why it did not answer, so it is the
		// better error.
		if died := a.program.Err(); died != nil && seen != nil {
			seen.Trouble = died.Error()
		}
		if err := a.program.Stop(); err != nil && seen != nil && seen.Trouble == "" {
			seen.Trouble = err.Error()
		}
	}
	if a.server != nil {
		a.server.Close()
		<-a.served
		a.door.Close()
	}
	*a = alertWatcher{flags: a.flags}
	return seen
}
