package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named is how the page names a test: `package/path.TestName`.
var named = regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`")

// TestTheThreatModelIsProven walks docs/threat-model.md: each line of its tables names
// tests, all of which exist.
func TestTheThreatModelIsProven(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash("../../docs/threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	doors, lines := 0, 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| who ") {
			doors++
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| who |") || strings.HasPrefix(line, "|---") {
			continue
		}
		lines++
		cells := strings.Split(strings.TrimSpace(line), "|")
		tests := named.FindAllStringSubmatch(cells[len(cells)-2], -1)
		if len(cells) != 6 || len(tests) == 0 {
			t.Errorf("this line names no test, or has other columns: %s", line)
		}
		for _, test := range tests {
			if !hasTest(t, test[1], test[2]) {
				t.Errorf("%s has no %s, which proves: %s", test[1], test[2], line)
			}
		}
	}
	for _, door := range []string{"A mock service", "The control plane", "The API of gates", "The proxy to pods", "The agent that generates load", "The helper of a node", "The account of a detached"} {
		if !strings.Contains(string(text), "\n## "+door) {
			t.Errorf("the page says nothing about %q", door)
		}
	}
	if doors < 7 || lines < 25 {
		t.Errorf("only %d tables with %d lines were found: this test does not see them any more", doors, lines)
	}
}

// hasTest reports whether a package has a test.
func hasTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pkg), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T) {") {
			return true
		}
	}
	return false
}
