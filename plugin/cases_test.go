package plugin

import (
	"bytes"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"os"
	"path/filepath"
	"strings"
	"testing"
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

// What is not a duration is refused in files and flags, with what to write.
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
