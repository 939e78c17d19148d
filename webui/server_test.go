package webui

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

const token = "secret"

// aWorld plays what a test says, and has one running system.
type aWorld struct {
	play  func(context.Context, Order) (*result.Result, error)
	alive func() error
	at    *anInjector
	// now is what the running system is, as others may change it; nil if it stays what it was.
	now func() *topology.System
	// adopted is told what the page has taken the system for.
	adopted func(*topology.System)
	changer Changer
}

func (w *aWorld) Play(ctx context.Context, o Order) (*result.Result, error) { return w.play(ctx, o) }
func (w *aWorld) Systems(context.Context, string) ([]string, error)         { return []string{"held"}, nil }
func (w *aWorld) Connect(_ context.Context, at Place) (*Live, error) {
	if at.Name != "held" {
		return nil, fmt.Errorf("there is no system %q", at.Name)
	}
	system := &topology.System{Name: "held", Services: []topology.Service{{Name: "web", Replicas: 1, Endpoints: []topology.Endpoint{{Path: "/"}}}}}
	if w.now != nil {
		system = w.now()
	}
	return &Live{
		System: system, Injector: w.at, Changer: w.changer, Description: Description{Adopt: w.adopted, Now: func(context.Context) (*topology.System, error) {
			if w.now != nil {
				return w.now(), nil
			}
			return system, w.alive()
		}},
		Watch: func(_ context.Context, observe func(measure.Sample)) (func() error, error) {
			observe(measure.Sample{At: time.Now(), Elapsed: time.Second, Service: "web", Requests: 10, Errors: 1, Rate: 10, Up: 1, Replicas: 1})
			return func() error { return nil }, nil
		},
	}, nil
}

// anInjector keeps what acts.
type anInjector struct {
	mu     sync.Mutex
	active []runner.Injection
}

func (a *anInjector) CanInject(f *fault.Fault) error {
	if f.Type == fault.Kill {
		return errors.New("it has no process of its own")
	}
	return nil
}

func (a *anInjector) Inject(_ context.Context, id string, f fault.Fault, deadline time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active = append(a.active, runner.Injection{ID: id, Fault: f, Since: time.Now(), Deadline: deadline, Replicas: []string{"web/1"}, Hits: 3})
	return nil
}

func (a *anInjector) Clear(_ context.Context, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var rest []runner.Injection
	for _, in := range a.active {
		if in.ID != id {
			rest = append(rest, in)
		}
	}
	a.active = rest
	return nil
}

func (a *anInjector) Active(context.Context) ([]runner.Injection, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]runner.Injection(nil), a.active...), nil
}

func (a *anInjector) Replicas(context.Context) ([]runner.Replica, error) { return nil, nil }
func (a *anInjector) Close(context.Context) error                        { return nil }

// A client asks a server that runs.
type client struct {
	t    *testing.T
	base string
	*Server
}

func serve(t *testing.T, c Config) *client {
	t.Helper()
	c.Token = token
	server := New(c)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &client{t, "http://" + listener.Addr().String(), server}
}

// ask sends a request with the token, and reads a JSON answer.
func (c *client) ask(method, path string, body, into any) int {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	resp := c.send(method, path, bytes.NewReader(text), map[string]string{"Authorization": "Bearer " + token})
	defer resp.Body.Close()
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			c.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return resp.StatusCode
}

