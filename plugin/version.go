package plugin

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
)

func newVersion(streams Streams) *cobra.Command {
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
			if err := oneOf("output", output, "json", "yaml"); err != nil {
				return usage(cmd, err)
			}
			return printObject(streams.Out, output, info)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "output format: json or yaml")
	return cmd
}
