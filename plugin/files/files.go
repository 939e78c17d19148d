// Package files has the commands that only work on files: validate, convert,
// examples and schema.
package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/internal/partial"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// NewValidate returns the command `validate`.
func NewValidate(streams cli.Streams) *cobra.Command {
	var (
		in      cli.Inputs
		output  cli.Output
		advises bool
	)
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check files and name every mistake in them",
		Long: `Check files and name every mistake in them.

With --advise, name patterns, too, that are known to turn small failures into outages: retries at several
layers, timeouts that do not nest, retries without budget or jitter, queues without bound, hedges and retries
of what is not idempotent. Each names the lesson that shows what it does. Advice is not a mistake: the exit
code is that of the check.`,
		Example: `  kubectl microsim validate -f shop.yaml
  kubectl microsim validate -f system.yaml --advise
  kubectl microsim validate -f systems/ -f https://example.org/system.yaml`,
		ValidArgsFunction: cli.CompleteInputs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(in.Filenames)+len(args) == 0 {
				return cli.Usage(cmd, errors.New("there is nothing to check: name files with -f"))
			}
			if advises && output.Names() {
				return cli.Usage(cmd, errors.New("--advise says more than names: leave out -o name"))
			}
			if err := output.Validate(); err != nil {
				return cli.Usage(cmd, err)
			}
			docs, err := in.Read(cmd.Context(), streams, args)
			if err != nil {
				return err
			}
			cli.ShowNotes(streams.Err, docs)
			return printDocuments(streams, &output, docs, advises)
		},
	}
	in.AddFlags(cmd, "what to check")
	output.AddFlags(cmd, append(cli.Templates(), "name")...)
	cmd.Flags().BoolVar(&advises, "advise", false, "name patterns that turn small failures into outages, with the lesson that shows each")
	return cmd
}

// validDocument is a document without mistakes, for formats for programs.
type validDocument struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	File string `json:"file"`
	// Advice is absent without --advise.
	Advice []advised `json:"advice,omitzero"`
}

// printDocuments prints the valid documents and, if advises is set, advice on them.
func printDocuments(streams cli.Streams, output *cli.Output, docs document.Documents, advises bool) error {
	valid := []validDocument{}
	for _, d := range docs {
		kind, name, _ := strings.Cut(documentName(d), "/")
		v := validDocument{Kind: kind, Name: name, File: d.Origin.File}
		if advises {
			v.Advice = adviceOn(d)
		}
		valid = append(valid, v)
	}
	if output.Machine() && !output.Names() {
		return output.Object(streams.Out, cli.AsList(valid))
	}
	for _, d := range valid {
		text := d.Kind + "/" + cli.Clean(d.Name)
		if !output.Names() {
			text += fmt.Sprintf(" valid (%s)", cli.Clean(d.File))
		}
		fmt.Fprintln(streams.Out, text)
		if !output.Names() {
			printAdvice(streams.Out, d.Advice, advises)
		}
	}
	return nil
}

// documentName names a document as kubectl names objects: type/name.
func documentName(d document.Document) string {
	switch {
	case d.System != nil:
		return "system/" + d.System.Name
	case d.Experiment != nil:
		return "experiment/" + d.Experiment.Name
	case d.Dataset != nil:
		return "dataset/" + d.Dataset.Name
	case d.Load != nil:
		return "load/" + d.Load.Name
	case d.Faults != nil:
		return "faults/" + d.Faults.Name
	}
	return "request/" + d.Chain.Designation
}

