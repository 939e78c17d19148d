package sandbox

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// kubeconfig has a context as each of the tools writes it, and one of a cloud.
const kubeconfig = `
apiVersion: v1
kind: Config
current-context: kind-dev
clusters:
- name: kind-dev
  cluster: {server: "https://127.0.0.1:40001"}
- name: k3d-team
  cluster: {server: "https://0.0.0.0:40002"}
- name: lab
  cluster:
    server: https://192.168.49.2:8443
    extensions:
    - name: cluster_info
      extension: {provider: minikube.sigs.k8s.io, version: v1.37.0}
- name: cloud
  cluster: {server: "https://cloud.example"}
contexts:
- {name: kind-dev, context: {cluster: kind-dev, user: u}}
- {name: renamed, context: {cluster: k3d-team, user: u}}
- {name: lab, context: {cluster: lab, user: u}}
- {name: kind-looks-like, context: {cluster: cloud, user: u}}
- {name: dangling, context: {cluster: none, user: u}}
users: [{name: u, user: {}}]
`

func TestRecognise(t *testing.T) {
	config, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		t.Fatal(err)
	}
	for context, want := range map[string]*Local{
		"kind-dev": {Kind, "dev"}, "renamed": {K3d, "team"}, "lab": {Minikube, "lab"},
		"kind-looks-like": nil, "dangling": nil, "none": nil, "": nil,
	} {
		got := Recognise(config, context)
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("the context %q is of %+v, want %+v", context, got, want)
		}
	}
}

// anImage is the archive of an image.
type anImage string

func (i anImage) Archive(w io.Writer) error { _, err := io.WriteString(w, string(i)); return err }

// stub puts a program on the PATH that notes its arguments, and the file among them.
func stub(t *testing.T, tool, end string) (noted func() string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stub is a shell script")
	}
	dir := t.TempDir()
	notes := filepath.Join(dir, "notes")
	script := "#!/bin/sh\necho \"$@\" >" + notes + "\nfor a; do case $a in *.tar) cat \"$a\" >>" + notes + ";; esac; done\n" + end + "\n"
	if err := os.WriteFile(filepath.Join(dir, tool), []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() string {
		text, err := os.ReadFile(notes)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestImportByTheToolsOwnCommand(t *testing.T) {
	for tool, want := range map[string]string{
		Minikube: "--profile lab image load KEEP/image-for-minikube.tar\nlayers",
		K3d:      "image import KEEP/image-for-k3d.tar --cluster lab\nlayers",
	} {
		noted, keep := stub(t, tool, "exit 0"), t.TempDir()
		l := Local{tool, "lab"}
		if err := l.Import(t.Context(), "agent:1", anImage("layers"), keep); err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(noted(), keep, "KEEP"); got != want {
			t.Errorf("%s was called with\n%q, want\n%q", tool, got, want)
		}
		if left, err := os.ReadDir(keep); err != nil || len(left) > 0 {
			t.Errorf("%s left %v, %v", tool, left, err)
		}
	}
}

func TestImportSaysWhatTheToolSaid(t *testing.T) {
	stub(t, K3d, "echo no such cluster >&2; exit 3")
	err := (&Local{K3d, "lab"}).Import(t.Context(), "agent:1", anImage("layers"), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "no such cluster") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the error is %v", err)
	}
}

func TestImportWithoutTheToolSaysTheCommand(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	keep := t.TempDir()
	file := filepath.Join(keep, "image-for-minikube.tar")
	for range 2 { // the file of the first try is replaced
		err := (&Local{Minikube, "lab"}).Import(t.Context(), "agent:1", anImage("layers"), keep)
		if err == nil || !strings.Contains(err.Error(), "'minikube --profile lab image load "+file+"'") || !strings.Contains(err.Error(), "--image agent:1") {
			t.Errorf("the error is %v", err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "layers" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if left, err := os.ReadDir(keep); err != nil || len(left) != 1 {
		t.Errorf("there are %v, %v", left, err)
	}
}

type brokenImage struct{}

func (brokenImage) Archive(io.Writer) error { return errors.New("no room") }

func TestImportLeavesNoHalfFile(t *testing.T) {
	keep := t.TempDir()
	err := (&Local{K3d, "lab"}).Import(t.Context(), "agent:1", brokenImage{}, keep)
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("the error is %v", err)
	}
	if left, err := os.ReadDir(keep); err != nil || len(left) > 0 {
		t.Errorf("there are %v, %v", left, err)
	}
}
