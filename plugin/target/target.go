// Package target reads where a command acts: on this machine, in a kind sandbox or
// on a cluster.
package target

import (
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
	"github.com/spf13/cobra"
)

// Target is where a system runs.
type Target struct {
	On string
	// kube has the flags of clusters.
	Kube *kube.Flags
}

// newTarget is a target whose flags may be added to a command.
func New() Target { return Target{Kube: &kube.Flags{}} }

func (t *Target) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.On, "on", "", "where the system runs: local, kind, or cluster, which is that of the current context (default cluster)")
	_ = cmd.RegisterFlagCompletionFunc("on", cobra.FixedCompletions([]string{"local", "kind", "cluster"}, cobra.ShellCompDirectiveNoFileComp))
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

// OnCluster reports whether the system runs on Kubernetes.
func (t *Target) OnCluster() bool { return t.On != "local" }

// Validate refuses targets that are not there.
func (t *Target) Validate() error {
	switch t.On {
	case "":
		t.On = "cluster"
	case "virtual":
		return fmt.Errorf("--on %s is not supported yet: write --on local", t.On)
	}
	return cli.OneOf("on", t.On, "local", "kind", "cluster")
}
