// Package target reads where a command acts: on this machine, in a kind sandbox or
// on a cluster.
package target

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
)

// Target is where a system runs.
type Target struct {
	// On is local, kind or cluster; empty means cluster.
	On string
	// Kube has the flags of clusters.
	Kube *kube.Flags
	all  bool
}

// New returns a target whose flags may be added to a command.
func New() Target { return Target{Kube: &kube.Flags{}} }

// AddFlags adds --on and the flags of clusters.
func (t *Target) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.On, "on", "", "where the system runs: local, kind, or cluster, which is that of the current context (default cluster)")
	cli.CompleteFlag(cmd, "on", "local", "kind", "cluster")
	t.Kube.AddFlags(cmd)
}

// AddAllNamespaces adds -A.
func (t *Target) AddAllNamespaces(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&t.all, "all-namespaces", "A", false, "look through all namespaces of the cluster")
	cli.OnlyOn(cmd.Flags(), []string{"kind", "cluster"}, "all-namespaces")
}

// AllNamespaces reports whether all namespaces are meant, whatever the context
// says.
func (t *Target) AllNamespaces() bool { return t.all }

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

// Cluster connects to the cluster that the flags mean, to look at what runs there
// or to change it.
func (t *Target) Cluster(ctx context.Context, streams cli.Streams, more ...func(*kubeapi.Config)) (*cluster.Cluster, error) {
	return t.Kube.Cluster(ctx, t.On, streams, false, append(more, t.everywhere)...)
}

// ClusterForPods connects to the cluster that the flags mean, to make pods there:
// it brings the agent's image, and makes the sandbox of --on kind if there is none.
func (t *Target) ClusterForPods(ctx context.Context, streams cli.Streams, more ...func(*kubeapi.Config)) (*cluster.Cluster, error) {
	return t.Kube.Cluster(ctx, t.On, streams, true, more...)
}

func (t *Target) everywhere(c *kubeapi.Config) {
	if t.all {
		c.Namespace = ""
	}
}

// Validate refuses targets that do not exist, and flags of the command that have
// no effect on the target.
func (t *Target) Validate(cmd *cobra.Command) error {
	if err := t.resolve(); err != nil {
		return err
	}
	for _, pair := range [][]string{{"namespace", "all-namespaces"}, {"image", "push"}} {
		if both := cli.Given(cmd.Flags(), pair...); len(both) == 2 {
			return fmt.Errorf("%s and %s are both given: keep one", both[0], both[1])
		}
	}
	if flag := cmd.Flags().Lookup("ready-timeout"); flag != nil && flag.Changed && t.Kube.ReadyTimeout <= 0 {
		return fmt.Errorf("--ready-timeout %v leaves pods no time: write a duration above 0", t.Kube.ReadyTimeout)
	}
	return cli.RefuseElsewhere(cmd.Flags(), t.On)
}

func (t *Target) resolve() error {
	switch t.On {
	case "":
		t.On = "cluster"
	case "virtual":
		return fmt.Errorf("--on %s is not supported yet: write --on local", t.On)
	}
	return cli.OneOf("on", t.On, "local", "kind", "cluster")
}
