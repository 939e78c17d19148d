package plugin

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// target is where a system runs.
type target struct {
	on string
	// kube has the flags of clusters where the command can use one, and is nil
	// else.
	kube *kube
}

func (t *target) addFlags(cmd *cobra.Command) {
	if t.kube == nil {
		cmd.Flags().StringVar(&t.on, "on", "", "where the system runs: local")
		return
	}
	cmd.Flags().StringVar(&t.on, "on", "", "where the system runs: local, kind, or cluster, which is that of the current context (default cluster)")
	t.kube.addFlags(cmd)
}

// onCluster reports whether the system runs on Kubernetes.
func (t *target) onCluster() bool { return t.on != "local" }

// validate refuses targets that are not there.
func (t *target) validate() error {
	switch t.on {
	case "local":
		return nil
	case "":
		if t.kube != nil {
			t.on = "cluster"
			return nil
		}
		return errors.New("--on is missing: it would be the cluster of the current context, which this command cannot use yet; write --on local to use this machine")
	case "kind", "cluster":
		if t.kube != nil {
			return nil
		}
		return fmt.Errorf("--on %s is not supported by this command yet: write --on local", t.on)
	case "virtual":
		return fmt.Errorf("--on %s is not supported yet: write --on local", t.on)
	}
	if t.kube != nil {
		return oneOf("on", t.on, "local", "kind", "cluster")
	}
	return oneOf("on", t.on, "local")
}
