// Package monitor is the command that has Prometheus and Grafana watch a system.
package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/monitor"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// options are those of `monitor`.
type options struct {
	streams   cli.Streams
	target    target.Target
	interval  unit.Duration
	objective unit.Share
	burn      unit.Duration
	port      int
	out       string
	program   string
	own       int
	storage   string
	labels    map[string]string
	force     bool
	dryRun    bool
}

// New is `monitor`.
func New(streams cli.Streams) *cobra.Command {
	o := &options{streams: streams, target: target.New(), objective: monitor.DefaultObjective}
	cmd := &cobra.Command{
		Use:   "monitor [SYSTEM]",
		Short: "Have Prometheus and Grafana watch a running system",
		Long: `Have Prometheus and Grafana watch a running system, with alerts and dashboards made from its file:
error budgets that burn too fast, full queues, busy workers, open breakers, services that are away.

On this machine, one address has the metrics of all services, the list by which Prometheus finds
them, a ready prometheus.yml, rules, and dashboards for Grafana, until Ctrl-C. --prometheus PATH runs
Prometheus beside it.

On a cluster with an operator of Prometheus, such as that of kube-prometheus, a PodMonitor, a
PrometheusRule and a ConfigMap with the dashboards, which the sidecar of Grafana loads, are applied to
the namespace of the system; 'down' removes them.

The times of the alerts follow from --burn-window: in an hour of the default, as in Google's SRE
workbook, a service may use up 2 % of the error budget of 30 days.`,
		Example: `  kubectl microsim monitor shop --on local
  kubectl microsim monitor shop --on local --prometheus /usr/bin/prometheus
  kubectl microsim monitor shop --on local --out monitoring/ --objective 99%
  kubectl microsim monitor shop --on kind --label release=monitoring
  kubectl microsim monitor shop --dry-run`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(cmd); err != nil {
				return cli.Usage(cmd, err)
			}
			name := cmp.Or(append(args, "")...)
			if o.target.OnCluster() {
				return o.onCluster(cmd.Context(), name)
			}
			return o.onThisMachine(cmd.Context(), name)
		},
	}
	cmd.ValidArgsFunction = o.target.CompleteSystems()
	o.target.AddFlags(cmd)
	flags := cmd.Flags()
	flags.Var(&o.interval, "interval", "time between two scrapes (default 1s on this machine, 5s on a cluster)")
	flags.Var(&o.objective, "objective", "share of a service's requests that is to end well")
	flags.Var(&o.burn, "burn-window", "long window of the fast alert on the error budget; all other times follow from it (default 1min on this machine, 1h on a cluster)")
	flags.IntVar(&o.port, "port", 0, "port of the address; 0 lets the machine choose")
	flags.StringVar(&o.out, "out", "", "directory to write prometheus.yml, rules.yml and the dashboards to")
	flags.StringVar(&o.program, "prometheus", "", "run this program, which is Prometheus, until the command ends")
	flags.IntVar(&o.own, "prometheus-port", 0, "port of that Prometheus; 0 lets the machine choose")
	flags.StringVar(&o.storage, "storage", "", "directory for the samples of that Prometheus, which stays; without it, they go with the command")
	flags.StringToStringVar(&o.labels, "label", nil, "more labels of the PodMonitor and the PrometheusRule, by which an operator selects them, such as release=monitoring")
	flags.BoolVar(&o.force, "force-conflicts", false, "take over what others have changed of these objects")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only print the objects")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "label", "force-conflicts", "dry-run")
	cli.OnlyOn(flags, []string{"local"}, "port", "out", "prometheus", "prometheus-port", "storage")
	return cmd
}

func (o *options) validate(cmd *cobra.Command) error {
	if err := o.target.Validate(cmd); err != nil {
		return err
	}
	flags := cmd.Flags()
	if o.dryRun && o.force {
		return errors.New("--force-conflicts changes what is applied, and --dry-run applies nothing: leave one out")
	}
	if o.program == "" {
		if err := cli.Refuse(flags, "are about the Prometheus of --prometheus: write that, too, or leave them out", "prometheus-port", "storage"); err != nil {
			return err
		}
	}
	if !flags.Changed("interval") {
		o.interval = unit.Duration(map[bool]time.Duration{true: 5 * time.Second, false: time.Second}[o.target.OnCluster()])
	}
	if !flags.Changed("burn-window") {
		o.burn = unit.Duration(map[bool]time.Duration{true: monitor.DefaultBurn, false: monitor.ShortBurn}[o.target.OnCluster()])
	}
	for _, p := range []struct {
		flag  string
		value int
	}{{"port", o.port}, {"prometheus-port", o.own}} {
		if p.value < 0 || p.value > 65535 {
			return fmt.Errorf("--%s %d is not a port: write 1 to 65535, or 0 to let the machine choose", p.flag, p.value)
		}
	}
	if o.port != 0 && o.port == o.own {
		return errors.New("--port and --prometheus-port are the same: choose two")
	}
	return o.watch().Validate()
}

// watch says how the system is watched.
func (o *options) watch() monitor.Options {
	return monitor.Options{Interval: o.interval.Std(), Objective: o.objective, Burn: o.burn.Std()}
}
