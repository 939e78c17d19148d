package golden

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// root is the directory of the module.
const root = "../.."

// compare holds a text against a file of testdata/golden.
func compare(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join(root, "testdata", "golden", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	t.Errorf("users or stored files may depend on what has changed here; if it should change, run go test ./internal/golden -update and review testdata/golden/%s\n%s",
		file, difference(string(want), got))
}

// compareSet is compare for lines whose order has no meaning.
func compareSet(t *testing.T, file string, lines map[string]bool) {
	t.Helper()
	compare(t, file, joined(lines))
}

// joined returns lines in their alphabetic order.
func joined(lines map[string]bool) string {
	all := make([]string, 0, len(lines))
	for line := range lines {
		all = append(all, line+"\n")
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// difference lists the lines that only one of two texts has.
func difference(want, got string) string {
	var b strings.Builder
	for _, side := range []struct{ mark, of, other string }{{"- ", want, got}, {"+ ", got, want}} {
		count := map[string]int{}
		for line := range strings.Lines(side.other) {
			count[line]++
		}
		for line := range strings.Lines(side.of) {
			if count[line]--; count[line] < 0 {
				b.WriteString(side.mark + line)
			}
		}
	}
	if b.Len() == 0 {
		return "the same lines in another order\n" + got
	}
	return b.String()
}
