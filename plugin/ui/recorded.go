package ui

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/webui"
)

// readRecord reads what `run --out` has written.
func readRecord(dir string) (*webui.Record, error) {
	res, err := record.ReadResult(dir)
	if err != nil {
		return nil, err
	}
	rec := &webui.Record{Result: res}
	path := filepath.Join(dir, inputsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("there is no %s, which says what was run", inputsFile)
		}
		return nil, fmt.Errorf("reading the record in %q: %w", dir, err)
	}
	docs, err := spec.Read(path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	e, err := docs.Experiment()
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	rec.Text, rec.System = string(text), &e.System
	if logs := filepath.Join(dir, record.LogsFile); isFile(logs) {
		rec.Log = recordedLog(logs)
	}
	return rec, errors.Join(readTimeline(dir, rec), readEdges(dir, rec), readTraces(dir, rec))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// readTraces adds the traces, if the run kept any.
func readTraces(dir string, rec *webui.Record) error {
	path := filepath.Join(dir, record.TracesFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the record in %q: %w", dir, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	kept := &requests{store: trace.NewStore(nil), rootless: rec.Result.Target == webui.OnKind || rec.Result.Target == webui.OnCluster}
	if err := trace.ReadOTLP(f, kept.store.Add); err != nil {
		return fmt.Errorf("reading %q: %w; without this file, the run is shown without its single requests", path, err)
	}
	if t := rec.Result.Traces; t != nil {
		kept.share = t.Sample
		kept.store.Lose(t.Lost)
	}
	rec.Requests = kept
	return nil
}

func readTimeline(dir string, rec *webui.Record) error {
	return record.ReadRows(dir, record.TimelineFile, func(r *record.Row) {
		at, p50, p99 := r.Number("elapsed_s"), r.Number("latency_p50_s"), r.Number("latency_p99_s")
		rate, errorShare := r.Number("rate_per_s"), share(r.Number("errors"), r.Number("requests"))
		if r.Text("kind") == "client" {
			rec.Clients = append(rec.Clients, webui.ClientRow{At: at, Rate: rate, Goodput: r.Number("goodput_per_s"), ErrorShare: errorShare, P50: p50, P99: p99})
			return
		}
		rec.Services = append(rec.Services, webui.ServiceRow{
			At: at, Seconds: r.Number("interval_s"), Service: r.Text("service"), Rate: rate, ErrorShare: errorShare, P50: p50, P99: p99,
			Queue: r.Number("queue_length"), InFlight: r.Number("in_flight"), Up: r.Number("replicas_up"), Replicas: r.Number("replicas"),
		})
	})
}

// readEdges adds the rows of edges to those of their callers.
func readEdges(dir string, rec *webui.Record) error {
	type place struct {
		at      float64
		service string
	}
	rows := map[place]int{}
	for i := range rec.Services {
		rows[place{rec.Services[i].At, rec.Services[i].Service}] = i
	}
	breakers := map[string]float64{"": math.NaN()}
	for _, s := range []policy.BreakerState{policy.Closed, policy.HalfOpen, policy.Open} {
		breakers[s.String()] = float64(s)
	}
	return record.ReadRows(dir, record.EdgesFile, func(r *record.Row) {
		i, known := rows[place{r.Number("elapsed_s"), r.Text("caller")}]
		if !known {
			return
		}
		rec.Services[i].Edges = append(rec.Services[i].Edges, webui.EdgeRow{
			Callee: r.Text("callee"), Rate: r.Number("rate_per_s"), ErrorShare: share(r.Number("errors"), r.Number("calls")),
			P50: r.Number("latency_p50_s"), P99: r.Number("latency_p99_s"), Breaker: breakers[r.Text("breaker")], Sent: r.Number("attempts") / r.Number("interval_s"),
		})
	})
}

// share is NaN of nothing, and of what is not known.
func share(n, of float64) float64 {
	if of == 0 {
		return math.NaN()
	}
	return n / of
}
