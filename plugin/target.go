package plugin

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// target is where a system runs.
type target struct{ on string }

func (t *target) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.on, "on", "", "where the system runs: local")
}

// validate refuses targets that are not there.
func (t *target) validate() error {
	switch t.on {
	case "local":
		return nil
	case "":
		return errors.New("--on is missing: it will default to the cluster of the current context, which is not supported yet; write --on local to use this machine")
	case "kind", "cluster", "virtual":
		return fmt.Errorf("--on %s is not supported yet: write --on local", t.on)
	}
	return oneOf("on", t.on, "local")
}