func (c *client) send(method, path string, body io.Reader, header map[string]string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for k, v := range header {
		if k == "Host" {
			req.Host = v
		} else {
			req.Header.Set(k, v)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func TestOnlyThePageOfThisServerIsAnswered(t *testing.T) {
	c := serve(t, Config{Worlds: &aWorld{}})
	bearer := map[string]string{"Authorization": "Bearer " + token}
	for _, tt := range []struct {
		name, method, path string
		header             map[string]string
		status             int
	}{
		{"the page", "GET", "/", nil, 200},
		{"the page by a link", "GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 200},
		{"the page in a frame", "GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, 403},
		{"a file beside the bundle", "GET", "/../server.go", nil, 404},
		{"no token", "GET", "/api/state", nil, 401},
		{"another token", "GET", "/api/state", map[string]string{"Authorization": "Bearer other"}, 401},
		{"the token", "GET", "/api/state", bearer, 200},
		{"no token for events", "GET", "/api/events", nil, 401},
		{"no token for frames", "GET", "/api/run/frames?run=1&from=0", nil, 401},
		{"another host", "GET", "/", map[string]string{"Host": "evil.example"}, 403},
		{"another page", "GET", "/api/state", map[string]string{"Authorization": "Bearer " + token, "Sec-Fetch-Site": "cross-site"}, 403},
		{"another origin", "POST", "/api/stop", map[string]string{"Authorization": "Bearer " + token, "Origin": "http://evil.example"}, 403},
		{"its own origin", "POST", "/api/stop", map[string]string{"Authorization": "Bearer " + token, "Sec-Fetch-Site": "same-origin", "Origin": c.base}, 409},
		{"no run yet", "GET", "/api/run", bearer, 404},
	} {
		resp := c.send(tt.method, tt.path, nil, tt.header)
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %s, want %d", tt.name, resp.Status, tt.status)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", tt.name, policy)
		}
	}
}

func TestViewChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	source, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, Config{Worlds: &aWorld{}, View: true})
	c.Show(source)
	for _, path := range []string{"POST /api/edit", "POST /api/save", "POST /api/run", "POST /api/stop", "POST /api/request", "POST /api/faults", "DELETE /api/faults/x"} {
		method, path, _ := strings.Cut(path, " ")
		var f failure
		if status := c.ask(method, path, struct{}{}, &f); status != 403 || !strings.Contains(f.Error, "--view") {
			t.Errorf("%s %s: %d %q", method, path, status, f.Error)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file was written")
	}
}

func TestACheckSaysWhatTheCommandLineSays(t *testing.T) {
	c := serve(t, Config{Worlds: &aWorld{}})
	c.Show(&Source{Kind: KindFile, Name: "dir/a.yaml"})
	var got checked
	c.ask("POST", "/api/check", map[string]string{"text": "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: a\nservices:\n- {name: web, replics: 2}\n"}, &got)
	if len(got.Mistakes) != 1 || got.Mistakes[0].Line != 5 || got.Mistakes[0].Column != 15 || !strings.HasPrefix(got.Mistakes[0].Full, "dir/a.yaml:5:15: ") {
		t.Errorf("the mistakes are %+v", got.Mistakes)
	}
	got = checked{}
	c.ask("POST", "/api/check", map[string]string{"text": "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: a\nservices: [{name: web, calls: [db]}, {name: db}]\n"}, &got)
	if len(got.Mistakes) != 0 || got.Experiment == nil || got.Experiment.HasLoad || fmt.Sprint(got.Graph.Edges) != "[{0 1} {1 2}]" {
		t.Errorf("a system alone is %+v, its graph %+v", got.Experiment, got.Graph)
	}
}

func TestALargeTextIsRefusedInWords(t *testing.T) {
	c := serve(t, Config{Worlds: &aWorld{}})
	var got checked
	if status := c.ask("POST", "/api/check", map[string]string{"text": "# " + strings.Repeat("x", 10<<20) + "\n" + emptyText}, &got); status != 200 || len(got.Mistakes) != 0 {
		t.Errorf("a text of 10 MB is answered %d %+v", status, got.Mistakes)
	}
	c.ask("POST", "/api/check", map[string]string{"text": strings.Repeat("x", 17<<20)}, &got)
	if len(got.Mistakes) != 1 || !strings.Contains(got.Mistakes[0].Text, "larger than 16Mi") {
		t.Errorf("a text of 17 MB is answered %+v", got.Mistakes)
	}
	var f failure
	if status := c.ask("POST", "/api/check", map[string]string{"text": strings.Repeat("x", maxBody)}, &f); status != 413 || f.Error == "" {
		t.Errorf("a text of 40 MB is answered %d %q", status, f.Error)
	}
}

func TestSavingLosesNothing(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "real.yaml")
	if err := os.WriteFile(elsewhere, []byte("first\r\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	source, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, Config{Worlds: &aWorld{}})
	c.Show(source)
	save := func(text, base string) (int, failure) {
		var f failure
		return c.ask("POST", "/api/save", map[string]string{"text": text, "base": base}, &f), f
	}
	held := func(want string) {
		t.Helper()
		if data, err := os.ReadFile(elsewhere); err != nil || string(data) != want {
			t.Errorf("the file holds %q, %v, want %q", data, err, want)
		}
	}
	status, first := save("second\r\n", source.Base)
	if status != 200 || first.Base != digest([]byte("second\r\n")) {
		t.Fatalf("saving is answered %d %+v", status, first)
	}
	held("second\r\n")
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link has become a file")
	}
	if info, _ := os.Stat(elsewhere); info.Mode().Perm() != 0o640 {
		t.Errorf("the mode has become %v", info.Mode())
	}
	// Somebody else writes meanwhile.
	if err := os.WriteFile(elsewhere, []byte("theirs\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	status, stale := save("mine\n", first.Base)
	if status != 409 || !stale.Stale || stale.Disk != "theirs\n" || stale.Base == "" {
		t.Errorf("a stale file is answered %d %+v", status, stale)
	}
	held("theirs\n")
	if status, _ := save("mine\n", stale.Base); status != 200 {
		t.Errorf("after the comparison, saving is answered %d", status)
	}
	held("mine\n")
	if err := os.Remove(elsewhere); err != nil {
		t.Fatal(err)
	}
	if status, gone := save("again\n", digest([]byte("mine\n"))); status != 409 || !gone.Stale || gone.Base != "" {
		t.Errorf("a file that is gone is answered %d %+v", status, gone)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*partial*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNothingIsSavedThatIsNoFile(t *testing.T) {
	c := serve(t, Config{Worlds: &aWorld{}, Examples: []Example{{Name: "tiny", Text: emptyText}}})
	if status := c.ask("POST", "/api/open", map[string]string{"kind": "example", "name": "tiny"}, nil); status != 200 {
		t.Fatal(status)
	}
	var f failure
	if status := c.ask("POST", "/api/save", map[string]string{"text": "x"}, &f); status != 400 || !strings.Contains(f.Error, "no file of yours") {
		t.Errorf("saving an example is answered %d %q", status, f.Error)
	}
	if status := c.ask("POST", "/api/open", map[string]string{"kind": "file", "name": "/etc/passwd"}, &f); status != 400 {
		t.Errorf("opening a file by the page is answered %d", status)
	}
}

// A run in which a fault is added by hand and taken back.
func TestFaultsByHandAreInTheGroundTruth(t *testing.T) {
	injector := &anInjector{}
	goOn := make(chan struct{})
	kept := make(chan []result.FaultRecord, 1)
	c := serve(t, Config{Worlds: &aWorld{at: injector, play: func(ctx context.Context, o Order) (*result.Result, error) {
		o.Deployed(injector)
		o.Observe(runner.LoadBegun{At: time.Now(), Length: time.Minute, Phases: []string{"steady"}})
		o.Observe(runner.ServiceSampled{At: time.Second, Sample: measure.Sample{Service: "web", Elapsed: time.Second, Counted: time.Second, Requests: 4, Rate: 4, Up: 1, Replicas: 2}})
		o.Observe(runner.ClientSampled{Second: result.ClientSecond{At: time.Second, Seconds: 1, Outcomes: map[outcome.Class]int64{outcome.OK: 3, outcome.Timeout: 1}, Ended: 4, Good: 3}})
		<-goOn
		o.Observe(runner.CleaningUp{})
		res := &result.Result{Kind: result.ResultKind, Passed: true}
		o.Complete(res)
		kept <- res.Faults
		return res, nil
	}}})
	var v runView
	if status := c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnLocal}, &v); status != 200 {
		t.Fatal(status)
	}
	await(t, c, func(v *runView) bool { return v.Breakable && v.Frames == 1 })
	var f failure
	if status := c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnVirtual}, &f); status != 409 {
		t.Errorf("a second run is answered %d", status)
	}
	if status := c.ask("POST", "/api/faults", map[string]any{"type": "kill", "target": map[string]string{"service": "web"}}, &f); status != 422 || !strings.Contains(f.Error, "no process") {
		t.Errorf("an impossible fault is answered %d %q", status, f.Error)
	}
	never := map[string]any{"type": "error", "target": map[string]string{"service": "web"}, "probability": 0}
	if status := c.ask("POST", "/api/faults", never, &f); status != 422 || !strings.Contains(f.Error, "never acts") {
		t.Errorf("a fault of probability 0: %d %s", status, f.Error)
	}
	if status := c.ask("POST", "/api/faults", map[string]any{"type": "latency", "target": map[string]string{"service": "web"}}, &f); status != 422 {
		t.Errorf("a fault without its delay is answered %d", status)
	}
	slow := map[string]any{"type": "latency", "target": map[string]string{"service": "web"}, "args": map[string]string{"delay": "5ms"}}
	for range 2 {
		if status := c.ask("POST", "/api/faults", slow, &v); status != 200 {
			t.Fatal(status)
		}
	}
	if len(v.Faults) != 2 || v.Faults[0].ID != "by-hand-latency-web" || v.Faults[1].ID != "by-hand-latency-web-2" || v.Faults[0].From == nil || !v.Faults[0].ByHand {
		t.Fatalf("the faults are %+v", v.Faults)
	}
	if active, _ := injector.Active(t.Context()); len(active) != 2 {
		t.Errorf("there act %v", active)
	}
	if status := c.ask("DELETE", "/api/faults/by-hand-latency-web", nil, &v); status != 200 || v.Faults[0].To == nil || v.Faults[1].To != nil {
		t.Errorf("taking back is answered %d %+v", status, v.Faults)
	}
	close(goOn)
	records := <-kept
	if len(records) != 2 || records[0].ClearedAt.IsZero() || records[1].ClearedAt.IsZero() || !records[0].Applied() || records[0].To < records[0].From || records[1].To < records[0].To {
		t.Errorf("the ground truth is %+v", records)
	}
	await(t, c, func(v *runView) bool { return v.Ended && v.Passed })
	if status := c.ask("POST", "/api/faults", slow, &f); status != 409 {
		t.Errorf("a fault after the end is answered %d", status)
	}
}

// await asks until a run is as wanted.
func await(t *testing.T, c *client, wanted func(*runView) bool) *runView {
	t.Helper()
	var v runView
	for range 1200 {
		v = runView{}
		c.ask("GET", "/api/run", nil, &v)
		if wanted(&v) {
			return &v
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("the run has become %+v", v)
	return nil
}

func TestFramesHaveWhatWasSeen(t *testing.T) {
	c := serve(t, Config{Worlds: &aWorld{play: func(_ context.Context, o Order) (*result.Result, error) {
		o.Observe(runner.LoadBegun{At: time.Now()})
		for n := range 3 {
			at := time.Duration(n+1) * time.Second
			sample := measure.Sample{Service: "web", Elapsed: time.Second, Counted: time.Second, Requests: 10, Errors: 1, Rate: 10, Up: 1, Replicas: 2, QueueLength: 5}
			sample.Latency.Add(20*time.Millisecond, 10)
			if n == 1 {
				sample = measure.Sample{Service: "web", Elapsed: time.Second, Replicas: 2} // it does not answer
			}
			o.Observe(runner.ServiceSampled{At: at, Sample: sample})
			o.Observe(runner.ClientSampled{Second: result.ClientSecond{At: at, Seconds: 1, Outcomes: map[outcome.Class]int64{outcome.OK: 8, outcome.Timeout: 2}, Ended: 10, Good: 8}})
		}
		return &result.Result{}, nil
	}}})
	var v runView
	c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnVirtual}, &v)
	await(t, c, func(v *runView) bool { return v.Ended })
	resp := c.send("GET", fmt.Sprintf("/api/run/frames?run=%d&from=0", v.ID), nil, map[string]string{"Authorization": "Bearer " + token})
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make([]float32, len(data)/4)
	if err := binary.Read(bytes.NewReader(data), binary.LittleEndian, numbers); err != nil {
		t.Fatal(err)
	}
	width := headWidth + serviceWidth + edgeWidth // the edge is that of the clients
	if len(numbers) != 3*width {
		t.Fatalf("there are %d numbers", len(numbers))
	}
	first, second := numbers[:width], numbers[width:2*width]
	if first[0] != 1 || first[2] != 10 || first[3] != 8 || first[4] != 0.2 || first[headWidth] != 10 || first[headWidth+1] != 0.1 || first[headWidth+4] != 5 || first[headWidth+7] != 2 {
		t.Errorf("the first second is %v", first)
	}
	if p99 := first[headWidth+3]; math.Abs(float64(p99)-0.02) > 0.0004 {
		t.Errorf("p99 is %v", p99)
	}
	if !math.IsNaN(float64(second[headWidth])) || second[headWidth+6] != 0 {
		t.Errorf("a service that does not answer is %v", second[headWidth:])
	}
	if status := c.ask("GET", "/api/run/frames?run=99&from=0", nil, nil); status != 410 {
		t.Errorf("frames of another run are answered %d", status)
	}
}

func TestASystemThatEndsIsTold(t *testing.T) {
	var mu sync.Mutex
	var gone error
	w := &aWorld{at: &anInjector{}, alive: func() error { mu.Lock(); defer mu.Unlock(); return gone }}
	c := serve(t, Config{Worlds: w})
	var st state
	if status := c.ask("POST", "/api/open", map[string]string{"kind": "system", "name": "held"}, &st); status != 200 || st.Source.Kind != KindSystem || !strings.Contains(st.Source.Text, "name: held") {
		t.Fatalf("opening a system is answered %d %+v", status, st.Source)
	}
	resp := c.send("GET", "/api/events", nil, map[string]string{"Authorization": "Bearer " + token})
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Error(resp.Header)
	}
	mu.Lock()
	gone = fmt.Errorf("%w: somebody took it down", ErrGone)
	mu.Unlock()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), `"ended":true`) {
			if !strings.Contains(lines.Text(), "the system has ended") {
				t.Errorf("the end is told as %s", lines.Text())
			}
			return
		}
	}
	t.Error("the end was not told")
}

