package federation

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"

	"github.com/microsim-dev/kubectl-microsim/observe/monitor"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Up is, on the page of all replicas, 1 for each that answered and 0 for the others.
const Up = "microsim_up"

// atOnce bounds the requests to replicas that are under way.
const atOnce = 32

// all answers with the metrics of all replicas, each with its labels.
func (d *Door) all(w http.ResponseWriter, r *http.Request) error {
	replicas, err := d.list(r.Context())
	if err != nil {
		return err
	}
	pages := d.scrapeAll(r.Context(), replicas)
	joined := map[string]*dto.MetricFamily{}
	up := &dto.MetricFamily{Name: proto.String(Up), Help: proto.String("Whether the replica answered."), Type: dto.MetricType_GAUGE.Enum()}
	joined[Up] = up
	for i := range replicas {
		labels := labelsOf(d.config.System, &replicas[i])
		value := 0.0
		if pages[i] != nil {
			value = 1
		}
		up.Metric = append(up.Metric, &dto.Metric{Label: labels, Gauge: &dto.Gauge{Value: &value}})
		for name, family := range pages[i] {
			into := joined[name]
			if into == nil {
				into = &dto.MetricFamily{Name: family.Name, Help: family.Help, Type: family.Type}
				joined[name] = into
			}
			for _, m := range family.Metric {
				m.Label = withLabels(m.Label, labels)
				into.Metric = append(into.Metric, m)
			}
		}
	}
	return write(w, joined)
}

// write answers with families in the order of their names.
func write(w http.ResponseWriter, families map[string]*dto.MetricFamily) error {
	var page bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	encoder := expfmt.NewEncoder(&page, format)
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if len(families[name].Metric) == 0 {
			continue // the format has no word for a family without series
		}
		if err := encoder.Encode(families[name]); err != nil {
			return &statusError{http.StatusInternalServerError, fmt.Errorf("writing %s: %w", name, err)}
		}
	}
	w.Header().Set("Content-Type", string(format))
	_, _ = w.Write(page.Bytes()) // the client may have gone
	return nil
}

// scrapeAll reads the pages of all replicas; that of one that does not answer, or not
// with metrics, is nil.
func (d *Door) scrapeAll(ctx context.Context, replicas []runner.Replica) []map[string]*dto.MetricFamily {
	pages := make([]map[string]*dto.MetricFamily, len(replicas))
	slots := make(chan struct{}, atOnce)
	var scrapes sync.WaitGroup
	for i := range replicas {
		slots <- struct{}{}
		scrapes.Go(func() {
			defer func() { <-slots }()
			text, _, err := d.scrape(ctx, &replicas[i])
			if err != nil {
				return
			}
			parser := expfmt.NewTextParser(model.LegacyValidation)
			if page, err := parser.TextToMetricFamilies(bytes.NewReader(text)); err == nil {
				pages[i] = page
			}
		})
	}
	scrapes.Wait()
	return pages
}

func label(name, value string) *dto.LabelPair {
	return &dto.LabelPair{Name: proto.String(name), Value: proto.String(value)}
}

func labelsOf(system string, r *runner.Replica) []*dto.LabelPair {
	return []*dto.LabelPair{
		label(monitor.LabelReplica, strconv.Itoa(r.Index)), label(monitor.LabelService, r.Service), label(monitor.LabelSystem, system),
	}
}

// withLabels are labels with more in place of those of the same name.
func withLabels(labels, more []*dto.LabelPair) []*dto.LabelPair {
	kept := slices.DeleteFunc(labels, func(l *dto.LabelPair) bool {
		return slices.ContainsFunc(more, func(m *dto.LabelPair) bool { return m.GetName() == l.GetName() })
	})
	return append(kept, more...)
}

// faults answers with a series for each fault that acts.
func (d *Door) faults(w http.ResponseWriter, r *http.Request) error {
	if d.config.Faults == nil {
		return &statusError{http.StatusNotFound, fmt.Errorf("the faults on system %q are not known here", d.config.System)}
	}
	acting, err := d.config.Faults(r.Context())
	if err != nil {
		return err
	}
	family := &dto.MetricFamily{Name: proto.String(monitor.FaultActs), Help: proto.String("Faults that act now."), Type: dto.MetricType_GAUGE.Enum()}
	for i := range acting {
		family.Metric = append(family.Metric, &dto.Metric{
			Label: []*dto.LabelPair{
				label("id", acting[i].ID), label(monitor.LabelSystem, d.config.System),
				label("target", acting[i].Fault.Target.String()), label("type", string(acting[i].Fault.Type)),
			},
			Gauge: &dto.Gauge{Value: proto.Float64(1)},
		})
	}
	return write(w, map[string]*dto.MetricFamily{monitor.FaultActs: family})
}
