package export

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// The tables read back have every known figure once, and no row for others.
func TestParquetHasWhatIsKnown(t *testing.T) {
	c := normalCase(t, "case-0001", "web", "db_1")
	c.Run.clients = []clientRow{{span: span{1, 1}, requests: 5, offered: 5, ended: 4, good: 3, latencies: noLatencies()}}
	dir := t.TempDir()
	if err := writeParquet(c, dir); err != nil {
		t.Fatal(err)
	}
	rows, err := parquet.ReadFile[metricPoint](filepath.Join(dir, "metrics.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, r := range rows {
		sums[r.Service+"_"+r.Metric] += r.Value
		if r.Time.Before(time.Unix(c.Grid.Start, 0)) || !r.Time.Before(time.Unix(c.Grid.Start+4, 0)) {
			t.Errorf("a row is of %s", r.Time)
		}
	}
	if sums["web_workload"] != 20 || sums["db-1_cpu"] != 2 {
		t.Errorf("the sums are %v", sums)
	}
	for _, name := range []string{"web_network-in", "web_latency-50"} {
		if _, ok := sums[name]; ok {
			t.Errorf("%s is unknown, and has rows", name)
		}
	}
	edges, err := parquet.ReadFile[edgePoint](filepath.Join(dir, "edges.parquet"))
	if err != nil || len(edges) != 3 || edges[0].Callee != "db-1" || edges[0].Metric != "calls" || edges[0].Value != 3 {
		t.Errorf("the edges are %v, %v", edges, err)
	}
	clients, err := parquet.ReadFile[clientPoint](filepath.Join(dir, "clients.parquet"))
	if err != nil || len(clients) != 6 || clients[5].Metric != "goodput" || clients[5].Value != 3 {
		t.Errorf("the clients are %v, %v", clients, err)
	}
}
