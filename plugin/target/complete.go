package target

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
)

// completionPatience bounds how long a shell waits for words that a cluster must be
// asked for.
const completionPatience = time.Second

// A WordsFunc completes an argument or the value of a flag.
type WordsFunc = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// Complete returns a WordsFunc that completes with the words that find returns
// within completionPatience.
func (t *Target) Complete(find func(ctx context.Context, streams cli.Streams) ([]string, error)) WordsFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if t.Kube == nil && t.On == "" {
			t.On = "local"
		}
		if t.resolve() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
		defer cancel()
		words, err := find(ctx, cli.Streams{Out: io.Discard, Err: io.Discard})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.DeleteFunc(words, func(w string) bool { return slices.Contains(args, w) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteSystems completes the names of running systems.
func (t *Target) CompleteSystems() WordsFunc {
	return t.Complete(func(ctx context.Context, streams cli.Streams) ([]string, error) {
		systems, err := t.systems(ctx, streams)
		var names []string
		for _, s := range systems {
			names = append(names, s.Name)
		}
		return names, err
	})
}

// CompleteServices completes the names of the services of a system, or of all
// running systems if none is named.
func (t *Target) CompleteServices(system *string) WordsFunc {
	return t.Complete(func(ctx context.Context, streams cli.Streams) ([]string, error) {
		systems, err := t.systems(ctx, streams)
		var names []string
		for _, s := range systems {
			for i := range s.Services {
				if name := s.Services[i].Name; (*system == "" || *system == s.Name) && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		return names, err
	})
}

// systems returns the running systems on the target.
func (t *Target) systems(ctx context.Context, streams cli.Streams) ([]*topology.System, error) {
	var systems []*topology.System
	if t.OnCluster() {
		c, err := t.Cluster(ctx, streams)
		if err != nil {
			return nil, err
		}
		all, err := c.Systems(ctx)
		for _, d := range all {
			systems = append(systems, d.System())
		}
		return systems, err
	}
	entries, err := local.Systems()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		// Offer the name of a system that does not answer, too.
		system, err := control.NewClient(e.Record).System(ctx)
		if err != nil {
			system = &topology.System{Name: e.Name}
		}
		systems = append(systems, system)
	}
	return systems, nil
}
