package plugin

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

func newVersion(streams cli.Streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{version.String(), version.Go(), runtime.GOOS, runtime.GOARCH}
			if output == "" {
				fmt.Fprintf(streams.Out, "kubectl-microsim %s (%s, %s/%s)\n", info.Version, info.Go, info.OS, info.Arch)
				return nil
			}
			if err := cli.OneOf("output", output, "json", "yaml"); err != nil {
				return cli.Usage(cmd, err)
			}
			return cli.PrintObject(streams.Out, output, info)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "output format: json or yaml")
	return cmd
}
