package plugin

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// quickLessons are those whose effect does not hang on how fast the machine is,
// and that can be shown beside each other.
func quickLessons() []string {
	return []string{"lesson-03-delay-inside-timeout", "lesson-05-nested-timeouts", "lesson-10-retry-amplification",
		"lesson-12-retry-budget", "lesson-14-slow-is-worse-than-dead", "lesson-17-stale-fallback"}
}

// TestLessonsShowWhatTheySay runs a few lessons at once; their own checks judge
// them.
func TestLessonsShowWhatTheySay(t *testing.T) {
	if testing.Short() {
		t.Skip("15 seconds of real time")
	}
	for _, name := range quickLessons() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := examples.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			docs, err := spec.Read(name, bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			l := local{isolation: string(localsim.InProcess)}
			deployer, err := l.deployerIn("", io.Discard, false)
			if err != nil {
				t.Fatal(err)
			}
			c, err := experiment.RunAll(context.Background(), *docs.Experiments()[0], nil, nil, experiment.Deps{
				Deployer: deployer, Loader: &loadgen.Generator{}, Collector: collect.New(collect.Options{}),
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range c.Variants {
				for _, check := range v.Checks {
					if check.Held < check.Runs {
						t.Errorf("%s: %s of %s: %s", v.Name, check.Expr, check.Subject(), check.Why)
					}
				}
			}
		})
	}
}

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
