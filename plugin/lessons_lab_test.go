//go:build lab

package plugin

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// quickLessons are those whose effect does not hang on how fast the machine is,
// and that can be shown beside each other.
func quickLessons() []string {
	return []string{"lesson-03-delay-inside-timeout", "lesson-05-nested-timeouts", "lesson-10-retry-amplification",
		"lesson-12-retry-budget", "lesson-14-slow-is-worse-than-dead", "lesson-17-stale-fallback",
		"lesson-25-stampede", "lesson-37-failover", "lesson-38-stale-reads", "lesson-39-consumer-lag"}
}

// TestLessonsShowWhatTheySay runs a few lessons at once; their own checks judge
// them.
func TestLessonsShowWhatTheySay(t *testing.T) {
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
			l := local.Flags{Isolation: string(localsim.InProcess)}
			deployer, err := l.DeployerIn("", io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			c, err := runner.RunAll(context.Background(), *docs.Experiments()[0], nil, nil, runner.Deps{
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