// NewConvert returns the command `convert`.
func NewConvert(streams cli.Streams) *cobra.Command {
	var in cli.Inputs
	cmd := &cobra.Command{
		Use:   "convert -f FILE",
		Short: "Print files of other formats in the native one",
		Long: `Print what a file describes in the native format.

Known formats are MicroSim requests, Simulations and LoadGenerators, VECROsim systems and faults,
isotope's MockServiceGraphs, and NetworkChaos, StressChaos and PodChaos of Chaos Mesh. The content
of a file tells its format. Faults are printed as part of an Experiment, and so need a system
and a load beside them.`,
		Example:           `  kubectl microsim convert -f topology.yaml > system.yaml`,
		ValidArgsFunction: cli.CompleteInputs(),
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

// NewSchema returns the command `schema`.
func NewSchema(streams cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:       "schema (system|experiment|dataset)",
		Short:     "Print the JSON Schema of a kind of file",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"system", "experiment", "dataset"},
		RunE: func(_ *cobra.Command, args []string) error {
			kind := map[string]string{"system": document.KindSystem, "experiment": document.KindExperiment, "dataset": document.KindDataset}[args[0]]
			schema, err := spec.Schema(kind)
			if err != nil {
				return err
			}
			_, err = streams.Out.Write(schema)
			return err
		},
	}
}

// NewExamples returns the command `examples`.
func NewExamples(streams cli.Streams) *cobra.Command {
	var (
		write  string
		force  bool
		output cli.Output
	)
	cmd := &cobra.Command{
		Use:   "examples [NAME ...]",
		Short: "List the embedded examples, print them, or write them to a directory",
		Example: `  kubectl microsim examples
  kubectl microsim examples shop > shop.yaml
  kubectl microsim examples --write lab/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := validateExamples(cmd.Flags(), &output, args); err != nil {
				return cli.Usage(cmd, err)
			}
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
			return listExamples(streams, &output, all)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return cli.ExampleNames(args, begun), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringVar(&write, "write", "", "write the files to this directory")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite files that exist")
	output.AddFlags(cmd, append(cli.Templates(), "name")...)
	output.AddNoHeaders(cmd)
	cmd.AddCommand(newGenerate(streams))
	return cmd
}

// validateExamples refuses flags that have no effect on what is done with the
// examples.
func validateExamples(flags *pflag.FlagSet, output *cli.Output, args []string) error {
	switch {
	case output.Validate() != nil:
		return output.Validate()
	case !flags.Changed("write"):
		if err := cli.Refuse(flags, "is about files that --write writes: write it, too", "force"); err != nil {
			return err
		}
		if len(args) == 0 {
			return nil
		}
	}
	return cli.Refuse(flags, "are about the list of examples, which is printed without names and without --write: leave them out", "output", "no-headers")
}

func findExample(name string) (examples.Example, error) {
	var names []string
	for _, e := range examples.List() {
		if e.Name == name || e.File == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return examples.Example{}, fmt.Errorf("there is no example %q: %s", name,
		problem.DidYouMean(name, names, "'kubectl microsim examples' lists them"))
}

func listExamples(streams cli.Streams, output *cli.Output, all []examples.Example) error {
	type listed struct {
		Name  string `json:"name"`
		Kind  string `json:"kind"`
		Title string `json:"title"`
		File  string `json:"file"`
	}
	var rows [][]string
	var names []string
	var items []listed
	for _, e := range all {
		rows = append(rows, []string{e.Name, e.Kind, e.Title})
		names = append(names, e.Name)
		items = append(items, listed{e.Name, e.Kind, e.Title, e.File})
	}
	switch {
	case output.Names():
		return cli.PrintNames(streams.Out, "example", names)
	case output.Machine():
		return output.Object(streams.Out, cli.AsList(items))
	}
	return output.Table(streams.Out, []string{"NAME", "KIND", "TITLE"}, rows)
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
		if _, err := os.Lstat(path); err == nil && !force {
			return fmt.Errorf("writing example %q: %q exists; use --force to overwrite it", e.Name, path)
		}
		if err := writeWhole(path, data); err != nil {
			return fmt.Errorf("writing example %q: %w", e.Name, err)
		}
		fmt.Fprintf(streams.Out, "%s written\n", path)
	}
	return nil
}

// writeWhole writes a whole file, or leaves what was there.
func writeWhole(path string, data []byte) error {
	return partial.WriteFile(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
