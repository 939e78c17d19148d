package export

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// petshopFormat is the layout of PetShop (Hardt and others, The PetShop Dataset:
// Finding Causes of Performance Issues across Microservices, 2024). Its reader,
// load_scenario, takes every directory below train and test.
func petshopFormat() Format {
	return Format{
		Name:   "petshop",
		Layout: "SET/graph.csv, SET/noissue/metrics.csv, SET/test/CASE/{metrics.csv, target.json}; normal cases in SET/normal/CASE",
		Doc:    "metrics.csv has three header rows (microservice, metric, statistic) and the index unix_timestamp; latency in seconds, requests per step, availability in percent; noissue is the first normal case; graph.csv has 1 in the row of a caller and the column of a callee; train is empty",
		check: func(c *Case) error {
			if c.Normal() {
				return nil
			}
			_, err := c.cause()
			return err
		},
		place: func(c *Case) string {
			if c.Normal() {
				return path.Join(c.Set, "normal", c.Name)
			}
			return path.Join(c.Set, "test", c.Name)
		},
		write:  writePetShop,
		finish: finishPetShop,
	}
}

// A petshopColumn is a column with its three headers.
type petshopColumn struct {
	service, metric, statistic string
	values                     []float64
}

func writePetShop(c *Case, dir string) error {
	columns := c.petshopColumns()
	err := writeFile(filepath.Join(dir, "metrics.csv"), func(w *bufio.Writer) {
		for _, h := range []struct {
			name string
			of   func(*petshopColumn) string
		}{
			{"microservice", func(p *petshopColumn) string { return p.service }},
			{"metric", func(p *petshopColumn) string { return p.metric }},
			{"statistic", func(p *petshopColumn) string { return p.statistic }},
		} {
			_, _ = w.WriteString(h.name)
			for i := range columns {
				_, _ = w.WriteString("," + h.of(&columns[i]))
			}
			_ = w.WriteByte('\n')
		}
		// The row with the name of the index.
		_, _ = w.WriteString("unix_timestamp")
		for range columns {
			_ = w.WriteByte(',')
		}
		_ = w.WriteByte('\n')
		var row []byte
		for step := range c.Grid.Steps {
			row = fmt.Append(row[:0], c.Grid.Time(step))
			for i := range columns {
				row = appendNumber(append(row, ','), columns[i].values[step])
			}
			_, _ = w.Write(append(row, '\n'))
		}
	})
	if err != nil || c.Normal() {
		return err
	}
	target, err := c.petshopTarget()
	if err != nil {
		return err
	}
	text, err := json.Marshal(target)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "target.json"), func(w *bufio.Writer) { _, _ = w.Write(append(text, '\n')) })
}

// petshopColumns are the figures that PetShop has, in an order that gives no answer
// away.
func (c *Case) petshopColumns() []petshopColumn {
	t := NewTable(c.Run, c.Grid, metrics("latency-mean", "latency-50", "latency-90", "latency-95", "latency-99", "workload", "error")...)
	byName := map[string]map[string][]float64{}
	for i := range t.Columns {
		col := &t.Columns[i]
		if byName[col.Service] == nil {
			byName[col.Service] = map[string][]float64{}
		}
		byName[col.Service][col.Metric.Name] = col.Values
	}
	var columns []petshopColumn
	step := c.Grid.Step.Seconds()
	for _, col := range c.shuffled(t.Columns) {
		service := plainName(col.Service)
		switch col.Metric.Name {
		case "workload":
			requests := make([]float64, len(col.Values))
			for i, rate := range col.Values {
				requests[i] = rate * step
			}
			columns = append(columns, petshopColumn{service, "requests", "Sum", requests})
		case "error":
			available := make([]float64, len(col.Values))
			for i, errors := range col.Values {
				available[i] = unknown()
				if rate := byName[col.Service]["workload"][i]; isKnown(rate) && isKnown(errors) && rate > 0 {
					available[i] = 100 * (1 - errors/rate)
				}
			}
			columns = append(columns, petshopColumn{service, "availability", "Average", available})
		default:
			columns = append(columns, petshopColumn{service, "latency", map[string]string{
				"latency-mean": "Average", "latency-50": "p50", "latency-90": "p90", "latency-95": "p95", "latency-99": "p99",
			}[col.Metric.Name], col.Values})
		}
	}
	return columns
}

