package monitor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/observe/federation"
	"github.com/microsim-dev/kubectl-microsim/observe/monitor"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
)

// wanted skips a test that needs programs that are not asked for.
func wanted(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("MICROSIM_TEST_PROMETHEUS") == "" {
		t.Skip("MICROSIM_TEST_PROMETHEUS is not set: `make test-monitor` sets it")
	}
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is not installed: apt-get install prometheus", name)
		}
	}
}

// lab has, once it is loaded and cart fails, all that alerts and dashboards tell of: a
// busy worker and its queue, an open breaker, fallbacks, and a service that is away.
const lab = `
apiVersion: microsim.dev/v1alpha1
kind: System
name: lab
services:
  - name: web
    calls:
      - {to: cart, onError: ignore, breaker: {failures: 3, reset: 2s}, fallback: {kind: empty}, retry: {attempts: 2}}
      - {parallel: [{to: stock, onError: ignore}, {to: stock, onError: ignore}, {to: stock, onError: ignore}, {to: stock, onError: ignore}]}
  - name: cart
  - name: stock
    workers: 1
    shed: {queue: 2}
    work: {sleep: 200ms}
  - name: ghost
    replicas: 0
`

// upLab starts the lab on this machine, where the command finds it.
func upLab(t *testing.T) (*localsim.Deployment, *topology.System) {
	t.Helper()
	t.Setenv(registry.DirVariable, t.TempDir())
	docs, err := spec.Read("lab.yaml", strings.NewReader(lab))
	if err != nil {
		t.Fatal(err)
	}
	system := docs.Systems()[0]
	flags := local.Flags{Isolation: string(localsim.InProcess)}
	deployer, err := flags.Deployer(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	d, err := deployer.Up(t.Context(), system, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d, system
}

// start runs the command until the test ends, and returns the addresses that it prints.
func start(t *testing.T, args ...string) map[string]string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, talk := io.Pipe()
	var said bytes.Buffer
	cmd := New(cli.Streams{In: strings.NewReader(""), Out: talk, Err: &said})
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	ended := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		talk.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%v\n%s", err, said.String())
		}
	})
	addresses := map[string]string{}
	lines := bufio.NewScanner(out)
	for addresses["Prometheus"] == "" && lines.Scan() {
		if what, where, ok := strings.Cut(lines.Text(), "   "); ok {
			addresses[what] = strings.TrimSpace(where)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return addresses
}

// load asks a service for answers, some at once, until the test ends.
func load(t *testing.T, base string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/", nil)
			if err != nil {
				return
			}
			go func() {
				if response, err := http.DefaultClient.Do(request); err == nil {
					_, _ = io.Copy(io.Discard, response.Body)
					response.Body.Close()
				}
			}()
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
}

// query evaluates an expression and returns how many series there are.
func query(t *testing.T, base, expr string) (int, error) {
	t.Helper()
	response, err := http.Get(base + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Error != "" {
		return 0, fmt.Errorf("%s", answer.Error)
	}
	return len(answer.Data.Result), nil
}

// await evaluates expressions until each has had data at one time, and names those that
// never had.
func await(t *testing.T, base string, within time.Duration, exprs []string) {
	t.Helper()
	end := time.Now().Add(within)
	for {
		exprs = slices.DeleteFunc(exprs, func(expr string) bool {
			n, err := query(t, base, expr)
			if err != nil {
				t.Errorf("%s: %v", expr, err)
			}
			return err != nil || n > 0
		})
		if len(exprs) == 0 {
			return
		}
		if time.Now().After(end) {
			for _, expr := range exprs {
				t.Errorf("no data after %v: %s", within, expr)
			}
			return
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// A real Prometheus, configured by what the command writes, scrapes a running system:
// each alert of the rules fires, each query of the dashboards has data, and promtool
// finds nothing wrong.
func TestPrometheusWatchesASystem(t *testing.T) {
	wanted(t, "prometheus", "promtool")
	d, system := upLab(t)
	dir := filepath.Join(t.TempDir(), "files")
	at := start(t, "lab", "--on", "local", "--prometheus", "prometheus", "--out", dir)
	if err := d.Inject(t.Context(), "broken", fault.Fault{Type: fault.Error, Target: fault.Target{Service: "cart"}, Probability: 1, Args: fault.Args{Status: 500}}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	status, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	load(t, status.Services[0].Endpoint)
	options := monitor.Options{Interval: time.Second, Objective: monitor.DefaultObjective, Burn: monitor.ShortBurn}
	rules := monitor.RulesOf(system, options)

	var exprs []string
	for _, name := range []string{"ErrorBudgetBurnFast", "ErrorBudgetBurnSlow", monitor.QueueSaturated, monitor.WorkersSaturated, monitor.BreakerOpen, monitor.ServiceDown} {
		if !slices.Contains(rules.Alerts(), name) {
			t.Errorf("there is no alert %s", name)
		}
		exprs = append(exprs, fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing", system="lab", service!=""}`, name))
	}
	for _, dashboard := range monitor.Dashboards(system, options) {
		exprs = append(exprs, dashboard.Queries("10s", "web")...)
	}
	slices.Sort(exprs)
	await(t, at["Prometheus"], 45*time.Second, slices.Compact(exprs))
	if n, err := query(t, at["Prometheus"], `ALERTS{alertname="ServiceDown", service!="ghost"}`); n != 0 || err != nil {
		t.Errorf("services that answer count as down: %d, %v", n, err)
	}

	for _, args := range [][]string{{"check", "config", filepath.Join(dir, configFile)}, {"check", "rules", filepath.Join(dir, rulesFile)}} {
		if text, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, text)
		}
	}
	for _, path := range []string{federation.MetricsPath, federation.MetricsPath + "/web/1", federation.FaultsPath} {
		checkMetrics(t, strings.TrimSuffix(at["metrics of all services"], federation.MetricsPath)+path)
	}
}

// checkMetrics has promtool read a page.
func checkMetrics(t *testing.T, address string) {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s answers %s", address, response.Status)
	}
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = response.Body
	if text, err := check.CombinedOutput(); err != nil || len(text) > 0 {
		t.Errorf("promtool check metrics of %s: %v\n%s", address, err, text)
	}
}

// The directory of --storage has the samples after the command, and nothing else is left;
// without it, nothing is.
func TestPrometheusKeepsItsStorage(t *testing.T) {
	wanted(t, "prometheus")
	upLab(t)
	storage := filepath.Join(t.TempDir(), "samples")
	t.Setenv("TMPDIR", t.TempDir())
	t.Run("while it runs", func(t *testing.T) {
		start(t, "lab", "--on", "local", "--prometheus", "prometheus", "--storage", storage)
	})
	if _, err := os.Stat(filepath.Join(storage, "wal")); err != nil {
		t.Errorf("there are no samples: %v", err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The command ends with an error if Prometheus dies, and if the system goes.
func TestPrometheusOrTheSystemMayEnd(t *testing.T) {
	wanted(t, "prometheus")
	d, _ := upLab(t)
	var talk strings.Builder
	run := func(out io.Writer, args ...string) error {
		cmd := New(cli.Streams{In: strings.NewReader(""), Out: out, Err: &talk})
		cmd.SetArgs(args)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		return cmd.ExecuteContext(t.Context())
	}
	path := filepath.Join(t.TempDir(), "mortal")
	// It runs the real one for two seconds.
	script := "#!/bin/sh\n[ \"$1\" = --version ] && exec prometheus --version\nexec timeout -s KILL 2 prometheus \"$@\"\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run(io.Discard, "lab", "--on", "local", "--prometheus", path); err == nil || !strings.Contains(err.Error(), "running Prometheus: it ended") {
		t.Errorf("a Prometheus that dies: %v", err)
	}
	gone := make(chan error)
	printed, out := io.Pipe()
	go func() { gone <- run(out, "lab", "--on", "local") }()
	lines := bufio.NewScanner(printed)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "dashboard: experiment") {
	}
	go func() { _, _ = io.Copy(io.Discard, printed) }()
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; err == nil || !strings.Contains(err.Error(), "has been taken down") {
		t.Errorf("a system that goes: %v", err)
	}
}
