// Package files is the commands about files alone: validate, convert, examples and
// schema.
package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

func NewValidate(streams cli.Streams) *cobra.Command {
	var (
		in    cli.Inputs
		asked bool
	)
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check files and name every mistake in them",
		Long: `Check files and name every mistake in them.

With --advise, name patterns, too, that are known to turn small failures into outages: retries at several
layers, timeouts that do not nest, retries without budget or jitter, queues without bound, hedges and retries
of what is not idempotent. Each names the lesson that shows what it does. Advice is no mistake: the exit
code is that of the check.`,
		Example: `  kubectl microsim validate -f shop.yaml
  kubectl microsim validate -f system.yaml --advise
  kubectl microsim validate -f systems/ -f https://example.org/system.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(in.Filenames)+len(args) == 0 {
				return cli.Usage(cmd, errors.New("there is nothing to check: name files with -f"))
			}
			docs, err := in.Read(cmd.Context(), streams, args)
			if err != nil {
				return err
			}
			cli.ShowNotes(streams.Err, docs)
			for _, d := range docs {
				fmt.Fprintf(streams.Out, "%s valid (%s)\n", documentName(d), d.Origin.File)
				if asked {
					printAdvice(streams.Out, d)
				}
			}
			return nil
		},
	}
	in.AddFlags(cmd, "what to check")
	cmd.Flags().BoolVar(&asked, "advise", false, "name patterns that turn small failures into outages, with the lesson that shows each")
	return cmd
}

// documentName names a document as kubectl names objects: type/name.
func documentName(d document.Document) string {
	switch {
	case d.System != nil:
		return "system/" + d.System.Name
	case d.Experiment != nil:
		return "experiment/" + d.Experiment.Name
	case d.Load != nil:
		return "load/" + d.Load.Name
	case d.Faults != nil:
		return "faults/" + d.Faults.Name
	}
	return "request/" + d.Chain.Designation
}

func NewConvert(streams cli.Streams) *cobra.Command {
	var in cli.Inputs
	cmd := &cobra.Command{
		Use:   "convert -f FILE",
		Short: "Print files of other formats in the native one",
		Long: `Print what a file describes in the native format.

Known formats are MicroSim requests, Simulations and LoadGenerators, VECROsim systems and faults,
isotope's MockServiceGraphs, and NetworkChaos, StressChaos and PodChaos of Chaos Mesh; which one a
file has is seen from its content. Faults are printed as part of an Experiment, and so need a system
and a load beside them.`,
		Example: `  kubectl microsim convert -f topology.yaml > system.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(in.Filenames)+len(args) == 0 {
				return cli.Usage(cmd, errors.New("there is nothing to convert: name files with -f"))
			}
			docs, err := in.Read(cmd.Context(), streams, args)
			if err != nil {
				return err
			}
			cli.ShowNotes(streams.Err, docs)
			text, err := spec.Format(docs)
			if err != nil {
				return err
			}
			_, err = streams.Out.Write(text)
			return err
		},
	}
	in.AddFlags(cmd, "what to convert")
	return cmd
}

func NewSchema(streams cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:       "schema (system|experiment)",
		Short:     "Print the JSON Schema of a kind of file",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"system", "experiment"},
		RunE: func(_ *cobra.Command, args []string) error {
			kind := document.KindSystem
			if args[0] == "experiment" {
				kind = document.KindExperiment
			}
			schema, err := spec.Schema(kind)
			if err != nil {
				return err
			}
			_, err = streams.Out.Write(schema)
			return err
		},
	}
}

func NewExamples(streams cli.Streams) *cobra.Command {
	var (
		write string
		force bool
	)
	cmd := &cobra.Command{
		Use:   "examples [NAME ...]",
		Short: "List the embedded examples, print them, or write them to a directory",
		Example: `  kubectl microsim examples
  kubectl microsim examples shop > shop.yaml
  kubectl microsim examples --write lab/`,
		RunE: func(_ *cobra.Command, args []string) error {
			all := examples.List()
			if len(args) > 0 {
				all = nil
				for _, name := range args {
					e, err := findExample(name)
					if err != nil {
						return err
					}
					all = append(all, e)
				}
			}
			switch {
			case write != "":
				return writeExamples(streams, write, all, force)
			case len(args) > 0:
				return printExamples(streams, all)
			}
			return listExamples(streams, all)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, e := range examples.List() {
				names = append(names, e.Name+"\t"+e.Title)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringVar(&write, "write", "", "write the files to this directory")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite files that are there")
	cmd.AddCommand(newGenerate(streams))
	return cmd
}

func findExample(name string) (examples.Example, error) {
	for _, e := range examples.List() {
		if e.Name == name || e.File == name {
			return e, nil
		}
	}
	return examples.Example{}, fmt.Errorf("there is no example %q: 'kubectl microsim examples' lists what there is", name)
}

func listExamples(streams cli.Streams, all []examples.Example) error {
	var rows [][]string
	for _, e := range all {
		rows = append(rows, []string{e.Name, e.Kind, e.Title})
	}
	return cli.PrintTable(streams.Out, []string{"NAME", "KIND", "TITLE"}, rows)
}

func printExamples(streams cli.Streams, all []examples.Example) error {
	for i, e := range all {
		data, err := examples.Open(e.Name)
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprintln(streams.Out, "---")
		}
		if _, err := streams.Out.Write(data); err != nil {
			return err
		}
	}
	return nil
}

func writeExamples(streams cli.Streams, dir string, all []examples.Example, force bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory for the examples: %w", err)
	}
	for _, e := range all {
		data, err := examples.Open(e.Name)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, e.File)
		flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
		if force {
			flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		}
		if err := writeNew(path, data, flags); err != nil {
			if errors.Is(err, os.ErrExist) {
				return fmt.Errorf("writing example %q: %q is there already; use --force to overwrite it", e.Name, path)
			}
			return fmt.Errorf("writing example %q: %w", e.Name, err)
		}
		fmt.Fprintf(streams.Out, "%s written\n", path)
	}
	return nil
}

func writeNew(path string, data []byte, flags int) error {
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
