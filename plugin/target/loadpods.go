package target

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster/loadjob"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// LoadPodsFlag says how many pods generate the load on a cluster.
const LoadPodsFlag = "load-pods"

// AddLoadPods adds the flag of LoadPodsFlag.
func AddLoadPods(cmd *cobra.Command, pods *int) {
	cmd.Flags().IntVar(pods, LoadPodsFlag, 1, "on a cluster: how many pods generate the load together")
	cli.OnlyOn(cmd.Flags(), []string{"kind", "cluster"}, LoadPodsFlag)
}

// ValidateLoadPods refuses a number of load pods that is out of range.
func ValidateLoadPods(pods int) error {
	if pods < 1 || pods > loadjob.MaxPods {
		return fmt.Errorf("--%s %d is not possible: write 1 to %d", LoadPodsFlag, pods, loadjob.MaxPods)
	}
	return nil
}
