package files

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

func newGenerate(streams cli.Streams) *cobra.Command {
	var (
		services, calls int
		seed            uint64
	)
	var shapes []string
	for _, s := range topology.Shapes() {
		shapes = append(shapes, string(s))
	}
	cmd := &cobra.Command{
		Use:       "generate SHAPE",
		Short:     "Print a system of any size",
		Long:      fmt.Sprintf("Print a system of any size, made of the seed. Shapes are %v.", shapes),
		Example:   `  kubectl microsim examples generate random --services 1000 --calls 5000 > large.yaml`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: shapes,
		RunE: func(cmd *cobra.Command, args []string) error {
			if topology.Shape(args[0]) != topology.Random {
				if err := cli.Refuse(cmd.Flags(), "are for the shape random, and other shapes have nothing random: leave them out", "calls", "seed"); err != nil {
					return cli.Usage(cmd, err)
				}
			}
			if !cmd.Flags().Changed("calls") {
				calls = callsOf(services)
			}
			system, err := topology.Generate(topology.Shape(args[0]), services, calls, seed)
			if err != nil {
				return cli.Usage(cmd, err)
			}
			text, err := spec.FormatSystem(system)
			if err != nil {
				return err
			}
			_, err = streams.Out.Write(text)
			return err
		},
	}
	cmd.Flags().IntVar(&services, "services", 100, "number of services")
	cmd.Flags().IntVar(&calls, "calls", 0, "number of calls, for the shape random (default five per service, or as many as there can be)")
	cmd.Flags().Uint64Var(&seed, "seed", document.DefaultSeed, "seed of the random parts")
	return cmd
}

// callsOf returns how many calls a random system of a size gets: five per service,
// but no more than a connected system without cycles can have.
func callsOf(services int) int {
	return min(max(callsPerService*services, services-1), services*(services-1)/2)
}

const callsPerService = 5
