// Package doctor is the command that shows what works on this machine and on a
// cluster, and explains what does not.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/netfault/edge"
	"github.com/microsim-dev/kubectl-microsim/netfault/netlab"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// A Finding tells whether one thing works here.
type Finding struct {
	// Where is machine or cluster.
	Where string `json:"where"`
	Name  string `json:"name"`
	Works bool   `json:"works"`
	// What says what the checked thing is good for.
	What string `json:"what"`
	// Why it does not work, and what helps; empty where it works.
	Why    string `json:"why,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	// Rules are the rights that the user lacks, in Namespace; everywhere where
	// that is empty.
	Rules     []rbacv1.PolicyRule `json:"rules,omitempty"`
	Namespace string              `json:"namespace,omitempty"`
}

// New is `doctor`.
func New(streams cli.Streams) *cobra.Command {
	var output cli.Output
	var probe bool
	at := target.New()
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what works here and what does not, and why",
		Long: `Tell what works on this machine and on the cluster and what does not, and why.

On this machine each thing is tried: servers and processes are started and ended, network
namespaces made and removed. On a cluster nothing is changed: it is asked what the user may do
in the namespace of -n, or in all, what namespaces admit, how its nodes are, and where the
agent's image is; with --probe, a helper on each node tells what can break networks there,
and is taken away again. Rights that are missing are written as the Roles that would give them.

What does not work is not an error; the exit code is 0.`,
		Example: `  kubectl microsim doctor
  kubectl microsim doctor --on cluster -n team
  kubectl microsim doctor --on local -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			where := at.On
			if err := cmp.Or(output.Validate(), at.Validate(cmd)); err != nil {
				return cli.Usage(cmd, err)
			}
			var findings []Finding
			if where == "" || where == "local" {
				findings = examine(cmd.Context(), streams)
			}
			if where != "local" {
				findings = append(findings, examineCluster(cmd.Context(), &at, probe)...)
			}
			if err := cmd.Context().Err(); err != nil {
				return cli.Cause(cmd.Context(), err)
			}
			return printFindings(streams, &output, findings)
		},
	}
	at.AddFlags(cmd)
	flags := cmd.Flags()
	flags.Lookup("on").Usage = "what to examine: local, kind, or cluster, which is that of the current context (default this machine and that cluster)"
	flags.StringVar(&at.Kube.Image, "image", "", "image of microsim-agent that the cluster can pull")
	flags.BoolVar(&probe, "probe", false, "run a privileged helper on each node of the cluster for a moment, to know what breaks networks there")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "image", "probe")
	output.AddFlags(cmd, cli.Templates()...)
	output.AddNoHeaders(cmd)
	return cmd
}

// patienceOfDoctor bounds each trial.
const patienceOfDoctor = 15 * time.Second

// examine tries everything.
func examine(ctx context.Context, streams cli.Streams) []Finding {
	var findings []Finding
	add := func(name, what, remedy string, try func(context.Context) error) {
		trying, cancel := context.WithTimeout(ctx, patienceOfDoctor)
		defer cancel()
		f := Finding{Where: "machine", Name: name, What: what}
		if err := try(trying); err != nil {
			f.Why, f.Remedy = strings.ReplaceAll(err.Error(), "\n", "; "), remedyFor(err, remedy)
		}
		f.Works = f.Why == ""
		findings = append(findings, f)
	}
	add("inprocess", "systems of servers in this process", "", func(ctx context.Context) error {
		return tryIsolation(ctx, streams, localsim.InProcess)
	})
	add("process", "systems with a process for each replica; kill, pause and restart", "use --isolation inprocess", func(ctx context.Context) error {
		return tryIsolation(ctx, streams, localsim.Process)
	})
	add("gates", "delay, rate, loss, partition and conditions of connections between services", "", tryGate)
	add("netns", "systems with a network namespace for each replica; every network fault", "use --isolation process, whose network is broken by gates", func(context.Context) error {
		return netlab.Check()
	})
	backends := netlab.CheckBackends(ctx, local.NetworkBackends)
	works := map[string]bool{}
	for _, b := range backends {
		works[b.Name] = b.Err == nil
	}
	for _, b := range backends {
		what, remedy := "network faults by the kernel's own traffic control", "load sch_netem, as `modprobe sch_netem` does where there is such a module"
		if b.Name == "emulate" {
			what, remedy = "network faults by packets that pass through this program", "use --isolation process, whose network is broken by gates"
		} else if works["emulate"] {
			remedy = "nothing: emulate takes its place"
		}
		add(b.Name, what, remedy, func(context.Context) error { return b.Err })
	}
	findings = append(findings, examineRuntimes()...)
	add("docker", "kind sandboxes", "install Docker and start it; a user needs the right to speak to it", func(ctx context.Context) error {
		return tryProgram(ctx, "docker", "version", "--format", "{{.Server.Version}}")
	})
	add("kind", "sandboxes made beside this program", "nothing: it is built in; install kind to handle sandboxes by hand", func(ctx context.Context) error {
		return tryProgram(ctx, "kind", "version")
	})
	return findings
}

// remedyFor knows that what a user may not do, root may.
func remedyFor(err error, otherwise string) string {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, fs.ErrPermission) {
		return "run as root, such as by sudo"
	}
	return otherwise
}

// tryIsolation starts and ends a system of one service.
func tryIsolation(ctx context.Context, streams cli.Streams, isolation localsim.Isolation) error {
	deployer, err := (&local.Flags{Isolation: string(isolation)}).DeployerIn("", streams.Err)
	if err != nil {
		return err
	}
	system := &topology.System{Name: "doctor", Services: []topology.Service{topology.NewService("patient")}}
	deployment, err := deployer.Up(ctx, system, 1)
	if err != nil {
		return err
	}
	return deployment.Close(context.WithoutCancel(ctx))
}

// tryGate starts and ends a gate.
func tryGate(context.Context) error {
	g, err := edge.Start("127.0.0.1", "127.0.0.1:1", 1) //nolint:contextcheck // the gate is closed below
	if err != nil {
		return err
	}
	return g.Close()
}

// tryProgram runs a program that tells of itself.
func tryProgram(ctx context.Context, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("there is no program %s on the PATH", name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput()
	if err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		return fmt.Errorf("%s %s: %w: %s", name, args[0], err, said)
	}
	return nil
}

func printFindings(streams cli.Streams, output *cli.Output, findings []Finding) error {
	if output.Machine() {
		return output.Object(streams.Out, cli.AsList(findings))
	}
	var rows [][]string
	last := ""
	for _, f := range findings {
		if last != "" && f.Where != last {
			rows = append(rows, nil)
		}
		last = f.Where
		state, note := "works", f.What
		if !f.Works {
			state, note = "no", f.Why
			if f.Remedy != "" {
				note += " -> " + f.Remedy
			}
		}
		rows = append(rows, []string{f.Name, state, note})
	}
	if err := output.Table(streams.Out, []string{"NAME", "STATE", "WHY/REMEDY"}, rows); err != nil {
		return err
	}
	return printRoles(streams.Out, findings)
}
