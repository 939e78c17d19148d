package localsim_test

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/experiment/experimenttest"
)

func TestInProcessConforms(t *testing.T) {
	expectNoLeaks(t)
	experimenttest.Deployer(t, func(t *testing.T) experiment.Deployer {
		expectNoLeaks(t)
		return newDeployer(t, inProcess(t.TempDir()))
	})
}

func TestProcessesConform(t *testing.T) {
	expectNoLeaks(t)
	experimenttest.Deployer(t, func(t *testing.T) experiment.Deployer {
		expectNoLeaks(t)
		return newDeployer(t, processes("agent", t.TempDir()))
	})
}
