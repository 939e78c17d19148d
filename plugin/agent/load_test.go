package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
)

// A running is a generator that runs until the test ends or it exits by itself.
type running struct {
	t    *testing.T
	url  string
	stop context.CancelFunc
	done chan error
}

func startGenerator(t *testing.T, phase load.Phase, change func(*generator)) *running {
	t.Helper()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	t.Cleanup(target.Close)
	job := remote.Job{Of: 1, Seed: 1, Profile: load.Profile{Requests: []load.Request{{Service: "front"}}, Phases: []load.Phase{phase}}}
	job.URLs = map[string][]string{"front": {target.URL}}
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "load.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"MICROSIM_LOAD": "@" + file, "MICROSIM_TOKEN": "secret", "JOB_COMPLETION_INDEX": "0"}
	g, err := newGenerator(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(g)
	}
	server := httptest.NewServer(g.handler())
	ctx, stop := context.WithCancel(t.Context())
	r := &running{t: t, url: server.URL, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- g.run(ctx) }()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return r
}

// order sends an order and returns the status and the answer.
func (r *running) order(method, path, token, body string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set(control.TokenHeader, token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func (r *running) ok(method, path, body string) {
	r.t.Helper()
	if status, text := r.order(method, path, "secret", body); status != http.StatusOK {
		r.t.Fatalf("%s %s answers %d: %s", method, path, status, text)
	}
}

// read follows from a line on: up to the end, or up to most lines.
func (r *running) read(from int64, most int) (outcomes []measure.Outcome, next int64, end *remote.End) {
	r.t.Helper()
	req, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("%s%s?from=%d", r.url, control.LoadOutcomesPath, from), nil)
	req.Header.Set(control.TokenHeader, "secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	next = from
	for lines := json.NewDecoder(resp.Body); most > 0; most-- {
		var line remote.Line
		if err := lines.Decode(&line); err != nil {
			r.t.Fatal(err)
		}
		if err := remote.EachOutcome(line.Outcomes, func(o measure.Outcome) { outcomes = append(outcomes, o) }); err != nil {
			r.t.Fatal(err)
		}
		if next = line.Seq + 1; line.End != nil {
			return outcomes, next, line.End
		}
	}
	return outcomes, next, nil
}

func TestGeneratorTellsWhatBecameOfItsLoad(t *testing.T) {
	r := startGenerator(t, load.Phase{Rate: 200, Count: 120}, nil)
	r.ok(http.MethodGet, control.ReadyPath, "")
	r.ok(http.MethodPost, control.LoadStartPath, `{"delayNs": 1000000}`)
	r.ok(http.MethodPost, control.LoadStartPath, `{}`) // goes on
	// A connection breaks after two lines, and is taken up again.
	first, next, end := r.read(1, 2)
	if end != nil || len(first) == 0 {
		t.Fatalf("the first two lines have %d outcomes, and the end %v", len(first), end)
	}
	rest, _, end := r.read(next, 1000)
	if len(first)+len(rest) != 120 || end == nil || end.Report.Total.Sent != 120 || end.Error != "" || end.Stopped {
		t.Errorf("over two connections come %d and %d outcomes of 120, and the end %+v", len(first), len(rest), end)
	}
	again, _, _ := r.read(1, 1000)
	if len(again) != 120 {
		t.Errorf("read once more, there are %d outcomes", len(again))
	}
	r.ok(http.MethodPost, control.LoadDonePath, "")
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

// The requests that a generator sends are the roots of their traces, if spans are wanted.
func TestGeneratorHasSpans(t *testing.T) {
	r := startGenerator(t, load.Phase{Rate: 200, Count: 20}, func(g *generator) { g.job.TraceSample, g.spans = 1, span.NewBuffer(7) })
	r.ok(http.MethodPost, control.LoadStartPath, `{}`)
	r.read(1, 1000)
	status, text := r.order(http.MethodPost, control.LoadSpansPath, "secret", `{"from": 0}`)
	var spans control.Spans
	if err := json.Unmarshal([]byte(text), &spans); status != http.StatusOK || err != nil {
		t.Fatalf("asked for spans, it answers %d %s: %v", status, text, err)
	}
	if len(spans.Spans) != 20 || spans.Next != 20 || spans.Now == 0 {
		t.Errorf("of 20 requests, there are %d spans, next %d, at %d", len(spans.Spans), spans.Next, spans.Now)
	}
	for i := range spans.Spans {
		if s := &spans.Spans[i]; s.Kind != span.Root || s.Callee != "front" || s.Status != http.StatusOK || s.Duration <= 0 {
			t.Errorf("a span is %+v", s)
		}
	}
	if status, _ := r.order(http.MethodPost, control.LoadSpansPath, "wrong", `{}`); status != http.StatusForbidden {
		t.Errorf("without the token, it answers %d", status)
	}
	without := startGenerator(t, load.Phase{Rate: 200, Count: 1}, nil)
	if status, text := without.order(http.MethodPost, control.LoadSpansPath, "secret", `{}`); status != http.StatusConflict || !strings.Contains(text, "makes none") {
		t.Errorf("without spans, it answers %d %s", status, text)
	}
}

func TestGeneratorObeysOrdersOnly(t *testing.T) {
	r := startGenerator(t, load.Phase{Rate: 1000}, nil)
	for _, o := range []struct{ method, path, token, body, want string }{
		{"POST", control.LoadStartPath, "", "{}", "403"},
		{"POST", control.LoadDonePath, "wrong", "", "403"},
		{"GET", control.LoadOutcomesPath, "", "", "403"},
		{"GET", control.LoadOutcomesPath + "?from=0", "secret", "", "400"},
		{"POST", control.LoadStartPath, "secret", "now", "400"},
		{"POST", control.LoadStartPath, "secret", `{"delayNs": -1}`, "400"},
		{"GET", control.HealthPath, "", "", "200"},
		{"POST", control.LoadStartPath, "secret", "{}", "200"},
		{"POST", control.LoadControlPath, "secret", `{"rate": 0.5, "burst": 2, "users": 1}`, "200"},
		{"POST", control.LoadControlPath, "secret", `{`, "400"},
	} {
		if status, text := r.order(o.method, o.path, o.token, o.body); fmt.Sprint(status) != o.want {
			t.Errorf("%s %s with token %q: %d %s, want %s", o.method, o.path, o.token, status, text, o.want)
		}
	}
	r.read(1, 1)
	r.ok(http.MethodPost, control.LoadStopPath, "")
	r.ok(http.MethodPost, control.LoadStopPath, "")
	if _, _, end := r.read(1, 100000); !end.Stopped || end.Error != "" || !end.Report.Incomplete {
		t.Errorf("a load that was stopped ends with %+v", end)
	}
	r.ok(http.MethodPost, control.LoadDonePath, "")
	<-r.done
}

func TestGeneratorTellsTheEndAfterASignal(t *testing.T) {
	r := startGenerator(t, load.Phase{Rate: 100}, nil)
	r.ok(http.MethodPost, control.LoadStartPath, "{}")
	r.read(1, 1)
	r.stop()
	if _, _, end := r.read(1, 1000); end.Error == "" || end.Report == nil {
		t.Errorf("after a signal the load ends with %+v", end)
	}
	r.ok(http.MethodPost, control.LoadDonePath, "")
	<-r.done
}

func TestGeneratorDoesNotWaitForEver(t *testing.T) {
	short := func(p patience) func(*generator) { return func(g *generator) { g.patience = p } }
	r := startGenerator(t, load.Phase{Rate: 100}, short(patience{start: time.Millisecond}))
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), "nobody has started the load") {
		t.Errorf("a load that nobody starts ends with %v", err)
	}
	// Nobody follows, neither while it goes on nor after its end.
	r = startGenerator(t, load.Phase{Rate: 100}, short(patience{start: time.Minute, during: 20 * time.Millisecond, after: 20 * time.Millisecond}))
	r.ok(http.MethodPost, control.LoadStartPath, "{}")
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), "nobody has read the end") {
		t.Errorf("a load that nobody follows ends with %v", err)
	}
	// After a signal, the end is kept for those who follow; nobody does since the
	// program that did was killed.
	r = startGenerator(t, load.Phase{Rate: 100}, short(patience{start: time.Minute, during: time.Minute, after: time.Minute, absent: 20 * time.Millisecond, terminated: time.Hour}))
	r.ok(http.MethodPost, control.LoadStartPath, "{}")
	r.read(1, 1)
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("a load that nobody follows any more ends a signal with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("after a signal, a load that nobody follows waits for followers")
	}
}

func TestLonelinessIsOverWhileSomebodyFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := newOutcomeLog(maxKept)
		began := time.Now()
		leave := l.follow()
		lonely := l.lonely(ctx, time.Minute, time.Time{})
		time.Sleep(5 * time.Minute)
		leave()
		<-lonely
		if took := time.Since(began); took < 6*time.Minute || took > 6*time.Minute+time.Second {
			t.Errorf("a minute after somebody left, who stayed 5, it is %v", took)
		}
	})
}

func TestOutcomeLogDropsTheOldest(t *testing.T) {
	l := newOutcomeLog(2000)
	n := 0
	for range 100 {
		for range 10 {
			l.add(measure.Outcome{Request: n, Class: outcome.OK})
			n++
		}
		l.mu.Lock()
		l.cut()
		if l.size > 2000 {
			t.Fatalf("%d bytes are kept", l.size)
		}
		l.mu.Unlock()
	}
	l.finish(&remote.End{})
	line, _ := l.next(1)
	if line.Seq < 2 || line.Before != (line.Seq-1)*10 {
		t.Errorf("the first line that is kept is number %d, after %d outcomes", line.Seq, line.Before)
	}
	read := line.Before
	for line.End == nil {
		_ = remote.EachOutcome(line.Outcomes, func(o measure.Outcome) {
			if int64(o.Request) != read {
				t.Errorf("outcome %d comes as number %d", o.Request, read)
			}
			read++
		})
		line, _ = l.next(line.Seq + 1)
	}
	if read != 1000 || line.Before != 1000 {
		t.Errorf("the end comes after %d outcomes, and says %d", read, line.Before)
	}
}

