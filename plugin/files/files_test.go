package files

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

const system = `
apiVersion: microsim.dev/v1alpha1
kind: System
name: %s
services: [{name: web, calls: [db]}, {name: db}]
`

// list is what `kubectl get -o yaml` prints of two objects.
const list = `
apiVersion: v1
kind: List
items:
- {apiVersion: microsim.isala.me/v1alpha1, kind: Simulation, metadata: {name: sim}, spec: {services: {a: {language: go, framework: gorilla}}}}
- {apiVersion: microsim.isala.me/v1alpha1, kind: LoadGenerator, metadata: {name: gen}, spec: {simulationRef: {name: sim}, replicas: 1, requestCount: 3, betweenDelay: 100ms, requests: ['{"designation":"a"}']}}
`

// play runs a command, and returns what it prints, its talk, and its exit code.
func play(t *testing.T, command func(cli.Streams) *cobra.Command, stdin string, args ...string) (out, talk string, code int) {
	t.Helper()
	var o, e strings.Builder
	streams := cli.Streams{In: strings.NewReader(stdin), Out: &o, Err: &e}
	cmd := command(streams)
	root := &cobra.Command{Use: "microsim", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(cmd)
	root.SetArgs(append([]string{cmd.Name()}, args...))
	err := root.ExecuteContext(t.Context())
	code = cli.Conclude(streams.Err, err)
	return o.String(), e.String(), code
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Files come by -f, by name, from standard input, a directory, a URL or an example, and
// several at once.
func TestWhereFilesComeFrom(t *testing.T) {
	dir := t.TempDir()
	one := write(t, filepath.Join(dir, "one.yaml"), fmt.Sprintf(system, "one"))
	many := filepath.Join(dir, "many")
	write(t, filepath.Join(many, "a.yaml"), fmt.Sprintf(system, "first")+"---"+fmt.Sprintf(system, "second"))
	write(t, filepath.Join(many, "b.yml"), fmt.Sprintf(system, "third"))
	write(t, filepath.Join(many, "notes.txt"), "this is no file of ours")
	write(t, filepath.Join(many, "below", "c.yaml"), fmt.Sprintf(system, "below"))
	objects := write(t, filepath.Join(dir, "list.yaml"), list)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/there.yaml" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, system, "remote")
	}))
	t.Cleanup(server.Close)
	for name, tt := range map[string]struct {
		args  []string
		stdin string
		names string
		err   string
	}{
		"-f":                           {[]string{"-f", one}, "", "system/one", ""},
		"a name":                       {[]string{one}, "", "system/one", ""},
		"both, in that order":          {[]string{one, "-f", objects}, "", "system/sim load/gen system/one", ""},
		"standard input":               {[]string{"-f", "-"}, fmt.Sprintf(system, "piped"), "system/piped", ""},
		"a directory, not those in it": {[]string{"-f", many}, "", "system/first system/second system/third", ""},
		"a URL":                        {[]string{"-f", server.URL + "/there.yaml"}, "", "system/remote", ""},
		"an example":                   {[]string{"shop"}, "", "experiment/shop", ""},
		"kind List":                    {[]string{"-f", objects}, "", "system/sim load/gen", ""},
		"a URL that is not there":      {[]string{"-f", server.URL + "/gone.yaml"}, "", "", "404 Not Found"},
		"a file that is not there":     {[]string{"-f", filepath.Join(dir, "gone.yaml")}, "", "", "gone.yaml"},
		"nothing on standard input":    {[]string{"-f", "-"}, "", "", "stdin: the file is empty"},
		"text that is no description":  {[]string{"-f", filepath.Join(many, "notes.txt")}, "", "", "notes.txt:1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			out, talk, code := play(t, NewValidate, tt.stdin, append(tt.args, "-o", "name")...)
			if tt.err != "" {
				if code != cli.ExitError || !strings.Contains(talk, tt.err) || out != "" {
					t.Errorf("exit code %d, %q, and %q; want %q", code, out, talk, tt.err)
				}
				return
			}
			if got := strings.Join(strings.Fields(out), " "); code != cli.ExitDone || got != tt.names {
				t.Errorf("exit code %d, %q; want %q\n%s", code, got, tt.names, talk)
			}
		})
	}
}

func TestWhatValidateRefuses(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "one.yaml"), fmt.Sprintf(system, "one"))
	for name, tt := range map[string]struct {
		args []string
		code int
		err  string
	}{
		"nothing":               {nil, cli.ExitUsage, "there is nothing to check"},
		"advice beside names":   {[]string{file, "--advise", "-o", "name"}, cli.ExitUsage, "--advise says more than names"},
		"an unknown output":     {[]string{file, "-o", "xml"}, cli.ExitUsage, "xml"},
		"advice with a listing": {[]string{file, "--advise"}, cli.ExitDone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if out, talk, code := play(t, NewValidate, "", tt.args...); code != tt.code || !strings.Contains(talk, tt.err) {
				t.Errorf("exit code %d, %q, %q; want %d and %q", code, out, talk, tt.code, tt.err)
			}
		})
	}
}

