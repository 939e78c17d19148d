package plugin

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// completionPatience bounds how long a shell waits for words that a cluster
// knows.
const completionPatience = time.Second

// A wordsFunc completes an argument or the value of a flag.
type wordsFunc = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// complete makes a wordsFunc of one that finds the words where the flags point.
// What cannot be found in time is not offered.
func (t *target) complete(find func(ctx context.Context, streams Streams) ([]string, error)) wordsFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if t.kube == nil && t.on == "" {
			t.on = "local"
		}
		if t.validate() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
		defer cancel()
		words, err := find(ctx, Streams{Out: io.Discard, Err: io.Discard})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.DeleteFunc(words, func(w string) bool { return slices.Contains(args, w) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeSystems completes the names of running systems.
func (t *target) completeSystems() wordsFunc {
	return t.complete(func(ctx context.Context, streams Streams) ([]string, error) {
		systems, err := t.systems(ctx, streams)
		var names []string
		for _, s := range systems {
			names = append(names, s.Name)
		}
		return names, err
	})
}

// completeServices completes the names of the services of a system, or of all
// where no system is named.
func (t *target) completeServices(system *string) wordsFunc {
	return t.complete(func(ctx context.Context, streams Streams) ([]string, error) {
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

// systems describes what runs where the flags point.
func (t *target) systems(ctx context.Context, streams Streams) ([]*topology.System, error) {
	var systems []*topology.System
	if t.onCluster() {
		c, err := t.kube.clusterOf(ctx, t.on, streams, false)
		if err != nil {
			return nil, err
		}
		all, err := c.Systems(ctx)
		for _, d := range all {
			systems = append(systems, d.System())
		}
		return systems, err
	}
	entries, err := runningSystems()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		// One that does not answer still has its name.
		system, err := control.NewClient(e.Record).System(ctx)
		if err != nil {
			system = &topology.System{Name: e.Name}
		}
		systems = append(systems, system)
	}
	return systems, nil
}
