package localsim

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Work on a disk that takes no files fails each request, and is refused before.
func TestWorkOnTheDiskNeedsADirectory(t *testing.T) {
	writing := topology.NewService("cart")
	writing.Endpoints[0].Steps = []topology.Step{{Parallel: []topology.Step{{Work: &topology.Work{IO: 1 << 10}}}}}
	system := &topology.System{Name: "hello", Services: []topology.Service{topology.NewService("web"), writing}}
	if err := (&Deployer{}).CanDeploy(t.Context(), system); err != nil {
		t.Error(err)
	}
	missing := t.TempDir() + "/missing"
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, missing)
	}
	err := (&Deployer{}).CanDeploy(t.Context(), system)
	if err == nil || !strings.Contains(err.Error(), `starting service "cart" of system "hello": its work is to write to the disk`) || !strings.Contains(err.Error(), "set TMPDIR") {
		t.Errorf("without a directory, the system is deployed: %v", err)
	}
	system.Services = system.Services[:1]
	if err := (&Deployer{}).CanDeploy(t.Context(), system); err != nil {
		t.Errorf("a system that writes nothing: %v", err)
	}
}
