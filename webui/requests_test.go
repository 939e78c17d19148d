package webui

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// someRequests are those of a run in which every third fails.
type someRequests struct{ zero time.Time }

func (someRequests) Share() float64 { return 0.5 }

func (s someRequests) All() (list []Request, lost int64) {
	for i := range 30 {
		r := Request{
			ID: fmt.Sprint(i), Start: s.zero.Add(time.Duration(i) * time.Second), Duration: time.Duration(i+1) * time.Millisecond,
			What: "GET web/", End: "200", Services: []string{"web"},
		}
		if i%3 == 0 {
			r.End, r.Failed, r.Services = "503", true, []string{"web", "db"}
		}
		list = append(list, r)
	}
	return list, 2
}

func (someRequests) Spans(id string) []RequestSpan {
	if id != "3" {
		return nil
	}
	return []RequestSpan{{Who: "load", Duration: 0.004, End: "503", Failed: true}, {Depth: 1, Service: "web", Who: "web/1", End: "503"}}
}

// played plays text on a world, and waits until it is over.
func (c *client) played(text string) *runView {
	c.t.Helper()
	var v runView
	var f failure
	if status := c.ask("POST", "/api/run", map[string]any{"text": text, "on": OnVirtual}, nil); status != 200 {
		c.t.Fatalf("playing is answered %d %q", status, f.Error)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c.ask("GET", "/api/run", nil, &v); v.Ended {
			return &v
		}
		if time.Now().After(deadline) {
			c.t.Fatal("the run does not end")
		}
	}
}

const plainText = "apiVersion: microsim.dev/v1alpha1\nkind: Experiment\nname: a\nsystem: {name: a, services: [{name: web}]}\nload: {rate: 1, duration: 30s}\n"

func TestRequestsOfARun(t *testing.T) {
	zero := time.Unix(1_700_000_000, 0)
	world := &aWorld{play: func(_ context.Context, o Order) (*result.Result, error) {
		o.Traced(someRequests{zero})
		o.Observe(runner.LoadBegun{At: zero, Length: 30 * time.Second})
		return &result.Result{Passed: true}, nil
	}}
	c := serve(t, Config{Worlds: world})
	v := c.played(plainText)
	if !v.Traced {
		t.Error("the page is not told that there are single requests")
	}
	for _, tt := range []struct {
		query           string
		count           int
		failed, slowest int
		first           float64
	}{
		{"", 30, 10, 12, 0.030}, // the slowest that did not fail lasted 30 ms
		{"&service=db", 10, 10, 0, 0},
		{"&service=none", 0, 0, 0, 0},
		{"&from=3&to=6", 3, 1, 2, 0.006},
	} {
		var list requestList
		if status := c.ask("GET", fmt.Sprintf("/api/run/requests?run=%d%s", v.ID, tt.query), nil, &list); status != 200 {
			t.Fatalf("%q is answered %d", tt.query, status)
		}
		if list.Count != tt.count || len(list.Failed) != tt.failed || len(list.Slowest) != tt.slowest || list.Lost != 2 || list.Share != 0.5 {
			t.Errorf("%q lists %+v", tt.query, list)
		}
		if tt.slowest > 0 && list.Slowest[0].Duration != tt.first {
			t.Errorf("%q begins with %v s", tt.query, list.Slowest[0].Duration)
		}
	}
	for path, want := range map[string]int{
		"/api/run/requests/3?run=1": 200, "/api/run/requests/4?run=1": 404, "/api/run/requests/3?run=7": 410,
		"/api/run/requests?run=1&from=x&to=2": 400, "/api/run/requests?run=1&from=2&to=2": 400, "/api/run/requests": 400,
	} {
		if status := c.ask("GET", path, nil, nil); status != want {
			t.Errorf("%s is answered %d", path, status)
		}
	}
}

func TestTwoRunsAreCompared(t *testing.T) {
	n := 0
	world := &aWorld{play: func(context.Context, Order) (*result.Result, error) {
		n++
		services := []result.ServiceStats{{Service: "steady", Requests: 100, Rate: 10}, {Service: "db", Requests: 100, Errors: int64(40 * n), Rate: 10}}
		return &result.Result{Passed: n == 1, Segments: []result.Segment{{Kind: result.WholeRun, To: 30, Clients: result.ClientStats{Requests: 100, Errors: int64(10 * n)}, Services: services}}}, nil
	}}
	c := serve(t, Config{Worlds: world})
	c.played(plainText)
	c.played(plainText)
	var past []pastRun
	if c.ask("GET", "/api/runs", nil, &past); len(past) != 2 || !past[0].Passed || past[1].Passed {
		t.Fatalf("the runs are %+v", past)
	}
	var both comparison
	if status := c.ask("GET", "/api/compare?a=1&b=2", nil, &both); status != 200 {
		t.Fatalf("comparing is answered %d", status)
	}
	if both.Errors[0] == nil || *both.Errors[0] != 0.1 || *both.Errors[1] != 0.2 {
		t.Errorf("the errors are %v", both.Errors)
	}
	if s := both.Services; len(s) != 2 || s[0].Service != "db" || *s[0].Errors[0] != 0.4 || *s[0].Errors[1] != 0.8 || s[0].P99[0] != nil {
		t.Errorf("the services are %+v", s)
	}
	for i, want := range []float64{100, 100} {
		if f := both.Summaries[i].Requests; f == nil || f.Mean != want {
			t.Errorf("run %d has the requests %v", i+1, f)
		}
	}
	for path, want := range map[string]int{"/api/compare?a=1": 400, "/api/compare?a=1&b=9": 410} {
		var f failure
		if status := c.ask("GET", path, nil, &f); status != want || strings.TrimSpace(f.Error) == "" {
			t.Errorf("%s is answered %d %q", path, status, f.Error)
		}
	}
	for range keptRuns {
		c.played(plainText)
	}
	if c.ask("GET", "/api/runs", nil, &past); len(past) != keptRuns || past[0].ID != 3 {
		t.Errorf("%d runs are kept, from %d on", len(past), past[0].ID)
	}
}
