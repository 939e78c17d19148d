package virtual

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// TestEveryFaultHasAMeaning wants a line for each type of fault, and the same
// lines in the documentation.
func TestEveryFaultHasAMeaning(t *testing.T) {
	page, err := os.ReadFile("../../docs/virtual.md")
	if err != nil {
		t.Fatal(err)
	}
	meanings := Meanings()
	var want []string
	for _, e := range fault.Vocabulary() {
		i := slices.IndexFunc(meanings, func(m Meaning) bool { return m.Type == e.Type })
		if i < 0 || (meanings[i].Text == "") == (meanings[i].Refused == "") {
			t.Errorf("%s has no meaning, and is not refused", e.Type)
			continue
		}
		text := meanings[i].Text
		if text == "" {
			text = "refused: it " + meanings[i].Refused
		}
		want = append(want, fmt.Sprintf("| `%s` | %s |", e.Type, text))
	}
	if table := strings.Join(want, "\n") + "\n"; !strings.Contains(string(page), table) {
		t.Errorf("docs/virtual.md has another table of faults; it should have\n%s", table)
	}
}
