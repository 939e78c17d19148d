package plugin

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// cases is the directory of inputs with one right outcome; see its README.
var cases = filepath.Join("..", "testdata", "cases")

func TestEveryCaseIsDescribed(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(cases, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(cases)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "README.md" && !strings.Contains(string(readme), "\n| `"+name+"` |") {
			t.Errorf("testdata/cases/README.md has no row for %q: say what it is, what to do and what is right", name)
		}
	}
}

// Invalid durations are refused in files and flags, with what to write.
func TestWrongDurationsAreRefused(t *testing.T) {
	lines, err := os.ReadFile(filepath.Join(cases, "durations.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(lines)) {
		text = strings.TrimSuffix(text, "\n")
		t.Run(text, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "system.yaml")
			system := "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: d\nservices:\n  - {name: web, work: {sleep: \"" + text + "\"}}\n"
			if err := os.WriteFile(file, []byte(system), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				{"validate", "-f", file},
				{"load", "--url", "http://127.0.0.1:1/", "--rate", "1", "--count", "1", "--duration=" + text},
			} {
				var out, talk bytes.Buffer
				code := Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
				if code == cli.ExitDone || !strings.Contains(talk.String(), `"`+text+`"`) || !strings.Contains(talk.String(), "write ") {
					t.Errorf("%q: exit code %d, and on stderr: %s", args, code, talk.String())
				}
			}
		})
	}
}

// A number that readers of YAML disagree on is refused, with what to write.
func TestOctalNumbersAreRefused(t *testing.T) {
	var out, talk bytes.Buffer
	code := Run(t.Context(), []string{"validate", "-f", filepath.Join(cases, "octal.yaml")}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
	if code == cli.ExitDone || !strings.Contains(talk.String(), "octal.yaml:5:25: services[0].replicas: 010") || !strings.Contains(talk.String(), "write 10, or 8") {
		t.Errorf("exit code %d, and on stderr: %s", code, talk.String())
	}
}

// Shares are read alike in files and flags.
func TestPercentsAndShares(t *testing.T) {
	file := filepath.Join(t.TempDir(), "system.yaml")
	system := "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: d\nservices:\n  - {name: web, errorRate: 5%, calls: [{to: db, probability: 10%}]}\n  - name: db\n"
	if err := os.WriteFile(file, []byte(system), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, talk bytes.Buffer
	if code := Run(t.Context(), []string{"convert", "-f", file}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk}); code != cli.ExitDone {
		t.Fatalf("exit code %d: %s", code, talk.String())
	}
	if text := out.String(); !strings.Contains(text, "errorRate: 0.05") || !strings.Contains(text, "probability: 0.1") {
		t.Errorf("shares became\n%s", text)
	}
}

// A chain of which a hop fails is an error of its client, and the hop is named.
func TestFailedHopsOfLoads(t *testing.T) {
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir()) // others may run this test, too
	text, err := os.ReadFile(filepath.Join(cases, "failed-hop.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(string(text), "\n---\n")
	if len(documents) != 3 {
		t.Fatalf("the case has %d documents", len(documents))
	}
	for i, want := range []struct {
		hop, reason string
		requests    int64
	}{
		{"front_end -> ghost", "not a service of system", 10},
		{"front_end -> back_end", "503", 5},
	} {
		t.Run(want.hop, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "one.yaml")
			if err := os.WriteFile(file, []byte(documents[0]+"\n---\n"+documents[1+i]), 0o644); err != nil {
				t.Fatal(err)
			}
			var out, talk bytes.Buffer
			if code := Run(t.Context(), []string{"run", "-f", file, "--on", "local", "-o", "json"}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk}); code != cli.ExitDone {
				t.Fatalf("exit code %d: %s", code, talk.String())
			}
			var r result.Result
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			clients := r.Segments[0].Clients
			if clients.Requests != want.requests || clients.Errors != want.requests || clients.Outcomes[outcome.FailedHop] != want.requests {
				t.Errorf("clients are %+v, want %d errors of as many", clients, want.requests)
			}
			if f := r.Load.Failures; len(f) != 1 || f[0].Hop != want.hop || !strings.Contains(f[0].Example.Text, want.reason) || f[0].Count != want.requests {
				t.Errorf("the failures are %+v", f)
			}
			r.Judge([]experiment.Check{{Expr: "errors < 1%"}})
			if r.Passed {
				t.Error("the check errors < 1% passes")
			}
			talk.Reset()
			if Run(t.Context(), []string{"validate", "-f", file}, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &talk}); strings.Contains(talk.String(), `designation "ghost" leads nowhere`) != (i == 0) {
				t.Errorf("validate says %q", talk.String())
			}
		})
	}
}

