package localsim_test

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/runnertest"
)

func TestInProcessConforms(t *testing.T) {
	expectNoLeaks(t)
	runnertest.Deployer(t, func(t *testing.T) runner.Deployer {
		expectNoLeaks(t)
		return newDeployer(t, inProcess(t.TempDir()))
	})
}

func TestProcessesConform(t *testing.T) {
	expectNoLeaks(t)
	runnertest.Deployer(t, func(t *testing.T) runner.Deployer {
		expectNoLeaks(t)
		return newDeployer(t, processes("agent", t.TempDir()))
	})
}
