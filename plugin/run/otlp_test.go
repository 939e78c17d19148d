package run

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/observe/forward/forwardtest"
	"github.com/microsim-dev/kubectl-microsim/observe/otlp/otlptest"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// The data that a collector receives add up to the result, in real and in virtual
// time.
func TestCollectorGetsWhatTheResultHas(t *testing.T) {
	e := troubled()
	text, err := spec.FormatExperiment(&e)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"virtual", "local"} {
		t.Run(target, func(t *testing.T) {
			c, logs := otlptest.New(t, nil), forwardtest.Listen(t, &forwardtest.Receiver{}, "tcp", "127.0.0.1:0")
			dir := filepath.Join(t.TempDir(), "out")
			var out, talk strings.Builder
			cmd := New(cli.Streams{In: strings.NewReader(string(text)), Out: &out, Err: &talk})
			cmd.SetArgs([]string{"-f", "-", "--on", target, "--otlp", c.URL, "--fluent", "tcp://" + logs.Place, "--out", dir, "--trace-sample", "1", "-v"})
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatalf("%v\n%s", err, talk.String())
			}
			var r result.Result
			file, err := os.ReadFile(filepath.Join(dir, "result.json"))
			if err == nil {
				err = json.Unmarshal(file, &r)
			}
			if err != nil {
				t.Fatal(err)
			}
			o := r.OTLP
			if o.Spans.Trouble+o.Logs.Trouble+o.Points.Trouble != "" || o.Spans.Dropped+o.Spans.Refused > 0 {
				t.Errorf("sent is %+v", o)
			}
			if got := len(c.Spans()); got != r.Traces.Spans || int64(got) != o.Spans.Sent {
				t.Errorf("%d spans have arrived, the result has %d and says that %d were sent", got, r.Traces.Spans, o.Spans.Sent)
			}
			if got := len(c.Logs()); got < r.Logs.Lines || int64(got) != o.Logs.Sent {
				t.Errorf("%d log records have arrived, the result has %d lines and says that %d were sent", got, r.Logs.Lines, o.Logs.Sent)
			}
			if f := r.Fluent; f == nil || f.Lines != (result.SentCounts{Sent: o.Logs.Sent}) || int64(len(logs.Events())) != o.Logs.Sent {
				t.Errorf("%d events have arrived of %d lines, the result says %+v", len(logs.Events()), o.Logs.Sent, f)
			}
			if !strings.Contains(out.String(), "Logs to tcp://"+logs.Place) {
				t.Errorf("the summary says nothing of the receiver of logs:\n%s", out.String())
			}
			if diff := cmp.Diff(answersOf(&r), answersSent(c)); diff != "" {
				t.Errorf("the answers of the result (-) and those that were sent (+) differ:\n%s", diff)
			}
			ids := map[string]bool{}
			for _, s := range c.Spans() {
				ids[string(s.Item.GetSpanId())] = true
			}
			for _, s := range c.Spans() {
				if p := s.Item.GetParentSpanId(); len(p) > 0 && !ids[string(p)] {
					t.Fatalf("span %v has a parent that has not arrived", s.Item)
				}
			}
			if !strings.Contains(out.String(), "Collector "+c.URL) {
				t.Errorf("the summary says nothing of the collector:\n%s", out.String())
			}
		})
	}
}

// Of several experiments, each has its own lines, and a collector gets all.
func TestCollectorGetsEveryExperiment(t *testing.T) {
	e := troubled()
	var texts []string
	for _, name := range []string{"one", "two"} {
		e.Name = name
		text, err := spec.FormatExperiment(&e)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	c := otlptest.New(t, nil)
	dir := filepath.Join(t.TempDir(), "out")
	var talk strings.Builder
	cmd := New(cli.Streams{In: strings.NewReader(strings.Join(texts, "---\n")), Out: &talk, Err: &talk})
	cmd.SetArgs([]string{"-f", "-", "--on", "virtual", "--otlp", c.URL, "--out", dir, "-v"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	lines := 0
	for _, name := range []string{"one", "two"} {
		text, err := os.ReadFile(filepath.Join(dir, name, "logs.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n == 0 {
			t.Errorf("experiment %s has no lines", name)
		} else {
			lines += n
		}
	}
	if got := len(c.Logs()); got != lines {
		t.Errorf("%d log records have arrived of %d lines", got, lines)
	}
}

// answersOf counts the answers of services with a status, by the whole run.
func answersOf(r *result.Result) counts {
	c := counts{}
	for _, s := range r.Segments[0].Services {
		for code, n := range s.Codes {
			if n > 0 {
				c[s.Service+" "+code] = n
			}
		}
	}
	return c
}

// answersSent are the last sums of the same that a collector got.
func answersSent(c *otlptest.Collector) counts {
	sums := counts{}
	for _, m := range c.Metrics() {
		if m.Item.GetName() != "microsim.requests" {
			continue
		}
		for _, p := range m.Item.GetSum().GetDataPoints() {
			a := otlptest.Attributes(p.GetAttributes())
			sums[m.Resource["service.name"]+" "+a["http.response.status_code"]+a["error.type"]] = int64(p.GetAsDouble())
		}
	}
	return sums
}