// A cluster that goes away may come back: the page says so, and goes on.
func TestASystemThatDoesNotAnswerIsWaitedFor(t *testing.T) {
	var mu sync.Mutex
	var why error
	set := func(err error) { mu.Lock(); defer mu.Unlock(); why = err }
	c := serve(t, Config{Worlds: &aWorld{at: &anInjector{}, alive: func() error { mu.Lock(); defer mu.Unlock(); return why }}})
	if status := c.ask("POST", "/api/open", map[string]string{"kind": "system", "name": "held"}, nil); status != 200 {
		t.Fatal(status)
	}
	await(t, c, func(v *runView) bool { return v.State == running && v.Unreachable == "" })
	set(errors.New("connection refused"))
	v := await(t, c, func(v *runView) bool { return v.Unreachable != "" && v.SilentFor > 1.5 })
	if v.Ended || v.Unreachable != "connection refused" || v.SilentFor > 20 {
		t.Errorf("a system that does not answer is told as %+v", v)
	}
	set(nil)
	v = await(t, c, func(v *runView) bool { return v.Unreachable == "" })
	if v.Ended || v.SilentFor != 0 || !strings.Contains(v.Progress, "it answers again, after ") {
		t.Errorf("a system that answers again is told as %+v", v)
	}
	set(fmt.Errorf("%w: it was taken down", ErrGone))
	if v = await(t, c, func(v *runView) bool { return v.Ended }); !strings.HasPrefix(v.Error, "the system has ended; ") || !strings.Contains(v.Error, "it was taken down") {
		t.Errorf("its end is told as %q", v.Error)
	}
}

