package localsim_test

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/runnertest"
)

func TestInProcessConforms(t *testing.T) {
	expectNoLeaks(t)
	gates := &openGates{}
	t.Cleanup(func() {
		if n := gates.n.Load(); n != 0 {
			t.Errorf("%d gates are left", n)
		}
	})
	runnertest.Deployer(t, func(t *testing.T) runner.Deployer {
		expectNoLeaks(t)
		return newDeployer(t, gates.applyGates(inProcess(t.TempDir())))
	})
}

func TestProcessesConform(t *testing.T) {
	expectNoLeaks(t)
	gates := &openGates{}
	t.Cleanup(func() {
		if n := gates.n.Load(); n != 0 {
			t.Errorf("%d gates are left", n)
		}
	})
	runnertest.Deployer(t, func(t *testing.T) runner.Deployer {
		expectNoLeaks(t)
		return newDeployer(t, gates.applyGates(processes("agent", t.TempDir())))
	})
}
