package plugin

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// target is where a system runs.
type target struct {
	on string
	// kube has the flags of clusters.
	kube *kube
}

// newTarget is a target whose flags may be added to a command.
func newTarget() target { return target{kube: &kube{}} }

func (t *target) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.on, "on", "", "where the system runs: local, kind, or cluster, which is that of the current context (default cluster)")
	_ = cmd.RegisterFlagCompletionFunc("on", cobra.FixedCompletions([]string{"local", "kind", "cluster"}, cobra.ShellCompDirectiveNoFileComp))
	t.kube.addFlags(cmd)
}

// command is the command line for what runs where the flags point.
func (t *target) command(words ...string) string {
	words = append([]string{"kubectl", "microsim"}, append(words, "--on", t.on)...)
	if t.onCluster() {
		words = append(words, t.kube.words()...)
	}
	return strings.Join(words, " ")
}

// onCluster reports whether the system runs on Kubernetes.
func (t *target) onCluster() bool { return t.on != "local" }

// validate refuses targets that are not there.
func (t *target) validate() error {
	switch t.on {
	case "":
		t.on = "cluster"
	case "virtual":
		return fmt.Errorf("--on %s is not supported yet: write --on local", t.on)
	}
	return oneOf("on", t.on, "local", "kind", "cluster")
}
