package plugin

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

func newVersion(streams cli.Streams) *cobra.Command {
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.Validate(); err != nil {
				return cli.Usage(cmd, err)
			}
			info := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{version.String(), version.Go(), runtime.GOOS, runtime.GOARCH}
			if !output.Machine() {
				fmt.Fprintf(streams.Out, "kubectl-microsim %s (%s, %s/%s)\n", info.Version, info.Go, info.OS, info.Arch)
				return nil
			}
			return output.Object(streams.Out, info)
		},
	}
	output.AddFlags(cmd, cli.Templates()...)
	return cmd
}
