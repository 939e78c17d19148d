package fault

import (
	"os"
	"strings"
	"testing"
)

// The page on faults has a row for each type that can act by now, and the row
// names each of its parameters.
func TestDocumentationIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range Vocabulary() {
		if e.Layer == OnHost {
			continue
		}
		_, row, ok := strings.Cut(string(text), "| `"+string(e.Type)+"` |")
		if !ok {
			t.Errorf("docs/faults.md has no row for %s", e.Type)
			continue
		}
		row, _, _ = strings.Cut(row, "\n")
		if e.Direction != "" && !strings.Contains(row, "| "+string(e.Direction)+" |") {
			t.Errorf("docs/faults.md: the row of %s does not say that its direction is %q", e.Type, e.Direction)
		}
		for _, arg := range append(e.Needs, e.May...) {
			if !strings.Contains(row, "`"+string(arg)+"`") {
				t.Errorf("docs/faults.md: the row of %s does not name %s", e.Type, arg)
			}
		}
	}
}
