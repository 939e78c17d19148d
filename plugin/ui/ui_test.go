package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/webui"
)

func shop(t *testing.T, duration string) experiment.Experiment {
	t.Helper()
	docs, err := spec.Read("kept.yaml", strings.NewReader(`
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: kept
system: {name: kept, services: [{name: web}]}
load: {rate: 50, duration: `+duration+`}
`))
	if err != nil {
		t.Fatal(err)
	}
	return *docs.Experiments()[0]
}

// A fault that is added by hand while a system of this machine runs is among its
// faults, and in the files.
func TestRunsOfThePageAreKept(t *testing.T) {
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	out := filepath.Join(t.TempDir(), "out")
	w := &worlds{options: &options{out: out, streams: cli.Streams{Err: io.Discard}}}
	var deployed runner.Deployment
	var kept webui.Requests
	var log webui.Log
	var send webui.Sender
	var change webui.LoadChanger
	var description webui.Description
	order := webui.Order{
		Loads:      func(c webui.LoadChanger) { change = c },
		Experiment: shop(t, "1500ms"), On: webui.OnLocal, Traced: func(r webui.Requests) { kept = r }, Logged: func(l webui.Log) { log = l }, Sends: func(s webui.Sender) { send = s }, Deployed: func(d runner.Deployment) { deployed = d }, Described: func(d webui.Description) { description = d },
		Observe: func(e runner.Event) {
			if _, begun := e.(runner.LoadBegun); begun {
				f := fault.Fault{Type: fault.Error, Probability: 1, Target: fault.Target{Service: "web"}, Args: fault.Args{Status: 503}}
				checkSending(t, send)
				if err := change(t.Context(), 2); err != nil {
					t.Error(err)
				}
				if now, err := description.Now(t.Context()); err != nil || now.Service("web") == nil {
					t.Errorf("the system is described as %+v, %v", now, err)
				}
				if err := deployed.Inject(t.Context(), "by-hand", f, time.Time{}); err != nil {
					t.Error(err)
				}
			}
		},
		Complete: func(res *result.Result) { res.Faults = append(res.Faults, result.FaultRecord{ID: "by-hand"}) },
	}
	res, err := w.Play(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	if c := res.Segments[0].Clients; c.Errors < c.Requests*9/10 {
		t.Errorf("with a fault that hits everything, %d of %d requests failed", c.Errors, c.Requests)
	}
	if offered := res.Segments[0].Clients.OfferedRate; offered < 75 || offered > 105 {
		t.Errorf("of 50 requests a second, doubled at the begin, %v were offered", offered)
	}
	if text, err := os.ReadFile(filepath.Join(out, "run-1", record.FaultsFile)); err != nil || len(text) == 0 {
		t.Errorf("the ground truth is %q, %v", text, err)
	}
	if systems, err := w.Systems(t.Context(), webui.OnLocal); err != nil || len(systems) != 0 {
		t.Errorf("left behind: %v, %v", systems, err)
	}
	checkRequests(t, kept)
	lines, err := log(t.Context(), "web", 200)
	if text := strings.Join(lines, "\n"); err != nil || !strings.Contains(text, "fault applied") || strings.Count(text, "service=web") != len(lines) {
		t.Errorf("the log of web is %q, %v", text, err)
	}
	if lines, err := log(t.Context(), "other", 200); err != nil || len(lines) != 0 {
		t.Errorf("the log of another service is %q, %v", lines, err)
	}

	// In virtual time, the run beside it is kept, too, and can be read back.
	order.On, order.Deployed, order.Observe = webui.OnVirtual, nil, func(runner.Event) {}
	if _, err := w.Play(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	rec, err := readRecord(filepath.Join(out, "run-2"))
	if err != nil {
		t.Fatal(err)
	}
	checkRequests(t, kept)
	checkRecordedRequests(t, filepath.Join(out, "run-2"), rec.Requests, kept)
	if len(rec.Clients) == 0 || len(rec.Services) == 0 || rec.System.Name != "kept" || rec.Result.Target != "virtual" {
		t.Errorf("the record has %d rows of clients, %d of services", len(rec.Clients), len(rec.Services))
	}
	if rate := rec.Services[0].Rate; math.Abs(rate-50) > 5 {
		t.Errorf("the service had %v requests a second, under 50", rate)
	}
}

// checkRecordedRequests holds the traces of a record against those of its run.
func checkRecordedRequests(t *testing.T, dir string, read, kept webui.Requests) {
	t.Helper()
	want, _ := kept.All()
	got, _ := read.All()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(kept.Spans(want[0].ID), read.Spans(want[0].ID)); diff != "" {
		t.Error(diff)
	}
	if read.Share() != kept.Share() {
		t.Errorf("a share of %v is read as %v", kept.Share(), read.Share())
	}
	path := filepath.Join(dir, record.TracesFile)
	if err := os.WriteFile(path, []byte("{\"resource"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(dir); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a file that is cut off is read: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if rec, err := readRecord(dir); err != nil || rec.Requests != nil {
		t.Errorf("without traces, the record is read with %v", err)
	}
}

// Of the logs of a record, a service has its last lines.
func TestRecordedLogs(t *testing.T) {
	store := logline.NewStore()
	for i := range 50 {
		for _, service := range []string{"web", "db"} {
			store.Add(logline.Wrap(time.Unix(int64(i), 0).UTC(), "shop", service, 1, fmt.Sprint("line ", i)))
		}
	}
	path := filepath.Join(t.TempDir(), record.LogsFile)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.Write(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	for most, first := range map[int]string{3: "line 47", 20: "line 30", 200: "line 0"} {
		lines, err := recordedLog(path)(t.Context(), "db", most)
		if err != nil || len(lines) != min(most, 50) || !strings.Contains(lines[0], fmt.Sprintf("%q", first)) || strings.Contains(strings.Join(lines, ""), "service=web") {
			t.Errorf("the last %d lines are %q, %v", most, lines, err)
		}
	}
	if lines, err := recordedLog(path)(t.Context(), "other", 20); err != nil || len(lines) != 0 {
		t.Errorf("a service that has logged nothing has %q, %v", lines, err)
	}
}

// checkRequests holds the requests of a run against what is known of it: about 75,
// all of which are kept, through one service.
func checkRequests(t *testing.T, kept webui.Requests) {
	t.Helper()
	list, lost := kept.All()
	if len(list) < 50 || lost != 0 || kept.Share() != 1 {
		t.Fatalf("%d requests are kept, %d spans lost, of a share of %v", len(list), lost, kept.Share())
	}
	for _, r := range list {
		spans := kept.Spans(r.ID)
		if len(spans) != 2 || spans[0].Who != "load" || spans[1].Service != "web" || spans[1].Depth != 1 || spans[1].Duration > spans[0].Duration {
			t.Fatalf("the request %+v has the spans %+v", r, spans)
		}
	}
	if kept.Spans("none") != nil {
		t.Error("a request that there was not has spans")
	}
}

func TestARunIsCutShort(t *testing.T) {
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	w := &worlds{options: &options{streams: cli.Streams{Err: io.Discard}}}
	ctx, cancel := context.WithCancel(t.Context())
	order := webui.Order{Loads: func(webui.LoadChanger) {}, Experiment: shop(t, "10min"), On: webui.OnLocal, Traced: func(webui.Requests) {}, Logged: func(webui.Log) {}, Sends: func(webui.Sender) {}, Deployed: func(runner.Deployment) {}, Described: func(webui.Description) {}, Complete: func(*result.Result) {},
		Observe: func(e runner.Event) {
			if _, begun := e.(runner.LoadBegun); begun {
				cancel()
			}
		},
	}
	if res, err := w.Play(ctx, order); err == nil || res == nil || !res.Incomplete {
		t.Errorf("it ended with %v", err)
	}
	if systems, err := w.Systems(t.Context(), webui.OnLocal); err != nil || len(systems) != 0 {
		t.Errorf("left behind: %v, %v", systems, err)
	}
}
