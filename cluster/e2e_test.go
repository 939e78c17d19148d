//go:build e2e

package cluster_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/image"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/sandbox"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/runnertest"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// nodeImage is the image of the nodes of the sandboxes that tests make.
func nodeImage() string {
	return cmp.Or(os.Getenv("MICROSIM_NODE_IMAGE"), "kindest/node:v1.34.4")
}

// newSandbox makes a sandbox that ends with the test, with the agent's image on
// its nodes.
func newSandbox(t *testing.T) (config kubeapi.Config) {
	t.Helper()
	m, err := sandbox.New(t.TempDir(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("microsim-conformance-%d", os.Getpid())
	if _, err := m.Create(t.Context(), name, sandbox.Options{NodeImage: nodeImage()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Delete(name); err != nil {
			t.Error(err)
		}
	})
	img := agentImage(t)
	if _, err := m.Load(t.Context(), name, img.Tag.String(), img); err != nil {
		t.Fatal(err)
	}
	rest, err := m.Connect(name)
	if err != nil {
		t.Fatal(err)
	}
	return kubeapi.Config{
		REST: rest, Image: img.Tag.String(), PullPolicy: corev1.PullNever, ServiceSpec: serviceSpec,
		Progress: func(line string) { t.Log(line) },
	}
}

func agentImage(t *testing.T) *image.Image {
	t.Helper()
	program := filepath.Join(t.TempDir(), "microsim-agent")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "github.com/microsim-dev/kubectl-microsim/cmd/microsim-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building microsim-agent: %v\n%s", err, out)
	}
	agent, err := image.Find(program, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	img, err := image.Build(agent)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func serviceSpec(system *topology.System, s *topology.Service, seed uint64, peers manifest.Peers) ([]byte, error) {
	return json.Marshal(service.SpecFor(system, s, 1, seed, peers, ""))
}

func TestClusterConforms(t *testing.T) {
	config := newSandbox(t)
	runnertest.Deployer(t, func(t *testing.T) runner.Deployer {
		config := config
		config.Progress = func(line string) { t.Log(line) }
		c, err := cluster.New(config)
		if err != nil {
			t.Fatal(err)
		}
		return c
	})
}
