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

// offline returns the configuration of a cluster that does not exist, for plans,
// which send no request.
func offline() *rest.Config { return &rest.Config{Host: "http://127.0.0.1:0"} }

// printKubeStatus prints the services of a system on a cluster.
func printKubeStatus(streams cli.Streams, output *cli.Output, status *cluster.Status) error {
	switch {
	case output.Names():
		var names []string
		for i := range status.Services {
			names = append(names, status.Services[i].Name)
		}
		return cli.PrintNames(streams.Out, "service", names)
	case output.Machine():
		return output.Object(streams.Out, status)
	}
	var rows [][]string
	for i := range status.Services {
		s := &status.Services[i]
		ready, restarts := countReady(s.Replicas)
		row := []string{s.Name, s.Endpoint, kubeKind(s), fmt.Sprintf("%d/%d", ready, s.Want), fmt.Sprint(restarts), strings.Join(s.Calls, ",")}
		if output.Wide() {
			row = append(row, s.Image)
		}
		rows = append(rows, row)
	}
	titles := []string{"NAME", "ENDPOINT", "KIND", "READY", "RESTARTS", "CALLS"}
	if output.Wide() {
		titles = append(titles, "IMAGE")
	}
	if err := output.Table(streams.Out, titles, rows); err != nil {
		return err
	}
	for i := range status.Services {
		if s := &status.Services[i]; s.Trouble != "" {
			fmt.Fprintf(streams.Err, "service/%s not ready: %s\n", s.Name, s.Trouble)
		}
	}
	if len(status.Faults) > 0 {
		fmt.Fprintln(streams.Out)
		return faults.Print(streams, output, status.Faults)
	}
	return nil
}

// kubeKind returns the cell KIND of a service on a cluster.
func kubeKind(s *cluster.ServiceStatus) string {
	switch {
	case s.URL != "":
		return "url"
	case s.Own:
		return "image"
	case s.Runtime != "":
		return "runtime " + string(s.Runtime)
	case s.Engine != "":
		return string(s.Kind) + " " + string(s.Engine)
	}
	return string(s.Kind)
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

// kubeStatus shows one system on a cluster, or all systems.
func kubeStatus(ctx context.Context, streams cli.Streams, at *target.Target, args []string, output *cli.Output) error {
	c, err := at.Cluster(ctx, streams)
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
func listKubeSystems(ctx context.Context, streams cli.Streams, c *cluster.Cluster, output *cli.Output) error {
	rows, err := kubeRows(ctx, c)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	experiments, err := detached.List(ctx, c.Client)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if output.Names() {
		var names []string
		for _, r := range rows {
			names = append(names, r.Name)
		}
		var runs []string
		for _, x := range experiments {
			runs = append(runs, x.Name)
		}
		return errors.Join(cli.PrintNames(streams.Out, "system", names), cli.PrintNames(streams.Out, "experiment", runs))
	}
	if output.Machine() {
		items := []any{}
		for _, r := range rows {
			items = append(items, r)
		}
		for _, x := range experiments {
			items = append(items, experimentStatus{Kind: "Experiment", Experiment: x})
		}
		return output.Object(streams.Out, cli.AsList(items))
	}
	var table [][]string
	for _, r := range rows {
		table = append(table, []string{r.Namespace, r.Name, fmt.Sprint(r.Services), r.Ready, r.State, cli.Age(time.Since(r.Created))})
	}
	switch {
	case len(rows) > 0:
		err = output.Table(streams.Out, []string{"NAMESPACE", "NAME", "SERVICES", "READY", "STATE", "AGE"}, table)
	case len(experiments) == 0:
		fmt.Fprintln(streams.Err, "No systems run on this cluster.")
	}
	if err != nil || len(experiments) == 0 {
		return err
	}
	if len(rows) > 0 {
		fmt.Fprintln(streams.Out)
	}
	return printExperiments(streams, output, experiments)
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

// onKubernetes takes systems on a cluster down; with --all, every system in the
// namespaces that the flags mean.
func (o *downOptions) onKubernetes(ctx context.Context, names []string) error {
	c, err := o.target.Cluster(ctx, o.streams)
	if err != nil {
		return err
	}
	var failed error
	if o.all {
		experiments, err := detached.List(ctx, c.Client)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		failed = o.deleteExperiments(ctx, c, experiments)
		systems, err := c.Systems(ctx)
		if err != nil {
			return cli.Cause(ctx, errors.Join(failed, err))
		}
		for _, d := range systems {
			name, err := d.System().Name, d.Close(ctx)
			if err == nil {
				o.deleted("system", name)
			}
			failed = errors.Join(failed, err)
		}
	}
	for _, name := range names {
		failed = errors.Join(failed, o.endOnCluster(ctx, c, name))
	}
	return cli.Cause(ctx, failed)
}

// endOnCluster takes down the system of a name, and the experiments that have that
// name or run on that system.
func (o *downOptions) endOnCluster(ctx context.Context, c *cluster.Cluster, name string) error {
	experiments, err := detached.ListOn(ctx, c.Client, name)
	if err != nil {
		return err
	}
	if err := o.deleteExperiments(ctx, c, experiments); err != nil {
		return err
	}
	err = c.Down(ctx, name)
	if missing := (*cluster.NotFoundError)(nil); errors.As(err, &missing) && (len(experiments) > 0 || o.ignoreNotFound) {
		return nil
	}
	if err == nil {
		o.deleted("system", name)
	}
	return err
}

func (o *downOptions) deleteExperiments(ctx context.Context, c *cluster.Cluster, all []*detached.Experiment) (failed error) {
	for _, x := range all {
		err := detached.Delete(ctx, c.Client, x)
		if err == nil {
			o.deleted("experiment", x.Name)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}