type (
	petshopAnswer struct {
		Target    petshopSeen  `json:"target"`
		RootCause petshopCause `json:"root_cause"`
		Metadata  any          `json:"metadata"`
	}
	// petshopSeen is where and when the trouble is seen.
	petshopSeen struct {
		Node      string `json:"node"`
		Metric    string `json:"metric"`
		Agg       string `json:"agg"`
		Timestamp int64  `json:"timestamp"`
	}
	petshopCause struct {
		Node   string  `json:"node"`
		Metric *string `json:"metric"`
	}
)

// petshopTarget says at which entrance of the system the fault is to be explained:
// of those from which its service is reached, the one with the most requests.
func (c *Case) petshopTarget() (petshopAnswer, error) {
	l, err := c.cause()
	if err != nil {
		return petshopAnswer{}, err
	}
	seen := petshopSeen{Node: plainName(c.entranceOf(l.Service)), Metric: "latency", Agg: "Average"}
	if e := l.Impact.Effect("errors"); e != nil && e.Seen {
		seen.Metric = "availability"
	}
	// The first step that the fault acts in as a whole, or the last there is.
	step := int(math.Ceil(float64(l.InjectTime-c.Grid.Start) / c.Grid.Step.Seconds()))
	seen.Timestamp = c.Grid.Time(min(max(step, 0), c.Grid.Steps-1))
	var metric *string
	switch l.Metric {
	case "error":
		metric = maybe("availability")
	case "latency-90":
		metric = maybe("latency")
	}
	metadata := map[string]any{}
	if command := c.Run.Result.Command; command != "" {
		metadata["reproducibility"] = map[string]string{"command": command}
	}
	return petshopAnswer{Target: seen, RootCause: petshopCause{plainName(l.Service), metric}, Metadata: metadata}, nil
}

// callersOf lists a service and those that call it, directly or not, the nearest
// first.
func (c *Case) callersOf(service string) []string {
	graph := c.Run.Graph()
	reached := []string{service}
	for i := 0; i < len(reached); i++ {
		for _, e := range graph {
			if e.Callee == reached[i] && !slices.Contains(reached, e.Caller) {
				reached = append(reached, e.Caller)
			}
		}
	}
	return reached
}

// entranceOf is the service at which requests come in that reach a service.
func (c *Case) entranceOf(service string) string {
	requests := map[string]float64{}
	for i := range c.Run.services {
		if r := &c.Run.services[i]; isKnown(r.requests) {
			requests[r.service] += r.requests
		}
	}
	best := service
	found := false
	for _, name := range c.callersOf(service) {
		if slices.ContainsFunc(c.Run.Graph(), func(e Edge) bool { return e.Callee == name }) {
			continue
		}
		if !found || requests[name] > requests[best] {
			best, found = name, true
		}
	}
	return best
}

// finishPetShop writes the graph, and takes the first normal case for noissue.
func finishPetShop(s *Set, dir string) error {
	m := s.manifest(0, nil)
	set := path.Join(dir, plainName(s.name))
	if err := os.MkdirAll(filepath.Join(s.dir, filepath.FromSlash(set), "train"), 0o755); err != nil {
		return err
	}
	var failed error
	if err := s.put(path.Join(set, "graph.csv"), func(w *bufio.Writer) { failed = writeGraph(w, m.Services, m.Graph) }); err != nil || failed != nil {
		return fmt.Errorf("graph.csv: %w", cmp.Or(failed, err))
	}
	for _, r := range s.sorted() {
		if r.Labels[0].Fault != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(set), "normal", r.Case, "metrics.csv"))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(s.dir, filepath.FromSlash(set), "noissue"), 0o755); err != nil {
			return err
		}
		return s.put(path.Join(set, "noissue", "metrics.csv"), func(w *bufio.Writer) { _, _ = w.Write(text) })
	}
	return nil
}