// Advice on a variant is what is not advised on all of the experiment already.
func TestAdviceOnVariants(t *testing.T) {
	const experiment = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: e
system:
  name: s
  services:
  - {name: web, workers: 2, calls: [{to: db, method: POST, timeout: 1s, retry: {attempts: 3}}]}
  - {name: db}
load: {rate: 1, duration: 9s}
variants:
- {name: same}
- {name: slower, set: {service: web, call: db, timeout: 2s}}
- {name: hedged, set: {service: web, call: db, hedge: {after: 10ms}}}
`
	out, talk, code := play(t, NewValidate, experiment, "-f", "-", "--advise", "-o", "json")
	if code != cli.ExitDone {
		t.Fatalf("exit code %d: %s", code, talk)
	}
	if strings.Count(out, `"rule"`) < 2 || strings.Count(out, `"variant"`) != 1 || !strings.Contains(out, `"variant": "hedged"`) {
		t.Errorf("the advice is\n%s", out)
	}
	text, _, _ := play(t, NewValidate, fmt.Sprintf(system, "one"), "-f", "-", "--advise")
	if !strings.Contains(text, "nothing to advise") {
		t.Errorf("a system without calls under pressure gets\n%s", text)
	}
}

func TestConvertPrintsTheNativeForm(t *testing.T) {
	out, talk, code := play(t, NewConvert, list, "-f", "-")
	if code != cli.ExitDone {
		t.Fatalf("exit code %d: %s", code, talk)
	}
	for _, line := range []string{"kind: System", "kind: Experiment", "name: sim", "system: sim"} {
		if !strings.Contains(out, line+"\n") {
			t.Errorf("the native form has no %q:\n%s", line, out)
		}
	}
	if names, talk, code := play(t, NewValidate, out, "-f", "-", "-o", "name"); code != cli.ExitDone || names != "system/sim\nexperiment/gen\n" {
		t.Errorf("what was printed is read as %q: exit code %d, %s", names, code, talk)
	}
	if _, talk, code := play(t, NewConvert, ""); code != cli.ExitUsage || !strings.Contains(talk, "there is nothing to convert") {
		t.Errorf("without a file: exit code %d, %s", code, talk)
	}
}

// Files that exist are overwritten only if that is asked for, and then in full.
func TestExamplesAreWrittenOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	want, _, code := play(t, NewExamples, "", "shop")
	if code != cli.ExitDone || !strings.Contains(want, "kind: ") {
		t.Fatalf("exit code %d, %q", code, want)
	}
	if out, talk, code := play(t, NewExamples, "", "shop", "--write", dir); code != cli.ExitDone || !strings.Contains(out, "shop.yaml written") {
		t.Fatalf("exit code %d, %q, %s", code, out, talk)
	}
	path := filepath.Join(dir, "shop.yaml")
	write(t, path, "mine"+strings.Repeat(" ", len(want)))
	if _, talk, code := play(t, NewExamples, "", "shop", "--write", dir); code != cli.ExitError || !strings.Contains(talk, "use --force") {
		t.Errorf("a file that exists: exit code %d, %s", code, talk)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(text), "mine") {
		t.Errorf("the file has %q, %v", text, err)
	}
	if _, talk, code := play(t, NewExamples, "", "shop", "--write", dir, "--force"); code != cli.ExitDone {
		t.Errorf("with --force: exit code %d, %s", code, talk)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != want {
		t.Errorf("the file has %q, %v", text, err)
	}
}

func TestWhatExamplesRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		code int
		err  string
	}{
		"a misspelt name":            {[]string{"shpo"}, cli.ExitError, `did you mean "shop"`},
		"--force alone":              {[]string{"--force"}, cli.ExitUsage, "write it, too"},
		"-o with a name":             {[]string{"shop", "-o", "json"}, cli.ExitUsage, "leave them out"},
		"--no-headers with --write":  {[]string{"--write", t.TempDir(), "--no-headers"}, cli.ExitUsage, "leave them out"},
		"calls of a shape":           {[]string{"generate", "star", "--calls", "3"}, cli.ExitUsage, "are for the shape random"},
		"seed of a shape":            {[]string{"generate", "chain", "--seed", "3"}, cli.ExitUsage, "are for the shape random"},
		"more calls than there are":  {[]string{"generate", "random", "--services", "3", "--calls", "4"}, cli.ExitUsage, "3"},
		"an unknown shape":           {[]string{"generate", "blob"}, cli.ExitError, "blob"},
		"as many calls as there are": {[]string{"generate", "random", "--services", "3", "--calls", "3"}, cli.ExitDone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, talk, code := play(t, NewExamples, "", tt.args...); code != tt.code || !strings.Contains(talk, tt.err) {
				t.Errorf("exit code %d, %q; want %d and %q", code, talk, tt.code, tt.err)
			}
		})
	}
}

// Five calls a service, or as many as a system without cycles can have.
func TestCallsOf(t *testing.T) {
	for services, want := range map[int]int{1: 0, 2: 1, 3: 3, 5: 10, 10: 45, 11: 55, 12: 60, 100: 500} {
		if got := callsOf(services); got != want {
			t.Errorf("%d services have %d calls, want %d", services, got, want)
		}
		if _, talk, code := play(t, NewExamples, "", "generate", "random", "--services", fmt.Sprint(services)); code != cli.ExitDone {
			t.Errorf("%d services: exit code %d, %s", services, code, talk)
		}
	}
}

func TestSchemas(t *testing.T) {
	for kind, want := range map[string]string{"system": "System", "experiment": "Experiment", "dataset": "Dataset"} {
		if out, talk, code := play(t, NewSchema, "", kind); code != cli.ExitDone || !strings.Contains(out, `"`+want+`"`) || !strings.Contains(out, "$schema") {
			t.Errorf("%s: exit code %d, %.200s %s", kind, code, out, talk)
		}
	}
}
