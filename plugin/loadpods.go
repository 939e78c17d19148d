package plugin

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster/loadjob"
)

// loadPodsFlag says how many pods generate the load on a cluster.
const loadPodsFlag = "load-pods"

func addLoadPods(cmd *cobra.Command, pods *int) {
	cmd.Flags().IntVar(pods, loadPodsFlag, 1, "on a cluster: how many pods generate the load together")
}

// validateLoadPods refuses numbers of pods that are not possible.
func (t *target) validateLoadPods(cmd *cobra.Command, pods int) error {
	switch {
	case !t.onCluster() && cmd.Flags().Changed(loadPodsFlag):
		return fmt.Errorf("--%s is about load on a cluster: write --on kind or --on cluster, or leave it out", loadPodsFlag)
	case pods < 1 || pods > loadjob.MaxPods:
		return fmt.Errorf("--%s %d is not possible: write 1 to %d", loadPodsFlag, pods, loadjob.MaxPods)
	}
	return nil
}
