package system

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/detached"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/faults"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// offline is the address of no cluster, for what is only planned.
func offline() *rest.Config { return &rest.Config{Host: "http://127.0.0.1:0"} }

// printKubeStatus prints the services of a system on a cluster.
func printKubeStatus(streams cli.Streams, output string, status *cluster.Status) error {
	if output == "json" || output == "yaml" {
		return cli.PrintObject(streams.Out, output, status)
	}
	var rows [][]string
	for i := range status.Services {
		s := &status.Services[i]
		ready, restarts := countReady(s.Replicas)
		row := []string{s.Name, s.Endpoint, string(s.Kind), fmt.Sprintf("%d/%d", ready, s.Want), fmt.Sprint(restarts), strings.Join(s.Calls, ",")}
		if output == "wide" {
			row = append(row, s.Image)
		}
		rows = append(rows, row)
	}
	titles := []string{"NAME", "ENDPOINT", "KIND", "READY", "RESTARTS", "CALLS"}
	if output == "wide" {
		titles = append(titles, "IMAGE")
	}
	if err := cli.PrintTable(streams.Out, titles, rows); err != nil {
		return err
	}
	for i := range status.Services {
		if s := &status.Services[i]; s.Trouble != "" {
			fmt.Fprintf(streams.Err, "service/%s not ready: %s\n", s.Name, s.Trouble)
		}
	}
	if len(status.Faults) > 0 {
		fmt.Fprintln(streams.Out)
		return faults.Print(streams, status.Faults)
	}
	return nil
}

func countReady(replicas []runner.Replica) (ready, restarts int) {
	for _, r := range replicas {
		if r.State == runner.Ready {
			ready++
		}
		restarts += r.Restarts
	}
	return ready, restarts
}

// kubeStatus shows one system on a cluster, or all there are.
func kubeStatus(ctx context.Context, streams cli.Streams, at *target.Target, args []string, output string) error {
	c, err := at.Kube.Cluster(ctx, at.On, streams, false)
	if err != nil {
		return err
	}
	if len(args) == 1 {
		if shown, err := kubeExperimentStatus(ctx, streams, c, args[0], output); shown || err != nil {
			return cli.Cause(ctx, err)
		}
		d, err := c.Find(ctx, args[0])
		if err != nil {
			return cli.Cause(ctx, err)
		}
		status, err := d.Status(ctx)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		return printKubeStatus(streams, output, status)
	}
	return listKubeSystems(ctx, streams, c, output)
}

// kubeRow is one system on a cluster in a list of them.
type kubeRow struct {
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Services  int       `json:"services"`
	Ready     string    `json:"ready"`
	State     string    `json:"state"`
	Created   time.Time `json:"created"`
}

// listKubeSystems lists the systems on a cluster, and the experiments.
func listKubeSystems(ctx context.Context, streams cli.Streams, c *cluster.Cluster, output string) error {
	rows, err := kubeRows(ctx, c)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	experiments, err := detached.List(ctx, c.Client)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if output == "json" || output == "yaml" {
		items := []any{}
		for _, r := range rows {
			items = append(items, r)
		}
		for _, x := range experiments {
			items = append(items, experimentStatus{Kind: "Experiment", Experiment: x})
		}
		return cli.PrintObject(streams.Out, output, cli.AsList(items))
	}
	var table [][]string
	for _, r := range rows {
		table = append(table, []string{r.Namespace, r.Name, fmt.Sprint(r.Services), r.Ready, r.State, cli.Age(time.Since(r.Created))})
	}
	switch {
	case len(rows) > 0:
		err = cli.PrintTable(streams.Out, []string{"NAMESPACE", "NAME", "SERVICES", "READY", "STATE", "AGE"}, table)
	case len(experiments) == 0:
		fmt.Fprintln(streams.Err, "No systems run on this cluster.")
	}
	if err != nil || len(experiments) == 0 {
		return err
	}
	if len(rows) > 0 {
		fmt.Fprintln(streams.Out)
	}
	return printExperiments(streams, experiments)
}

func kubeRows(ctx context.Context, c *cluster.Cluster) ([]kubeRow, error) {
	systems, err := c.Systems(ctx)
	if err != nil {
		return nil, err
	}
	rows := []kubeRow{}
	for _, d := range systems {
		status, err := d.Status(ctx)
		if err != nil {
			return nil, err
		}
		row := kubeRow{Kind: "System", Namespace: status.Namespace, Name: status.Name, Services: len(status.Services), State: "running", Created: status.Created}
		ready, want := 0, 0
		for i := range status.Services {
			r, _ := countReady(status.Services[i].Replicas)
			ready, want = ready+r, want+status.Services[i].Want
			if status.Services[i].Trouble != "" {
				row.State = "troubled"
			}
		}
		row.Ready = fmt.Sprintf("%d/%d", ready, want)
		rows = append(rows, row)
	}
	return rows, nil
}

// kubeDown takes systems on a cluster down. With all, they are every system in
// the namespaces that the flags mean.
func kubeDown(ctx context.Context, streams cli.Streams, at *target.Target, names []string, all, ignoreNotFound bool) error {
	c, err := at.Kube.Cluster(ctx, at.On, streams, false)
	if err != nil {
		return err
	}
	var failed error
	if all {
		experiments, err := detached.List(ctx, c.Client)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		failed = deleteExperiments(ctx, streams, c, experiments)
		systems, err := c.Systems(ctx)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		for _, d := range systems {
			name, err := d.System().Name, d.Close(ctx)
			if err == nil {
				fmt.Fprintf(streams.Out, "system/%s deleted\n", name)
			}
			failed = errors.Join(failed, err)
		}
	}
	for _, name := range names {
		ended, err := downExperiments(ctx, streams, c, name)
		if err == nil {
			err = c.Down(ctx, name)
		}
		var missing *cluster.NotFoundError
		if errors.As(err, &missing) && (ended || ignoreNotFound) {
			continue
		}
		if err == nil {
			fmt.Fprintf(streams.Out, "system/%s deleted\n", name)
		}
		failed = errors.Join(failed, err)
	}
	return cli.Cause(ctx, failed)
}