func TestStopEndsARun(t *testing.T) {
	c := serve(t, Config{Worlds: &aWorld{play: func(ctx context.Context, o Order) (*result.Result, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("running: %w", ctx.Err())
	}}})
	c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnVirtual}, nil)
	if status := c.ask("POST", "/api/stop", struct{}{}, nil); status != 200 {
		t.Error(status)
	}
	if v := await(t, c, func(v *runView) bool { return v.Ended }); v.Error != errStopped.Error() {
		t.Errorf("it ended with %q", v.Error)
	}
}

func TestLoadsThatThePageAsksFor(t *testing.T) {
	var played experiment.Experiment
	c := serve(t, Config{Worlds: &aWorld{play: func(_ context.Context, o Order) (*result.Result, error) {
		played = o.Experiment
		return &result.Result{}, nil
	}}})
	for _, tt := range []struct {
		body   map[string]any
		status int
		rate   float64
	}{
		{map[string]any{"text": emptyText, "on": "virtual", "factor": 2.5}, 200, 50},
		{map[string]any{"text": emptyText, "on": "virtual", "factor": -1}, 400, 0},
		{map[string]any{"text": emptyText, "on": "moon"}, 400, 0},
		{map[string]any{"text": emptyText, "on": "local", "pace": 4}, 400, 0},
		{map[string]any{"text": emptyText, "on": "virtual", "variant": "none"}, 422, 0},
		{map[string]any{"text": "kind: x", "on": "virtual"}, 422, 0},
		{map[string]any{"text": "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: a\nservices: [{name: web}]\n", "on": "virtual", "load": map[string]any{"rate": 7, "seconds": 3}}, 200, 7},
	} {
		if status := c.ask("POST", "/api/run", tt.body, nil); status != tt.status {
			t.Errorf("%v is answered %d", tt.body, status)
			continue
		}
		if tt.status == 200 {
			await(t, c, func(v *runView) bool { return v.Ended })
			if got := played.Load.Phases[0].Rate; got != tt.rate {
				t.Errorf("%v plays %v a second", tt.body, got)
			}
		}
	}
}