func TestLoadConfigMistakesAreNamed(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"MICROSIM_LOAD is not set":      {"MICROSIM_TOKEN": "x"},
		"MICROSIM_TOKEN is not set":     {"MICROSIM_LOAD": "{}"},
		"reading MICROSIM_LOAD":         {"MICROSIM_LOAD": "{", "MICROSIM_TOKEN": "x"},
		"the file that MICROSIM_LOAD":   {"MICROSIM_LOAD": "@/nowhere", "MICROSIM_TOKEN": "x"},
		"reading JOB_COMPLETION_INDEX:": {"MICROSIM_LOAD": "{}", "MICROSIM_TOKEN": "x", "JOB_COMPLETION_INDEX": "one"},
	} {
		if _, err := newGenerator(func(name string) string { return env[name] }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error with %q", env, err, want)
		}
	}
	var out bytes.Buffer
	if err := Run(t.Context(), []string{"load", "--help"}, Streams{Out: &out, Err: io.Discard}); err != nil || !strings.Contains(out.String(), "MICROSIM_LOAD") {
		t.Errorf("help: %v\n%s", err, out.String())
	}
}

// BenchmarkOutcomeLog takes outcomes down, while somebody follows.
func BenchmarkOutcomeLog(b *testing.B) {
	l := newOutcomeLog(maxKept)
	defer l.flushEvery(remote.BatchEvery)()
	o := measure.Outcome{Intended: time.Second, Latency: time.Millisecond, Class: outcome.OK, Status: 200, Bytes: 500}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.add(o)
		}
	})
}
