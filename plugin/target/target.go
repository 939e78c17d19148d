// Package target reads where a command acts: on this machine, in a kind sandbox or
// on a cluster.
package target

import (
	"errors"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
	"github.com/spf13/cobra"
)

// Target is where a system runs.
type Target struct {
	On string
	// AllowVirtual says that the command plays whole experiments, and so can play
	// them in virtual time.
	AllowVirtual bool
	// kube has the flags of clusters.
	Kube *kube.Flags
}

// newTarget is a target whose flags may be added to a command.
func New() Target { return Target{Kube: &kube.Flags{}} }

func (t *Target) AddFlags(cmd *cobra.Command) {
	usage := "where the system runs: local, kind, or cluster, which is that of the current context (default cluster)"
	if t.AllowVirtual {
		usage = "where the system runs: local, kind, virtual (simulated, in no time), or cluster, which is that of the current context (default cluster)"
	}
	cmd.Flags().StringVar(&t.On, "on", "", usage)
	_ = cmd.RegisterFlagCompletionFunc("on", cobra.FixedCompletions(t.known(), cobra.ShellCompDirectiveNoFileComp))
	t.Kube.AddFlags(cmd)
}

// Command is the command line for what runs where the flags point.
func (t *Target) Command(words ...string) string {
	words = append([]string{"kubectl", "microsim"}, append(words, "--on", t.On)...)
	if t.OnCluster() {
		words = append(words, t.Kube.Args()...)
	}
	return strings.Join(words, " ")
}

// known are the targets that the command takes.
func (t *Target) known() []string {
	if t.AllowVirtual {
		return []string{"local", "kind", "cluster", "virtual"}
	}
	return []string{"local", "kind", "cluster"}
}

// OnCluster reports whether the system runs on Kubernetes.
func (t *Target) OnCluster() bool { return t.On != "local" && !t.Virtual() }

// Virtual reports whether the system runs in virtual time.
func (t *Target) Virtual() bool { return t.On == "virtual" }

// Validate refuses targets that are not there.
func (t *Target) Validate() error {
	switch t.On {
	case "":
		t.On = "cluster"
	case "virtual":
		if !t.AllowVirtual {
			return errors.New("--on virtual plays whole experiments, and starts nothing that this command could use: write 'kubectl microsim run ... --on virtual', or --on local here")
		}
	}
	return cli.OneOf("on", t.On, t.known()...)
}
