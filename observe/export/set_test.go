package export

import (
	"bufio"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

func normalCase(t *testing.T, name string, services ...string) *Case {
	t.Helper()
	var rows []serviceRow
	for i := range 4 {
		for _, s := range services {
			rows = append(rows, serviceRow{span: span{float64(i + 1), 1}, service: s, up: 1, requests: 5, cpu: 0.5, latencies: noLatencies(), netIn: unknown(), netOut: unknown()})
		}
	}
	run := runOf(rows...)
	run.Result.Name, run.Result.Kind = "normal", result.ResultKind
	run.edges = []edgeRow{{span: span{1, 1}, caller: services[0], callee: services[1], calls: 3, latencies: noLatencies()}}
	c, err := NewCase(run, name, "my_set", time.Second, 1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An interrupted export resumes: finished cases stay, half-written ones are gone.
func TestASetHoldsNoHalfCase(t *testing.T) {
	dir := t.TempDir()
	formats, err := FindFormats("csv", "rcaeval")
	if err != nil {
		t.Fatal(err)
	}
	open := func() *Set {
		s, err := OpenSet(dir, "my_set", formats, time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := open().Add(normalCase(t, "case-0001", "web", "db_1")); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"csv/case-0002/metrics.csv", ".partial-77/csv/metrics.csv", "rcaeval/my-set/web_cpu/case-0003/data.csv", "cases/.partial-case-0002.json"} {
		path := filepath.Join(dir, filepath.FromSlash(left))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	s := open()
	if !s.Has("case-0001") || s.Has("case-0002") || s.Done() != 1 {
		t.Errorf("%d cases are done", s.Done())
	}
	if err := s.Add(normalCase(t, "case-0002", "web", "db_1")); err != nil {
		t.Fatal(err)
	}
	m, err := s.Finish(3, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.Cases != 2 || m.Normal != 2 || m.Complete || !slices.Equal(m.Graph, []Edge{{"web", "db_1"}}) {
		t.Errorf("the manifest is %+v", m)
	}
	var files []string
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"cases/case-0001.json", "cases/case-0002.json",
		"csv/case-0001/clients.csv", "csv/case-0001/edges.csv", "csv/case-0001/labels.csv", "csv/case-0001/metrics.csv",
		"csv/case-0002/clients.csv", "csv/case-0002/edges.csv", "csv/case-0002/labels.csv", "csv/case-0002/metrics.csv",
		"graph.csv", "labels.csv", "labels.jsonl", "manifest.json",
		"rcaeval/my-set-normal/case-0001/data.csv", "rcaeval/my-set-normal/case-0002/data.csv",
	}
	if !slices.Equal(files, want) {
		t.Errorf("the files are %q", files)
	}
}

// Readers split columns at the underscore; the order of columns is the seed's.
func TestColumns(t *testing.T) {
	c := normalCase(t, "case-0001", "web", "db_1", "api", "auth")
	header := func(c *Case) []string {
		path := filepath.Join(t.TempDir(), "data.csv")
		table := NewTable(c.Run, c.Grid, rcaevalMetrics()...)
		if err := writeWide(path, c.Grid, c.shuffled(table.Columns)); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		rows, err := csv.NewReader(bufio.NewReader(f)).ReadAll()
		if err != nil || len(rows) != 5 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		return rows[0]
	}
	first := header(c)
	if first[0] != "time" || !slices.Contains(first, "db-1_cpu") {
		t.Errorf("the columns are %q", first)
	}
	for _, name := range first[1:] {
		if strings.Count(name, "_") != 1 {
			t.Errorf("%q does not split into a service and a metric", name)
		}
	}
	if !slices.Equal(first, header(c)) {
		t.Error("the same seed gives another order")
	}
	other := *c
	other.Name = "case-0002"
	if slices.Equal(first, header(&other)) {
		t.Error("two cases have one order")
	}
	clash := *c
	clash.Run = runOf(serviceRow{service: "a-b"}, serviceRow{service: "a_b"})
	if clash.checkNames() == nil {
		t.Error("two services may have one name")
	}
}

func TestRunsThatAreNotWhole(t *testing.T) {
	for name, r := range map[string]*result.Result{
		"cut off": {Incomplete: true, Why: "interrupted", LoadStarted: time.Now()},
		"aborted": {Aborted: &result.Abort{Why: "errors"}, LoadStarted: time.Now()},
		"began":   {},
	} {
		if _, err := NewCase(&Run{Result: r}, "case-0001", "s", time.Second, 1); err == nil {
			t.Errorf("a run that did not end well is taken: %s", name)
		}
	}
}