// Two loads that run together fail as each does alone, and are told apart.
func TestFailedHopsOfLoadsTogether(t *testing.T) {
	var r result.Result
	runCase(t, "failed-hop.yaml", "result.json", &r)
	if c := r.Segments[0].Clients; c.Requests != 15 || c.Outcomes[outcome.FailedHop] != 15 {
		t.Errorf("clients are %+v, want 15 failed hops", c)
	}
	hops := map[string]int64{}
	for _, f := range r.Load.Failures {
		hops[f.Hop] += f.Count
	}
	if hops["front_end -> ghost"] != 10 || hops["front_end -> back_end"] != 5 {
		t.Errorf("the failed hops are %v", hops)
	}
	if q := r.Load.Requests; len(q) != 2 || q[0].Name != "to-nobody" || q[0].Stats.Sent != 10 || q[1].Stats.Sent != 5 {
		t.Errorf("the requests are %+v", q)
	}
}

// runCase runs an experiment on this machine and returns what it wrote into a
// file of its directory.
func runCase(t *testing.T, name, file string, into any) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	var out, talk bytes.Buffer
	code := Run(t.Context(), []string{"run", "-f", filepath.Join(cases, name), "--on", "local", "--out", dir}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
	// A busy machine serves less than the checks of a case want.
	if code != cli.ExitDone && code != cli.ExitCheckFailed {
		t.Fatalf("exit code %d: %s%s", code, out.String(), talk.String())
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// An overloaded system shows what it served, and not what was asked of it; and a
// queue without an end is no better than one with.
func TestOverloadShowsWhatWasServed(t *testing.T) {
	var c result.Comparison
	runCase(t, "overload.yaml", "comparison.json", &c)
	for _, v := range c.Variants {
		// 50 a second are possible, fewer on a busy machine.
		if math.Abs(v.Offered.Mean-100) > 1 || v.Goodput.Mean > 51 || v.Goodput.Mean < 20 || v.Name == "endless-queue" && v.Rate.Mean > 51 {
			t.Errorf("%s: offered %v/s, rate %v/s, goodput %v/s", v.Name, v.Offered.Mean, v.Rate.Mean, v.Goodput.Mean)
		}
	}
	if best := c.Ranking[0].Variant; best != "shedding" {
		t.Errorf("%s is ranked first: %+v", best, c.Ranking)
	}
}

// A dropped request is offered and an error, once, and takes nothing from what
// was served.
func TestDroppedRequestsCountOnce(t *testing.T) {
	var r result.Result
	runCase(t, "goodput-dropped.yaml", "result.json", &r)
	run, phase, total := r.Segments[0].Clients, r.Segments[1].Clients, r.Load.Total
	if math.Abs(run.OfferedRate-50) > 0.5 || run.Ended != run.Outcomes[outcome.OK] || run.Goodput != run.Rate || run.Goodput > 20.5 {
		t.Errorf("the run: %+v", run)
	}
	if phase.Ended != run.Ended || phase.Rate != run.Rate || total.Ended != run.Ended || math.Abs(total.Goodput-run.Goodput) > 1e-9 || total.OfferedRate != run.OfferedRate {
		t.Errorf("the run, its phase and the report of its load disagree:\n%+v\n%+v\n%+v", run, phase, total)
	}
}
