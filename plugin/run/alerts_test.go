package run

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// prometheusWanted skips a test that needs Prometheus where it is not asked for.
func prometheusWanted(t *testing.T) {
	t.Helper()
	if os.Getenv("MICROSIM_TEST_PROMETHEUS") == "" {
		t.Skip("MICROSIM_TEST_PROMETHEUS is not set: `make test-monitor` sets it")
	}
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatal("prometheus is not installed: apt-get install prometheus")
	}
}

// A program is the command in a process of its own, so that several run at the same time.
type program struct {
	code   int
	result *result.Result
	talk   string
}

// watchedBy calls saw for each line that the program prints to stderr.
type watchedBy struct {
	mu   sync.Mutex
	text bytes.Buffer
	saw  func(text string)
}

func (w *watchedBy) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if w.saw != nil {
		w.saw(w.text.String())
	}
	return len(p), nil
}

// runProgram runs the command with its own systems and temporary files, of which nothing
// may be left.
func runProgram(t *testing.T, saw func(string), args ...string) program {
	temp, state := t.TempDir(), t.TempDir()
	cmd := exec.Command(os.Args[0], append([]string{asCommand}, append(args, "--on", "local", "-o", "json")...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, registry.DirVariable+"="+state)
	var out bytes.Buffer
	talk := &watchedBy{saw: saw}
	cmd.Stdout, cmd.Stderr = &out, talk
	err := cmd.Run()
	p := program{code: cmd.ProcessState.ExitCode(), talk: talk.text.String()}
	if out.Len() > 0 {
		p.result = &result.Result{}
		if err := json.Unmarshal(out.Bytes(), p.result); err != nil {
			t.Errorf("%v: %s", err, out.String())
		}
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	return p
}

// The lesson of the example: the slow alert fails, and the mended one passes.
func TestPrometheusJudgesTheExample(t *testing.T) {
	prometheusWanted(t)
	var runs sync.WaitGroup
	out := t.TempDir()
	for variant, code := range map[string]int{"slow": cli.ExitCheckFailed, "mended": cli.ExitDone} {
		runs.Go(func() {
			dir := filepath.Join(out, variant)
			// One of several is a comparison: its result is in the directory.
			cmd := exec.Command(os.Args[0], asCommand, "alerts", "--variants", variant, "--prometheus", "prometheus", "--on", "local", "--out", dir)
			cmd.Env = append(os.Environ(), registry.DirVariable+"="+filepath.Join(out, variant+"-state"))
			text, _ := cmd.CombinedOutput() // the exit code says it
			if got := cmd.ProcessState.ExitCode(); got != code {
				t.Errorf("%s: exit code %d, want %d\n%s", variant, got, code, text)
				return
			}
			r := resultBelow(t, dir)
			if r == nil || r.Alerts == nil || r.Alerts.Trouble != "" || len(r.Alerts.Fired) == 0 {
				t.Errorf("%s: alerts %+v", variant, r)
				return
			}
			// Alerts fired for the cart alone.
			for _, f := range r.Alerts.Fired {
				if f.Alert != "HighErrors" || f.Labels["service"] != "cart" {
					t.Errorf("%s: %+v fired", variant, f)
				}
			}
			detected := len(r.Faults[0].Detections) == 1
			if detected != (variant == "mended") {
				t.Errorf("%s: the fault was detected by %+v", variant, r.Faults[0].Detections)
			}
		})
	}
	runs.Wait()
}

// resultBelow reads the one result in a directory.
func resultBelow(t *testing.T, dir string) *result.Result {
	var found []string
	_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == "result.json" {
			found = append(found, path)
		}
		return nil
	})
	if len(found) != 1 {
		t.Errorf("results %v below %s", found, dir)
		return nil
	}
	text, err := os.ReadFile(found[0])
	r := &result.Result{}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		t.Error(err)
	}
	return r
}

const brief = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: brief
system: {name: brief, services: [{name: web}]}
load: {rate: 20, duration: 4s}
faults: [{name: broken, type: error, status: 500, target: web, start: 1s}]
`

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// An error of Prometheus or its rules is reported, and makes no check pass.
func TestPrometheusInTrouble(t *testing.T) {
	prometheusWanted(t)
	named := write(t, "brief.yaml", brief+"checks: [{check: alert Missing fires < 3s after broken}]\n")
	quiet := write(t, "quiet.yaml", brief+"checks: [{check: no alert fires}]\n")
	plain := write(t, "plain.yaml", brief)
	bad := write(t, "bad.yml", "groups: [{name: g, rules: [{alert: Bad, expr: 'sum(('}]}]\n")
	good := write(t, "good.yml", "groups: [{name: g, rules: [{alert: Always, expr: 'vector(1)'}]}]\n")
	kill := filepath.Join(t.TempDir(), "kill")
	mortal := write(t, "mortal", `#!/bin/sh
[ "$1" = --version ] && exec prometheus --version
prometheus "$@" & p=$!
while [ ! -e `+kill+` ] && kill -0 $p; do sleep 0.1; done
kill -9 $p; wait $p; exit 9
`)
	dies := func(text string) {
		if strings.Contains(text, "phase") {
			_ = os.WriteFile(kill, nil, 0o644)
		}
	}
	var runs sync.WaitGroup
	defer runs.Wait()
	for _, tt := range []struct {
		name string
		args []string
		saw  func(string)
		code int
		want string
	}{
		{"an alert that is not there", []string{"-f", named, "--prometheus", "prometheus"}, nil, cli.ExitError, `there is no alert "Missing"`},
		{"a rule that cannot be read", []string{"-f", quiet, "--prometheus", "prometheus", "--rules", bad}, nil, cli.ExitError, "could not parse expression"},
		{"rules of a file", []string{"-f", quiet, "--prometheus", "prometheus", "--rules", good}, nil, cli.ExitCheckFailed, "fired: Always"},
		{"no checks", []string{"-f", plain, "--prometheus", "prometheus"}, nil, cli.ExitDone, ""},
		{"it dies", []string{"-f", quiet, "--prometheus", mortal}, dies, cli.ExitCheckFailed, "not known: running Prometheus: it ended with exit status 9"},
	} {
		runs.Go(func() {
			began := time.Now()
			p := runProgram(t, tt.saw, tt.args...)
			said := p.talk
			if p.result != nil {
				for _, c := range p.result.Checks {
					said += c.Why
				}
			}
			if p.code != tt.code || !strings.Contains(said, tt.want) {
				t.Errorf("%s, after %v: exit code %d, want %d with %q:\n%s", tt.name, time.Since(began), p.code, tt.code, tt.want, said)
			}
			if tt.name == "no checks" && (p.result.Alerts == nil || len(p.result.Alerts.Names) == 0 || p.result.Alerts.Trouble != "") {
				t.Errorf("%s: %+v", tt.name, p.result.Alerts)
			}
		})
	}
}
