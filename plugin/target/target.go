// Package target has the flags that say where a command acts: on this machine, in a
// kind sandbox, on a cluster or in virtual time.
package target

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	// AllowVirtual allows --on virtual, for commands that play whole experiments.
	AllowVirtual bool
	// Kube has the flags of clusters.
	Kube *kube.Flags
	all  bool
}

// New returns a target that is ready for AddFlags.
func New() Target { return Target{Kube: &kube.Flags{}} }

// AddFlags adds --on and the flags of clusters.
func (t *Target) AddFlags(cmd *cobra.Command) {
	usage := "where the system runs: local, kind, or cluster, which is that of the current context (default cluster)"
	if t.AllowVirtual {
		usage = "where the system runs: local, kind, virtual (simulated, in no time), or cluster, which is that of the current context (default cluster)"
	}
	cmd.Flags().StringVar(&t.On, "on", "", usage)
	cli.CompleteFlag(cmd, "on", t.known()...)
	t.Kube.AddFlags(cmd)
}

// AddAllNamespaces adds -A.
func (t *Target) AddAllNamespaces(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&t.all, "all-namespaces", "A", false, "look through all namespaces of the cluster")
	cli.OnlyOn(cmd.Flags(), []string{"kind", "cluster"}, "all-namespaces")
}

// AllNamespaces reports whether -A is given: all namespaces are meant, whatever the
// context says.
func (t *Target) AllNamespaces() bool { return t.all }

// Command returns a command line of this program for the same target.
func (t *Target) Command(words ...string) string {
	words = append([]string{"kubectl", "microsim"}, append(words, "--on", t.On)...)
	if t.OnCluster() {
		words = append(words, t.Kube.Args()...)
	}
	return cli.CommandLine(words...)
}

// known returns the values that --on takes for the command.
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

// Cluster connects to the cluster that the flags mean, to look at running systems
// or to change them.
func (t *Target) Cluster(ctx context.Context, streams cli.Streams, more ...func(*kubeapi.Config)) (*cluster.Cluster, error) {
	return t.Kube.Cluster(ctx, t.On, streams, false, append(more, t.everywhere, t.commands)...)
}

// ClusterForPods connects to the cluster that the flags mean, to create pods there.
// It makes the agent's image available, and creates the sandbox of --on kind if
// there is none.
func (t *Target) ClusterForPods(ctx context.Context, streams cli.Streams, more ...func(*kubeapi.Config)) (*cluster.Cluster, error) {
	return t.Kube.Cluster(ctx, t.On, streams, true, append(more, t.commands)...)
}

// commands has the errors of a cluster name command lines for the same cluster.
func (t *Target) commands(c *kubeapi.Config) {
	c.Command = func(words ...string) string {
		if !slices.Contains(words, "-n") {
			return t.Command(words...)
		}
		words = append([]string{"kubectl", "microsim"}, append(words, "--on", t.On)...)
		return cli.CommandLine(append(words, t.Kube.Changed("kubeconfig", "context", "cluster", "user", "as", "sandbox")...)...)
	}
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
	if err := t.ValidateFlags(cmd); err != nil {
		return err
	}
	return cli.RefuseElsewhere(cmd.Flags(), t.On)
}

// ValidateFlags refuses flags of clusters that contradict each other on every target.
func (t *Target) ValidateFlags(cmd *cobra.Command) error {
	for _, pair := range [][]string{{"namespace", "all-namespaces"}, {"image", "push"}} {
		if both := cli.Given(cmd.Flags(), pair...); len(both) == 2 {
			return fmt.Errorf("%s and %s are both given: keep one", both[0], both[1])
		}
	}
	if err := t.Kube.ValidateImages(); err != nil {
		return err
	}
	if flag := cmd.Flags().Lookup("ready-timeout"); flag != nil && flag.Changed && t.Kube.ReadyTimeout <= 0 {
		return fmt.Errorf("--ready-timeout %v leaves pods no time: write a duration above 0", t.Kube.ReadyTimeout)
	}
	return nil
}

func (t *Target) resolve() error {
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
