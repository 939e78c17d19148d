package plugin

import (
	"bytes"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
)

// TestEveryLessonIsJudged wants a check in each variant of each lesson, so that
// none only claims something.
func TestEveryLessonIsJudged(t *testing.T) {
	lessons := 0
	for _, example := range examples.List() {
		if !strings.HasPrefix(example.Name, "lesson-") {
			continue
		}
		lessons++
		text, err := examples.Open(example.Name)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := spec.Read(example.Name, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		e := docs.Experiments()[0]
		if len(e.Checks) == 0 && len(e.Variants) == 0 {
			t.Errorf("%s has no checks", example.Name)
		}
		for _, v := range e.Variants {
			if len(v.Checks) == 0 {
				t.Errorf("%s: variant %s has no checks of its own", example.Name, v.Name)
			}
		}
		if length, _ := experiment.Length(e.Load); length.Seconds()*float64(max(1, len(e.Variants))) > 20 {
			t.Errorf("%s takes longer than 20 s", example.Name)
		}
	}
	if lessons < 13 {
		t.Errorf("%d lessons", lessons)
	}
}
