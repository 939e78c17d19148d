//go:build linux

package trust

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// runScript runs a script of the cases with the program, and returns what it
// prints. Its exit code is left aside: a busy machine may be late.
func runScript(t *testing.T, b *box, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "testdata", "cases", name))
	if err != nil {
		t.Fatal(err)
	}
	script := exec.Command("/bin/bash", path)
	script.Dir, script.Env = b.path("work"), b.environment("MICROSIM="+program)
	out, _ := script.CombinedOutput()
	return string(out)
}

// The cases that are scripts; double-apply.sh needs root, and is a test of the
// package that applies faults.
func TestScriptsOfCases(t *testing.T) {
	for name, right := range map[string]func(string) bool{
		"two-signals.sh": func(out string) bool { return regexp.MustCompile(`^0 signs of an unclean end`).MatchString(out) },
		"overlapping-gate-faults.sh": func(out string) bool {
			found := regexp.MustCompile(`a request took ([0-9.]+) s`).FindStringSubmatch(out)
			if found == nil {
				return false
			}
			took, err := strconv.ParseFloat(found[1], 64)
			return err == nil && took >= 2.95
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("curl"); err != nil && name == "overlapping-gate-faults.sh" {
				t.Fatal("the case needs curl, which is not installed")
			}
			b := newBox(t)
			if out := runScript(t, b, name); !right(out) {
				t.Error(out)
			}
			if left := b.settle(settleTime); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// The cases that are files, as the command line sees them; the tests of
// other packages look at values and results.
func TestFilesOfCases(t *testing.T) {
	with := func(name string) func(t *testing.T, b *box) {
		return func(t *testing.T, b *box) {
			text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "cases", name))
			if err != nil {
				t.Fatal(err)
			}
			b.write(t, name, text)
		}
	}
	runAll(t, []trial{
		{name: "misspelt gate", command: command{args: words("gate --config gate-config.json --api 127.0.0.1:0")}, prepare: with("gate-config.json"), code: 1, says: []string{`field "lissten" is not known; known are name, listen`}},
		{name: "too late", command: command{args: words("validate -f fault-too-late.yaml")}, prepare: with("fault-too-late.yaml"), code: 1, says: []string{`:10:41: .*start`, `:11:55: .*duration`, `:12:62: .*interval`}},
		{name: "labels", command: command{args: words("validate -f chaos-mesh-labels.yaml")}, prepare: with("chaos-mesh-labels.yaml"), says: []string{"16:16: .*paused"}, prints: []string{"faults/slow-cart valid"}},
		{name: "octal", command: command{args: words("up --on local -f octal.yaml")}, prepare: with("octal.yaml"), code: 1, says: []string{"octal.yaml:5:25: .*write 10, or 8"}},
	})
}
