package target

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster/loadjob"
)

// loadPodsFlag says how many pods generate the load on a cluster.
const LoadPodsFlag = "load-pods"

func AddLoadPods(cmd *cobra.Command, pods *int) {
	cmd.Flags().IntVar(pods, LoadPodsFlag, 1, "on a cluster: how many pods generate the load together")
}

// ValidateLoadPods refuses numbers of pods that are not possible.
func (t *Target) ValidateLoadPods(cmd *cobra.Command, pods int) error {
	switch {
	case !t.OnCluster() && cmd.Flags().Changed(LoadPodsFlag):
		return fmt.Errorf("--%s is about load on a cluster: write --on kind or --on cluster, or leave it out", LoadPodsFlag)
	case pods < 1 || pods > loadjob.MaxPods:
		return fmt.Errorf("--%s %d is not possible: write 1 to %d", LoadPodsFlag, pods, loadjob.MaxPods)
	}
	return nil
}
