package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// write makes files below a directory.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// agentIn builds microsim-agent for Linux into a directory.
func agentIn(t *testing.T, dir string) {
	t.Helper()
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "microsim-agent"), "github.com/microsim-dev/kubectl-microsim/cmd/microsim-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building microsim-agent: %v\n%s", err, out)
	}
}

// pluginIn puts a file in the place of the plugin.
func pluginIn(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "kubectl-microsim")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// readBack checks that an archive of the image is whole.
func readBack(t *testing.T, img *Image) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	w, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(img.Archive(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := tarball.ImageFromPath(file, &img.Tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(again); err != nil {
		t.Error(err)
	}
}

func TestImageHoldsTheAgentAlone(t *testing.T) {
	dir := t.TempDir()
	agentIn(t, dir)
	agent, err := Find(pluginIn(t, dir), runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	img, err := Build(agent)
	if err != nil {
		t.Fatal(err)
	}
	readBack(t, img)
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != runtime.GOARCH || config.Config.User != "65532:65532" || strings.Join(config.Config.Entrypoint, " ") != "/microsim-agent" {
		t.Errorf("the configuration is %+v", config)
	}
	files := tar.NewReader(mutate.Extract(img))
	header, err := files.Next()
	if err != nil || header.Name != "microsim-agent" || header.Mode != 0o755 {
		t.Fatalf("the first file is %+v, %v", header, err)
	}
	const most = 20 << 20
	if header.Size > most {
		t.Errorf("the agent has %d bytes, more than %d", header.Size, most)
	}
	if _, err := files.Next(); !errors.Is(err, io.EOF) {
		t.Error("there is more than the agent in the image")
	}
	again, err := Build(agent)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := img.Digest()
	b, _ := again.Digest()
	if a != b || img.Tag != again.Tag {
		t.Errorf("the same program gives %s %s and %s %s", img.Tag, a, again.Tag, b)
	}
	other, err := Build(&Agent{Path: agent.Path, Arch: agent.Arch, Command: []string{"agent"}})
	if err != nil {
		t.Fatal(err)
	}
	if other.Tag == img.Tag {
		t.Error("images that start differently have the same name")
	}
}

func TestFindSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	plugin := filepath.Join(dir, "kubectl-microsim")
	for path, content := range map[string]string{plugin: "#!/bin/sh\n", filepath.Join(dir, "microsim-agent"): "MZ"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Find(plugin, "amd64")
	if err == nil || !strings.Contains(err.Error(), "microsim-agent-linux-amd64") || !strings.Contains(err.Error(), "--image") {
		t.Errorf("got %v", err)
	}
}

func TestRunnersImageIsAnother(t *testing.T) {
	dir := t.TempDir()
	agentIn(t, dir) // any static program of the project will do
	plugin := filepath.Join(dir, "kubectl-microsim")
	if err := os.Rename(filepath.Join(dir, "microsim-agent"), plugin+"-linux-"+runtime.GOARCH); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plugin, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := FindRunner(plugin, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	img, err := Build(found)
	if err != nil {
		t.Fatal(err)
	}
	readBack(t, img)
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(config.Config.Entrypoint, " "); got != "/kubectl-microsim" {
		t.Errorf("it starts with %q", got)
	}
	if got := img.Tag.Context().Name(); got != RunnerRepository {
		t.Errorf("it is called %q", got)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	if _, err := FindRunner(plugin, other); err == nil || !strings.Contains(err.Error(), "kubectl-microsim-linux-"+other) || !strings.Contains(err.Error(), "--runner-image") {
		t.Errorf("for %s: %v", other, err)
	}
}

// TestStoresHaveAnImageOfTheirOwn: a plugin that lies alone serves stores itself, and another
// program never hides behind the agent's name.
func TestStoresHaveAnImageOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	plugin := pluginIn(t, dir)
	if _, err := FindStores(plugin, runtime.GOARCH); err == nil || !strings.Contains(err.Error(), "put the program microsim-store-linux-"+runtime.GOARCH+" beside") {
		t.Errorf("without a program: %v", err)
	}
	agentIn(t, dir)
	program := filepath.Join(dir, "microsim-store")
	if err := os.Rename(filepath.Join(dir, "microsim-agent"), program); err != nil {
		t.Fatal(err)
	}
	a, err := FindStores(plugin, runtime.GOARCH)
	if err != nil || !strings.HasSuffix(a.Path, "microsim-store") || !a.Stores {
		t.Fatalf("found is %+v, %v", a, err)
	}
	img, err := Build(a)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil || len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != "/microsim-store" || !strings.HasPrefix(img.Tag.String(), StoreRepository+":") {
		t.Errorf("the image is %s, started by %q, %v", img.Tag, config.Config.Entrypoint, err)
	}
}
