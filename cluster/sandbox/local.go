package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The tools that make clusters on one machine, and bring images to their nodes.
const (
	Kind     = "kind"
	Minikube = "minikube"
	K3d      = "k3d"
)

// A Local is a cluster on one machine, as the tool that made it knows it.
type Local struct{ Tool, Name string }

// Recognise returns the local cluster of a context; nil if it is not known to be one.
// It goes by the names and marks that the tools write into a kubeconfig.
func Recognise(config *clientcmdapi.Config, context string) *Local {
	c := config.Contexts[context]
	if c == nil || config.Clusters[c.Cluster] == nil {
		return nil
	}
	for _, extension := range config.Clusters[c.Cluster].Extensions {
		if providerOf(extension) == "minikube.sigs.k8s.io" {
			return &Local{Minikube, c.Cluster}
		}
	}
	for _, tool := range []string{Kind, K3d} {
		if name, found := strings.CutPrefix(c.Cluster, tool+"-"); found && name != "" {
			return &Local{tool, name}
		}
	}
	return nil
}

// providerOf is who wrote an extension of a kubeconfig.
func providerOf(extension runtime.Object) string {
	var by struct {
		Provider string `json:"provider"`
	}
	if unknown, ok := extension.(*runtime.Unknown); !ok || json.Unmarshal(unknown.Raw, &by) != nil {
		return ""
	}
	return by.Provider
}

// importing is the command that brings the image in a file to the nodes.
func (l *Local) importing(file string) []string {
	if l.Tool == Minikube {
		return []string{Minikube, "--profile", l.Name, "image", "load", file}
	}
	return []string{l.Tool, "image", "import", file, "--cluster", l.Name}
}

// Import brings an image to all nodes of a cluster of minikube or k3d by the tool's own
// command. If the tool is not there, the image stays in a file in the directory keep,
// and the error says what to run.
func (l *Local) Import(ctx context.Context, reference string, image Archive, keep string) error {
	doing := fmt.Sprintf("loading the image %s into the %s cluster %q", reference, l.Tool, l.Name)
	file, err := archiveIn(keep, l.Tool, image)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	command := l.importing(file)
	program, err := exec.LookPath(l.Tool)
	if err != nil {
		return fmt.Errorf("%s: there is no program %s on this machine's PATH; where it is, run '%s' and repeat this command with --image %s",
			doing, l.Tool, strings.Join(command, " "), reference)
	}
	defer func() { _ = os.Remove(file) }() // the next import overwrites one that stays
	out, err := exec.CommandContext(ctx, program, command[1:]...).CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("%s with '%s': %w\n%s", doing, strings.Join(command, " "), err, tail(strings.TrimSpace(string(out))))
	}
	return nil
}

// archiveIn writes an image into a file, as `docker save` does. The name of the file
// depends on the tool only, so that at most one stays for each.
func archiveIn(dir, tool string, image Archive) (file string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making a directory for the image: %w", err)
	}
	f, err := os.CreateTemp(dir, "image-*.tmp")
	if err != nil {
		return "", fmt.Errorf("writing the image into a file: %w", err)
	}
	err = errors.Join(image.Archive(io.Writer(f)), f.Close())
	file = filepath.Join(dir, "image-for-"+tool+".tar")
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("writing the image into a file: %w", err), os.Remove(f.Name()))
	}
	return file, nil
}
