package system

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/observe/forward/forwardtest"
	"github.com/microsim-dev/kubectl-microsim/observe/otlp/otlptest"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
)

// patience bounds what a busy machine may take.
const patience = time.Minute

// A screen is what a command prints, for several goroutines.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// eventually waits until what is asked for is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it has not come to it that %s", what)
		}
	}
}

// pairFile describes a system in which front calls back.
func pairFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pair.yaml")
	const text = `{apiVersion: microsim.dev/v1alpha1, kind: System, name: pair, services: [{name: front, calls: [back]}, {name: back}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// inForeground runs `up` until end is called, which returns its error.
func inForeground(t *testing.T, talk io.Writer, args ...string) (status *control.Status, end func() error) {
	t.Helper()
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cmd := NewUp(cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: talk})
	cmd.SetArgs(append([]string{"-f", pairFile(t), "--on", "local"}, args...))
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	status = running(t, slices.Contains(args, "--otlp"))
	return status, sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

// running waits until the system pair is up and, if it is to be, watched for a collector.
func running(t *testing.T, watched bool) (status *control.Status) {
	t.Helper()
	eventually(t, "the system is up", func() bool {
		client, err := local.Find("pair")
		if err == nil {
			status, err = client.Status(t.Context())
		}
		return err == nil && len(status.URLs()["front"])+len(status.URLs()["back"]) == 2 && watched == (status.OTLP != nil)
	})
	return status
}

// ask sends requests to the service front.
func ask(t *testing.T, status *control.Status, n int) {
	t.Helper()
	for range n {
		response, err := http.Get(status.URLs()["front"][0] + "/")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("front answers %s", response.Status)
		}
	}
}

// checkSent checks that a collector got all that n requests to the system pair make.
func checkSent(t *testing.T, c *otlptest.Collector, n int) {
	t.Helper()
	if got := len(c.Spans()); got != 3*n {
		t.Errorf("%d spans have arrived, not three for each of %d requests", got, n)
	}
	ids := map[string]bool{}
	for _, s := range c.Spans() {
		ids[string(s.Item.GetSpanId())] = true
	}
	tops := 0
	for _, s := range c.Spans() {
		if p := s.Item.GetParentSpanId(); len(p) == 0 {
			tops++
		} else if !ids[string(p)] {
			t.Errorf("span %v has a parent that has not arrived", s.Item)
		}
	}
	if tops != n {
		t.Errorf("%d spans are the top of a trace, not %d", tops, n)
	}
	lines := 0
	for _, l := range c.Logs() {
		if l.Item.GetBody().GetStringValue() == "request" {
			lines++
		}
	}
	if lines != 2*n {
		t.Errorf("%d lines of requests have arrived, not %d", lines, 2*n)
	}
	for _, service := range []string{"front", "back"} {
		if got := answered(c, service); got != n {
			t.Errorf("the figures have %d requests at %s, not %d", got, service, n)
		}
	}
}

// answered is the last sum of good answers of a service.
func answered(c *otlptest.Collector, service string) (sum int) {
	for _, m := range c.Metrics() {
		if m.Item.GetName() != "microsim.requests" || m.Resource["service.name"] != service {
			continue
		}
		for _, p := range m.Item.GetSum().GetDataPoints() {
			if otlptest.Attributes(p.GetAttributes())["http.response.status_code"] == "200" {
				sum = int(p.GetAsDouble())
			}
		}
	}
	return sum
}

// A collector gets the spans, figures and lines of a system that is up, which tells
// how much that is, and shows its lines as without a collector.
func TestUpSendsToACollector(t *testing.T) {
	const n = 20
	for _, isolation := range []string{"inprocess", "process"} {
		t.Run(isolation, func(t *testing.T) {
			c := otlptest.New(t, nil)
			var talk screen
			status, end := inForeground(t, &talk, "--isolation", isolation, "--otlp", c.URL, "--trace-sample", "1", "-v")
			if o := status.OTLP; o == nil || o.URL != c.URL {
				t.Errorf("the status tells %+v of the collector", o)
			}
			ask(t, status, n)
			if err := end(); err != nil {
				t.Fatal(err)
			}
			checkSent(t, c, n)
			if got := strings.Count(talk.String(), " msg=request system=pair"); got != 2*n {
				t.Errorf("%d lines of requests are shown, not %d", got, 2*n)
			}
			if want := fmt.Sprintf("Collector %s\n  %d spans, ", c.URL, 3*n); !strings.Contains(talk.String(), want) || strings.Contains(talk.String(), "dropped") {
				t.Errorf("it is not said what the collector got:\n%s", talk.String())
			}
		})
	}
}

// So does a receiver of logs, beside a collector and without one.
func TestUpForwardsLogs(t *testing.T) {
	r := forwardtest.Listen(t, &forwardtest.Receiver{}, "tcp", "127.0.0.1:0")
	var talk screen
	status, end := inForeground(t, &talk, "--fluent", r.Place, "-v")
	if f := status.Fluent; f == nil || f.Address != "tcp://"+r.Place || status.OTLP != nil {
		t.Errorf("the status tells %+v of the receiver", f)
	}
	ask(t, status, 7)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	requests := map[string]int{}
	for _, e := range r.Events() {
		if record, _ := e.Record.(map[string]any); record["msg"] == "request" {
			requests[e.Tag]++
		}
	}
	if len(requests) != 2 || requests["microsim.pair.front"] != 7 || requests["microsim.pair.back"] != 7 {
		t.Errorf("the lines of requests that have arrived are %v", requests)
	}
	if want := fmt.Sprintf("Logs to tcp://%s\n  %d log lines acknowledged\n", r.Place, len(r.Events())); !strings.Contains(talk.String(), want) || strings.Contains(talk.String(), "Collector") {
		t.Errorf("it is not said %q, but:\n%s", want, talk.String())
	}
}

// So it is of one in the background, until it is taken down.
func TestUpInTheBackgroundSendsToACollector(t *testing.T) {
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	c := otlptest.New(t, nil)
	var talk screen
	streams := cli.Streams{In: strings.NewReader(""), Out: &talk, Err: &talk}
	up := NewUp(streams)
	up.SetArgs([]string{"-f", pairFile(t), "--on", "local", "--detach", "--otlp", c.URL, "--trace-sample", "100%", "--verbose"})
	if err := up.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	ask(t, running(t, true), 5)
	eventually(t, "the status tells of spans that were sent", func() bool {
		var out bytes.Buffer
		status := NewStatus(cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
		status.SetArgs([]string{"pair", "--on", "local"})
		return status.ExecuteContext(t.Context()) == nil && strings.Contains(out.String(), "Collector "+c.URL+"\n  15 spans, ")
	})
	down := NewDown(streams)
	down.SetArgs([]string{"pair", "--on", "local"})
	if err := down.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The process that held the system may still be sending the last figures.
	eventually(t, "all figures have arrived", func() bool { return answered(c, "front") == 5 && answered(c, "back") == 5 && len(c.Logs()) >= 10 })
	checkSent(t, c, 5)
}

// A collector that is away does not disturb the system, which tells what was dropped.
func TestUpWithoutItsCollector(t *testing.T) {
	var talk screen
	status, end := inForeground(t, &talk, "--otlp", "http://127.0.0.1:1", "--trace-sample", "1", "-v")
	ask(t, status, 10)
	eventually(t, "the status tells of the trouble", func() bool {
		client, err := local.Find("pair")
		if err != nil {
			t.Fatal(err)
		}
		status, err = client.Status(t.Context())
		return err == nil && strings.Contains(status.OTLP.Points.Trouble, "connection refused")
	})
	var told strings.Builder
	report.PrintSent(&told, status.OTLP, nil)
	if status.OTLP.Points.Waiting == 0 || !strings.Contains(told.String(), " waiting: sending to the collector") {
		t.Errorf("the status says %+v:\n%s", status.OTLP, told.String())
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if want := "spans: 30 dropped: sending to the collector: dial tcp 127.0.0.1:1"; !strings.Contains(talk.String(), want) {
		t.Errorf("it is not said %q, but:\n%s", want, talk.String())
	}
}
