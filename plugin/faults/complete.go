package faults

import (
	"context"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// completeFaults completes the names of the faults that act in a system.
func (o *faultOptions) completeFaults() target.WordsFunc {
	return o.target.Complete(func(ctx context.Context, streams cli.Streams) ([]string, error) {
		looking := *o
		looking.streams = streams
		client, err := looking.find(ctx)
		if err != nil {
			return nil, err
		}
		active, err := client.Active(ctx)
		var names []string
		for _, in := range active {
			names = append(names, in.ID)
		}
		return names, err
	})
}
