package image

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// agentsIn builds the agent for all architectures into a directory, under the
// names that a release gives them, and returns the plugin beside them.
func agentsIn(t *testing.T, dir string) (plugin string) {
	t.Helper()
	for _, arch := range architectures() {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "microsim-agent-linux-"+arch), "github.com/microsim-dev/kubectl-microsim/cmd/microsim-agent")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building microsim-agent for %s: %v\n%s", arch, err, out)
		}
	}
	return pluginIn(t, dir)
}

// TestPushedImageSuitsEveryNode: under one reference there is an image for each
// architecture, whichever machine pushed it.
func TestPushedImageSuitsEveryNode(t *testing.T) {
	agents, err := FindAll(agentsIn(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	var images []*Image
	for _, a := range agents {
		img, err := Build(a)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, img)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	to := strings.TrimPrefix(server.URL, "http://") + "/team/agent:v1"
	pushed, err := Push(t.Context(), images, to)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(pushed, strings.TrimSuffix(to, ":v1")+"@sha256:") {
		t.Errorf("the image was pushed as %q", pushed)
	}
	for _, arch := range architectures() {
		ref, err := name.ParseReference(pushed)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil || config.Architecture != arch {
			t.Errorf("for %s there is an image for %s, %v", arch, config.Architecture, err)
		}
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
	}
	if _, err := Push(t.Context(), images, "127.0.0.1:1/no/such"); err == nil || !strings.Contains(err.Error(), "is reached from here") {
		t.Errorf("to no registry: %v", err)
	}
}

func TestFindFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	plugin := agentsIn(t, dir)
	link := filepath.Join(t.TempDir(), "kubectl-microsim")
	if err := os.Symlink(plugin, link); err != nil {
		t.Fatal(err)
	}
	for _, arch := range architectures() {
		a, err := Find(link, arch)
		if err != nil || filepath.Base(a.Path) != "microsim-agent-linux-"+arch || a.Arch != arch {
			t.Errorf("for %s, the agent found is %+v, %v", arch, a, err)
		}
	}
}