func TestAnEditKeepsAllElse(t *testing.T) {
	c := serve(t, Config{Worlds: &aWorld{}})
	text := "# mine\r\napiVersion: microsim.dev/v1alpha1\r\nkind: System\r\nname: a\r\nservices:\r\n- {name: web}   # first\r\n- {name: db}\r\n"
	apply := func(op map[string]any) (string, failure, int) {
		var got struct {
			failure
			edited
		}
		status := c.ask("POST", "/api/edit", map[string]any{"text": text, "op": op}, &got)
		if status == 200 {
			// What the text describes comes with it, as a check says it.
			var asked checked
			c.ask("POST", "/api/check", map[string]any{"text": got.Text}, &asked)
			if diff := cmp.Diff(asked, got.Checked, cmpopts.EquateEmpty()); diff != "" || asked.Graph == nil {
				t.Errorf("%v is answered with another check: %s", op, diff)
			}
		}
		return got.Text, got.failure, status
	}
	got, _, status := apply(map[string]any{"op": "addService", "service": map[string]any{"name": "cart"}})
	if status != 200 || !strings.HasPrefix(got, text) || !strings.Contains(got[len(text):], "cart") {
		t.Errorf("adding a service is answered %d %q", status, got)
	}
	got, _, status = apply(map[string]any{"op": "addCall", "service": "web", "call": "db"})
	if status != 200 || !strings.Contains(got, "# first\r\n- {name: db}\r\n") || !strings.HasPrefix(got, "# mine\r\n") {
		t.Errorf("adding a call is answered %d %q", status, got)
	}
	// An edit of what the last one has left, and one of another text.
	first := text
	text = got
	if got, _, status = apply(map[string]any{"op": "setService", "service": "web", "field": "replicas", "value": 3}); status != 200 || !strings.Contains(got, "replicas: 3") || !strings.Contains(got, "db") {
		t.Errorf("a second edit is answered %d %q", status, got)
	}
	text = first
	if got, _, status = apply(map[string]any{"op": "removeService", "name": "db"}); status != 200 || strings.Contains(got, "replicas") {
		t.Errorf("an edit of the first text is answered %d %q", status, got)
	}
	for _, bad := range []map[string]any{{"op": "addCall", "service": "web", "call": "none"}, {"op": "removeService", "name": "none"}, {"op": "fly"}} {
		if _, f, status := apply(bad); status != 422 && status != 400 || f.Error == "" {
			t.Errorf("%v is answered %d %q", bad, status, f.Error)
		}
	}
	text = "kind: x"
	if _, f, status := apply(map[string]any{"op": "removeService", "name": "web"}); status != 422 || !strings.Contains(f.Error, "mistakes") {
		t.Errorf("an edit of a text with mistakes is answered %d %q", status, f.Error)
	}
}

