package dataset

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/observe/export"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

const killed = `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: killed
system:
  services:
    - name: web
      calls: [{to: db, onError: ignore}]
    - name: db
      work: {sleep: {lognormal: {p50: 5ms, p99: 20ms}}}
load: {rate: 40, arrivals: poisson, duration: 30s}
faults:
  - {type: pause, target: db, start: 10s, duration: 5s}
`

func playKilled(t *testing.T, observe ...runner.Observer) (*result.Result, experiment.Experiment) {
	t.Helper()
	docs, err := spec.Read("killed.yaml", strings.NewReader(killed))
	if err != nil {
		t.Fatal(err)
	}
	e, err := docs.Experiment()
	if err != nil {
		t.Fatal(err)
	}
	res, err := virtual.Run(t.Context(), *e, virtual.Options{Observer: func(event runner.Event) {
		for _, o := range observe {
			o(event)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return res, *e
}

// Figures of data sets equal those of result.json, whether they are exported during
// the run or from its directory.
func TestExportedFiguresAreThoseOfTheResult(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	recorder, err := record.New(record.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var live export.Recorder
	res, _ := playKilled(t, recorder.Observe, live.Observe)
	if err := recorder.Finish(res); err != nil {
		t.Fatal(err)
	}
	read, err := export.Read(dir, "read")
	if err != nil {
		t.Fatal(err)
	}
	formats, err := export.FindFormats("csv")
	if err != nil {
		t.Fatal(err)
	}
	var whole *result.Segment
	for i := range res.Segments {
		if res.Segments[i].Kind == result.WholeRun {
			whole = &res.Segments[i]
		}
	}
	written := map[string]string{}
	for name, run := range map[string]*export.Run{"live": live.Finish("live", res), "read": read} {
		out := t.TempDir()
		set, err := export.OpenSet(out, "set", formats, time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		c, err := export.NewCase(run, "case-0001", "set", time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := set.Add(c); err != nil {
			t.Fatal(err)
		}
		table := sums(t, filepath.Join(out, "csv", "case-0001", "metrics.csv"))
		for _, s := range whole.Services {
			near(t, name+": requests of "+s.Service, table[s.Service+"_workload"], float64(s.Requests))
			near(t, name+": errors of "+s.Service, table[s.Service+"_error"], float64(s.Errors))
			near(t, name+": processor seconds of "+s.Service, table[s.Service+"_cpu"], *s.CPUCores*s.Seconds)
		}
		clients := sums(t, filepath.Join(out, "csv", "case-0001", "clients.csv"))
		near(t, name+": requests", clients["requests"], float64(whole.Clients.Requests))
		near(t, name+": errors", clients["errors"], float64(whole.Clients.Errors))
		near(t, name+": ended", clients["ended"], float64(whole.Clients.Ended))
		edges := sums(t, filepath.Join(out, "csv", "case-0001", "edges.csv"))
		near(t, name+": calls", edges["calls"], float64(whole.Edges[0].Calls))
		label := c.Labels[0]
		if f := res.Faults[0]; label.Effective.From != f.From || label.Asked.To != f.AskedTo || label.Hits != f.Hits || !label.Effective.Start.Equal(f.AppliedAt) {
			t.Errorf("%s: the label %+v is not the fault %+v", name, label, f)
		}
		if label.Impact.Verdict != export.Effective {
			t.Errorf("%s: the impact is %+v", name, label.Impact)
		}
		text, err := os.ReadFile(filepath.Join(out, "csv", "case-0001", "metrics.csv"))
		if err != nil {
			t.Fatal(err)
		}
		written[name] = string(text)
	}
	if written["live"] != written["read"] {
		t.Error("the table that was made while the run went on is not that of its files")
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) {
		t.Errorf("%s: %v is exported, the result has %v", what, got, want)
	}
}

// sums are those of the columns of a table.
func sums(t *testing.T, path string) map[string]float64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string]float64{}
	for _, row := range rows[1:] {
		for i, cell := range row {
			v, err := strconv.ParseFloat(cell, 64)
			if err == nil {
				sum[rows[0][i]] += v
			}
		}
	}
	return sum
}
