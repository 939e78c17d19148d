package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/observe/monitor"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// onCluster has the operator of Prometheus, and Grafana, watch a system on a cluster.
func (o *options) onCluster(ctx context.Context, name string) error {
	c, err := o.target.Cluster(ctx, o.streams, func(c *kubeapi.Config) { c.ForceConflicts = o.force })
	if err != nil {
		return err
	}
	d, err := c.Find(ctx, name)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	m, err := o.monitoring(d.System())
	if err != nil {
		return err
	}
	if o.dryRun {
		return printObjects(o.streams.Out, d.PlanMonitoring(m))
	}
	objects, err := d.Monitor(ctx, m)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	for _, object := range objects {
		fmt.Fprintf(o.streams.Out, "%s/%s applied\n", strings.ToLower(object.GetKind()), object.GetName())
	}
	fmt.Fprintf(o.streams.Err, "'%s' removes them with the system.\n", o.target.Command("down", d.System().Name))
	return nil
}

// monitoring is what is applied, made from the system.
func (o *options) monitoring(system *topology.System) (manifest.Monitoring, error) {
	m := manifest.Monitoring{Interval: monitor.Span(o.interval.Std()), Labels: o.labels, Dashboards: map[string]string{}}
	for _, d := range monitor.Dashboards(system, o.watch()) {
		text, err := d.JSON()
		if err != nil {
			return m, err
		}
		m.Dashboards[d.FileName()] = string(text)
	}
	// Objects consist of maps and lists, and of nothing else.
	text, err := json.Marshal(monitor.RulesOf(system, o.watch()).Groups)
	if err == nil {
		err = json.Unmarshal(text, &m.Groups)
	}
	if err != nil {
		return m, fmt.Errorf("writing the rules of system %q: %w", system.Name, err)
	}
	return m, nil
}

// printObjects prints objects as documents that kubectl takes.
func printObjects(w io.Writer, objects []*unstructured.Unstructured) error {
	for i, object := range objects {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}