// The page leads back to the file that the program was started with, reads it anew,
// and drops the figures of the other system.
func TestThePageLeadsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte(plainText), 0o600); err != nil {
		t.Fatal(err)
	}
	c := serve(t, Config{Worlds: &aWorld{play: func(context.Context, Order) (*result.Result, error) { return &result.Result{}, nil }}, Examples: []Example{{Name: "shop", Text: emptyText}}})
	if status := c.ask("POST", "/api/open", map[string]string{"kind": "home"}, nil); status != 400 {
		t.Errorf("without a home, going there is answered %d", status)
	}
	if err := c.Start(t.Context(), Home{Name: path, Open: func(context.Context) error { return c.OpenFile(path) }}); err != nil {
		t.Fatal(err)
	}
	c.played(plainText)
	var st state
	if c.ask("POST", "/api/open", map[string]string{"kind": "example", "name": "shop"}, &st); st.Source.Kind != KindExample || st.Home != path || st.Run != nil {
		t.Errorf("an example is opened as %+v of home %q, with the run %+v", st.Source, st.Home, st.Run)
	}
	if err := os.WriteFile(path, []byte(plainText+"# later\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c.ask("POST", "/api/open", map[string]string{"kind": "home"}, &st); st.Source.Text != plainText+"# later\n" || !st.Source.Savable {
		t.Errorf("the way back leads to %+v", st.Source)
	}
	if len(c.past) != 1 {
		t.Errorf("%d runs can be compared", len(c.past))
	}
}

