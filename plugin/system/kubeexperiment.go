package system

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/detached"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// experimentStatus is an experiment in a cluster and, while it runs, its system.
type experimentStatus struct {
	Kind string `json:"kind"`
	*detached.Experiment
	LastWord string          `json:"lastWord,omitempty"`
	Running  *cluster.Status `json:"running,omitempty"`
}

// kubeExperimentStatus shows an experiment by its name, with its system. It returns
// false if there is no such experiment.
func kubeExperimentStatus(ctx context.Context, streams cli.Streams, c *cluster.Cluster, name string, output *cli.Output) (shown bool, err error) {
	x, err := detached.Find(ctx, c.Client, name)
	if missing := (*detached.NotFoundError)(nil); errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	status := experimentStatus{Kind: "Experiment", Experiment: x}
	if x.Phase == detached.Running {
		status.LastWord = detached.LastLine(ctx, c.Client, x)
	}
	if status.Running, err = c.SystemOf(ctx, x); err != nil {
		return false, err
	}
	switch {
	case output.Names():
		return true, cli.PrintNames(streams.Out, "experiment", []string{x.Name})
	case output.Machine():
		return true, output.Object(streams.Out, status)
	}
	if err := printExperiments(streams, output, []*detached.Experiment{x}); err != nil {
		return true, err
	}
	if status.LastWord != "" {
		fmt.Fprintf(streams.Err, "experiment/%s says: %s\n", x.Name, status.LastWord)
	}
	if x.Why != "" {
		fmt.Fprintf(streams.Err, "experiment/%s %s: %s\n", x.Name, x.Phase, x.Why)
	}
	if status.Running == nil {
		return true, nil
	}
	fmt.Fprintln(streams.Out)
	return true, printKubeStatus(streams, output, status.Running)
}

func printExperiments(streams cli.Streams, output *cli.Output, all []*detached.Experiment) error {
	var rows [][]string
	for _, x := range all {
		rows = append(rows, []string{x.Namespace, x.Name, x.System, string(x.Phase), took(x), cli.Age(time.Since(x.Made))})
	}
	return output.Table(streams.Out, []string{"NAMESPACE", "EXPERIMENT", "SYSTEM", "PHASE", "TOOK", "AGE"}, rows)
}

// took returns how long an experiment has run.
func took(x *detached.Experiment) string {
	switch {
	case x.Started.IsZero():
		return ""
	case x.Ended.IsZero():
		return cli.Age(time.Since(x.Started))
	}
	return cli.Age(x.Ended.Sub(x.Started))
}
