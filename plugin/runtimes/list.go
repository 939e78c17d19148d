package runtimes

import (
	"context"
	"errors"
	"strings"
	"time"

	"fmt"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runtimes"
)

// An Entry is what `runtimes list` tells of a runtime.
type Entry struct {
	Name      topology.RuntimeName `json:"name"`
	Language  string               `json:"language"`
	Framework string               `json:"framework"`
	Level     string               `json:"level"`
	Installed bool                 `json:"installed"`
	// Tools are those found here with their versions, Missing what is missing.
	Tools   []string `json:"tools,omitempty"`
	Missing []string `json:"missing,omitempty"`
}

func newList(streams cli.Streams) *cobra.Command {
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the runtimes: which are installed, and what is missing here",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.Validate(); err != nil {
				return cli.Usage(cmd, err)
			}
			entries, err := list(cmd.Context())
			if err != nil {
				return cli.Cause(cmd.Context(), err)
			}
			return printEntries(streams, &output, entries)
		},
	}
	output.AddFlags(cmd, append(cli.Templates(), "name")...)
	output.AddNoHeaders(cmd)
	return cmd
}

func list(ctx context.Context) ([]Entry, error) {
	store, err := runtimes.Default()
	if err != nil {
		return nil, err
	}
	all, err := runtimes.All()
	if err != nil {
		return nil, err
	}
	entries := []Entry{{
		Name: topology.Agent, Language: "go", Framework: "net/http", Level: "L3", Installed: true, Tools: []string{"kubectl-microsim " + version.String()},
	}}
	for i := range all {
		e, err := describe(ctx, store, &all[i])
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, ctx.Err()
}

func describe(ctx context.Context, store runtimes.Store, m *runtimes.Manifest) (Entry, error) {
	e := Entry{Name: m.Name, Language: m.Language, Framework: m.Framework, Level: m.Level}
	for i := range m.Tools {
		version, err := m.Tools[i].Version(ctx)
		if err != nil {
			e.Missing = append(e.Missing, err.Error())
			continue
		}
		e.Tools = append(e.Tools, m.Tools[i].Command[0]+" "+version)
	}
	missing := (*runtimes.NotInstalledError)(nil)
	_, err := store.Installed(m)
	if e.Installed = err == nil; err != nil && !errors.As(err, &missing) {
		return e, err
	}
	return e, nil
}

func printEntries(streams cli.Streams, output *cli.Output, entries []Entry) error {
	switch {
	case output.Names():
		var names []string
		for _, e := range entries {
			names = append(names, string(e.Name))
		}
		return cli.PrintNames(streams.Out, "runtime", names)
	case output.Machine():
		return output.Object(streams.Out, cli.AsList(entries))
	}
	var rows [][]string
	for _, e := range entries {
		state := "installed"
		switch {
		case len(e.Missing) > 0:
			state = "lacks tools"
		case !e.Installed:
			state = "can be installed"
		}
		rows = append(rows, []string{string(e.Name), e.Language, e.Level, state, strings.Join(append(e.Tools, e.Missing...), ", ")})
	}
	return output.Table(streams.Out, []string{"NAME", "LANGUAGE", "LEVEL", "STATE", "TOOLS"}, rows)
}

func newInstall(streams cli.Streams) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "install (RUNTIME ... | --all)",
		Short: "Install runtimes from their lock files, for systems on this machine",
		Long: `Install runtimes from their lock files into the user's cache. An installation needs the
registry of its language once; afterwards the runtime starts without a network. What is
installed already stays as it is.`,
		Example: `  kubectl microsim runtimes install express
  kubectl microsim runtimes install --all`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			for _, r := range topology.Runtimes()[1:] {
				names = append(names, cobra.CompletionWithDesc(string(r.Name), r.Language))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := chosen(args, all)
			if err != nil {
				return cli.Usage(cmd, err)
			}
			return cli.Cause(cmd.Context(), install(cmd.Context(), streams, wanted))
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "install every runtime whose tools are here")
	return cmd
}

// chosen are the runtimes that the arguments mean.
func chosen(args []string, all bool) (wanted []runtimes.Manifest, err error) {
	switch {
	case all && len(args) > 0:
		return nil, errors.New("--all installs every runtime, and some are named, too: keep one")
	case all:
		return runtimes.All()
	case len(args) == 0:
		return nil, errors.New("there is nothing to install: name runtimes, or write --all")
	}
	for _, name := range args {
		m, err := runtimes.Lookup(topology.RuntimeName(name))
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, m)
	}
	return wanted, nil
}

// install installs the runtimes one after another, and goes on after one that
// fails.
func install(ctx context.Context, streams cli.Streams, wanted []runtimes.Manifest) error {
	store, err := runtimes.Default()
	if err != nil {
		return err
	}
	var failed error
	for i := range wanted {
		m, began := &wanted[i], time.Now()
		if _, err := store.Installed(m); err == nil {
			fmt.Fprintf(streams.Out, "runtime/%s unchanged\n", m.Name)
			continue
		}
		err := store.Install(ctx, m, func(step string) { fmt.Fprintf(streams.Err, "installing %s: %s\n", m.Name, step) })
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		fmt.Fprintf(streams.Out, "runtime/%s installed in %.0f s\n", m.Name, time.Since(began).Seconds())
	}
	return failed
}