// The program tells at its end which objects a run could not delete, even if the page
// has shown another run since.
func TestWhatIsLeftIsTold(t *testing.T) {
	c := serve(t, Config{Worlds: &aWorld{play: func(context.Context, Order) (*result.Result, error) {
		return nil, &runner.CleanupError{Err: errors.New("a pod is left")}
	}}})
	c.played(plainText)
	c.ask("POST", "/api/open", map[string]string{"kind": "text"}, nil)
	if err := c.Close(); err == nil || !strings.Contains(err.Error(), "a pod is left") {
		t.Errorf("it closes with %v", err)
	}
	c.left = nil
}

func TestLayoutsOfWhatThePageDraws(t *testing.T) {
	c := serve(t, Config{Worlds: &aWorld{}})
	var p placed
	if status := c.ask("POST", "/api/layout", layoutRequest{Nodes: []string{"", "web", "db"}, Edges: [][2]int{{0, 1}, {1, 2}}}, &p); status != 200 || len(p.Nodes) != 6 || p.Nodes[0] >= p.Nodes[2] || len(p.Paths) != 2 {
		t.Errorf("a chain is answered %d %+v", status, p)
	}
	one := []string{""}
	for _, bad := range []layoutRequest{{}, {Nodes: one, Edges: [][2]int{{0, 1}}}, {Nodes: one, Edges: [][2]int{{-1, 0}}}, {Nodes: make([]string, 1<<20)}, {Nodes: one, Shown: []int{1}}, {Nodes: one, Hot: []int{-1}}} {
		if status := c.ask("POST", "/api/layout", bad, nil); status != 400 {
			t.Errorf("%d nodes, %v is answered %d", len(bad.Nodes), bad.Edges, status)
		}
	}

	// A thousand services are grouped: some stand alone, and a group opens.
	large := layoutRequest{Nodes: []string{""}, Grouped: true, Shown: []int{777}, Hot: []int{500}}
	for v := 1; v <= 1000; v++ {
		large.Nodes = append(large.Nodes, fmt.Sprintf("svc-%d", v))
		large.Edges = append(large.Edges, [2]int{v / 10, v})
	}
	alone := func(v int) bool {
		return slices.ContainsFunc(p.Boxes, func(b placedBox) bool { return b.Why == "" && b.Members[0] == v })
	}
	if status := c.ask("POST", "/api/layout", large, &p); status != 200 || len(p.Boxes) > 80 || !alone(777) || !alone(500) {
		t.Fatalf("1000 services are answered %d with %d boxes", status, len(p.Boxes))
	}
	at := slices.IndexFunc(p.Boxes, func(b placedBox) bool { return b.Why != "" })
	group := p.Boxes[at]
	large.Open = []string{group.ID}
	before := len(p.Boxes)
	p = placed{}
	if c.ask("POST", "/api/layout", large, &p); len(p.Boxes) <= before {
		t.Errorf("with %q open, there are %d boxes, and %d without", group.ID, len(p.Boxes), before)
	}
}

// TestTheBundleIsSmall holds the page to what a browser loads in a moment.
func TestTheBundleIsSmall(t *testing.T) {
	const most = 190_000
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	err := fs.WalkDir(dist, "dist", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := dist.ReadFile(path)
		if err == nil {
			_, err = zip.Write(data)
		}
		return err
	})
	if err := errors.Join(err, zip.Close()); err != nil {
		t.Fatal(err)
	}
	if packed.Len() > most {
		t.Errorf("the bundle has %d bytes, gzipped, more than %d", packed.Len(), most)
	}
	for _, name := range []string{"index.html", "app.js", "app.css"} {
		if _, err := dist.Open("dist/" + name); err != nil {
			t.Errorf("%v; make webui builds it", err)
		}
	}
	page, _ := dist.ReadFile("dist/index.html")
	if bytes.Contains(page, []byte("<style")) || bytes.Contains(page, []byte("http")) {
		t.Error("the page has a style inside, or loads something from elsewhere, which its policy forbids")
	}
}
