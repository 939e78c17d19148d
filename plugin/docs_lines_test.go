package plugin

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// offline are the commands that start nothing, with any flags; run does so with --on
// virtual.
var offline = []string{"convert", "dataset", "examples", "export", "limit", "schema", "search", "sweep", "validate"}

// docLine is a command as pages show it, with its first word and without what they
// say of it.
var docLine = regexp.MustCompile(`^ +(kubectl microsim ([a-z]+)(?: ?[^ #\n]+)*)`)

// notHere has what is in lines that need more than a file.
var notHere = []string{
	"framework-bakeoff", // a calibration of runtimes that are installed
	"other.json",        // a calibration
	"https://",          // a server
	"--on local",
	"completion",
	"--precision 1%", "--budget 1000", "--budget 400", "100..2000/100", "--duration 2h", "limit shop", "sweep shop --vary load.rate=200..1800/200", // long on a busy machine
}

// filesOfLines are what the lines read, beside what those before them wrote.
var filesOfLines = map[string]string{
	"experiment.yaml": `
kind: Experiment
name: mine
system: {services: [{name: web, calls: [cart]}, {name: cart, workers: 4, work: {sleep: 5ms}, calls: [db]}, {name: db}]}
load: {rate: 100, duration: 5s}
checks: [p99 < 300ms, errors < 5%]
`,
	"system.yaml": `
kind: System
name: mine
services: [{name: web, calls: [cart]}, {name: cart, workers: 4, work: {sleep: 5ms}}]
`,
	"load.yaml": `
apiVersion: microsim.isala.me/v1alpha1
kind: LoadGenerator
metadata: {name: load}
spec:
  simulationRef: {name: mine}
  replicas: 1
  requestCount: 20
  betweenDelay: 100ms
  requests: ['{"designation": "web", "probability": 100}']
`,
	"topology.yaml": `
services: [{name: web, isEntrypoint: true, script: [{call: cart}]}, {name: cart}]
`,
	"shop.yaml": `
kind: System
name: mine
services: [{name: web, calls: [cart]}, {name: cart}]
`,
}

// The lines of the pages and of the help do what they say, one after another as a
// reader would type them.
func TestCommandsOfTheDocsRun(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands, err := filepath.Glob(filepath.Join("..", "docs", "commands", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages = append(append(pages, commands...), filepath.Join("..", "README.md"))
	seen, ran := map[string]bool{}, 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for name, content := range filesOfLines {
			if strings.Contains(content, "\nkind") && !strings.Contains(content, "apiVersion") {
				content = "apiVersion: microsim.dev/v1alpha1" + content
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, line := range linesToRun(string(text)) {
			if seen[line] && !strings.Contains(line, "--out") {
				continue
			}
			seen[line] = true
			ran++
			if out, err := runLine(dir, line); err != nil {
				t.Errorf("%s: %s: %v\n%s", page, line, err, out)
			}
		}
	}
	if ran < 20 {
		t.Errorf("%d lines ran; they are found by their form", ran)
	}
}

// linesToRun are the commands of a page that need nothing but files.
func linesToRun(page string) (lines []string) {
	for text := range strings.Lines(page) {
		m := docLine.FindStringSubmatch(text)
		if m == nil || !slices.Contains(offline, m[2]) && !strings.Contains(m[1], "--on virtual") {
			continue
		}
		if !slices.ContainsFunc(notHere, func(what string) bool { return strings.Contains(m[1], what) }) {
			lines = append(lines, m[1])
		}
	}
	return lines
}

// runLine runs a line of a page in a directory, with the shell, as a reader does.
func runLine(dir, line string) (string, error) {
	cmd := exec.Command("sh", "-c", strings.Replace(line, "kubectl microsim", "kubectl-microsim", 1))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "MICROSIM_STATE_DIR="+filepath.Join(dir, "state"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
