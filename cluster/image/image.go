// Package image puts together images of the project's programs, without a
// container runtime, and brings them to a registry.
package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Repository is the name of the agent's image on the nodes that it is loaded into,
// StoreRepository that of the program for data stores, RunnerRepository that of the
// plugin's. No registry has them.
const (
	Repository       = "microsim.dev/agent"
	StoreRepository  = "microsim.dev/store"
	RunnerRepository = "microsim.dev/runner"
)

// program is where the agent is in its image, stores where the program for data stores is,
// and runner where the plugin is.
const (
	program = "/microsim-agent"
	stores  = "/microsim-store"
	runner  = "/kubectl-microsim"
)

// An Agent is a program that can serve in a Linux container.
type Agent struct {
	// Path is the program.
	Path string
	// Runner is set where it is not for the agent's image, but for that of the
	// plugin, which runs experiments in a cluster.
	Runner bool
	// Stores is set where it is for the image of data stores and their callers.
	Stores bool
	// Command comes before the arguments of microsim-agent: a plugin that is
	// its own agent wants the word agent there.
	Command []string
	// Arch is the architecture in Go's word, such as amd64.
	Arch string
}

// Find looks for the agent: microsim-agent-linux-ARCH or microsim-agent beside
// the plugin, and else the plugin itself. The first that is a static program
// for Linux on the architecture is taken. Where the plugin is a link, as krew
// makes one, the place that it leads to counts.
func Find(plugin, arch string) (*Agent, error) {
	return find(plugin, "microsim-agent", arch, "--image", false)
}

// FindStores looks for the program that serves data stores and their callers, as Find does
// for the agent: microsim-store-linux-ARCH or microsim-store beside the plugin, and else
// the plugin itself.
func FindStores(plugin, arch string) (*Agent, error) {
	return find(plugin, "microsim-store", arch, "MICROSIM_STORE_IMAGE", true)
}

func find(plugin, called, arch, flag string, stores bool) (*Agent, error) {
	plugin, err := filepath.EvalSymlinks(plugin)
	if err != nil {
		return nil, fmt.Errorf("finding %s for linux/%s beside the plugin: %w", called, arch, err)
	}
	dir := filepath.Dir(plugin)
	var tried []error
	for _, a := range []Agent{
		{Path: filepath.Join(dir, called+"-linux-"+arch)},
		{Path: filepath.Join(dir, called)},
		{Path: plugin, Command: []string{"agent"}},
	} {
		err := suits(a.Path, arch)
		if err == nil {
			a.Arch, a.Stores = arch, stores
			return &a, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			tried = append(tried, err)
		}
	}
	return nil, fmt.Errorf("finding %s for linux/%s: %w; put the program %s-linux-%s beside %s, or name an image with %s",
		called, arch, errors.Join(tried...), called, arch, plugin, flag)
}

// FindAll looks for the agents of all architectures for which there is one
// beside the plugin.
func FindAll(plugin string) ([]*Agent, error) { return findAll(plugin, Find) }

// FindAllStores is FindAll for the program that serves data stores and their callers.
func FindAllStores(plugin string) ([]*Agent, error) { return findAll(plugin, FindStores) }

func findAll(plugin string, find func(plugin, arch string) (*Agent, error)) ([]*Agent, error) {
	var (
		found  []*Agent
		failed error
	)
	for _, arch := range architectures() {
		a, err := find(plugin, arch)
		if err != nil {
			failed = err
			continue
		}
		found = append(found, a)
	}
	if len(found) == 0 {
		return nil, failed
	}
	return found, nil
}

// architectures are those that the agent is released for.
func architectures() []string { return []string{"amd64", "arm64"} }

// FindRunner looks for the plugin as a program for Linux on the architecture:
// kubectl-microsim-linux-ARCH beside the plugin, and else the plugin itself. Links
// are followed, as by Find.
func FindRunner(plugin, arch string) (*Agent, error) {
	plugin, err := filepath.EvalSymlinks(plugin)
	if err != nil {
		return nil, fmt.Errorf("finding kubectl-microsim for linux/%s beside the plugin: %w", arch, err)
	}
	beside := filepath.Join(filepath.Dir(plugin), "kubectl-microsim-linux-"+arch)
	var tried []error
	for _, path := range []string{beside, plugin} {
		err := suits(path, arch)
		if err == nil {
			return &Agent{Path: path, Runner: true, Arch: arch}, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			tried = append(tried, err)
		}
	}
	return nil, fmt.Errorf("finding kubectl-microsim for linux/%s: %w; put the program %s beside %s, or name an image of it with --runner-image",
		arch, errors.Join(tried...), filepath.Base(beside), plugin)
}

// machines are the architectures as ELF has them.
func machine(arch string) elf.Machine {
	switch arch {
	case "amd64":
		return elf.EM_X86_64
	case "arm64":
		return elf.EM_AARCH64
	}
	return elf.EM_NONE
}

// suits says why a file cannot be started in an empty Linux container.
func suits(path, arch string) error {
	f, err := elf.Open(path)
	var format *elf.FormatError
	if errors.As(err, &format) {
		return fmt.Errorf("%q is no Linux program", path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Machine != machine(arch) {
		return fmt.Errorf("%q is built for %v", path, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%q is linked to libraries of this machine; build it with CGO_ENABLED=0", path)
		}
	}
	const module = "github.com/microsim-dev/kubectl-microsim"
	if info, err := buildinfo.ReadFile(path); err != nil || info.Main.Path != module {
		return fmt.Errorf("%q is not a program of this project", path)
	}
	return nil
}

// An Image is that of one program.
type Image struct {
	v1.Image
	// Tag names the image by what is in it, so that another program never hides
	// behind the same name.
	Tag name.Tag
	// Arch is the architecture of the nodes that it is for.
	Arch string
}

// Build puts the image together: the program alone in an empty file system.
func Build(a *Agent) (*Image, error) {
	content, err := os.ReadFile(a.Path)
	if err != nil {
		return nil, fmt.Errorf("reading a program for its image: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return archive(a.inside(), content) }, tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("packing the program %q: %w", a.Path, err)
	}
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "kubectl microsim"}})
	if err != nil {
		return nil, fmt.Errorf("making an image of the program %q: %w", a.Path, err)
	}
	image, err = mutate.ConfigFile(image, configOf(a, image))
	if err != nil {
		return nil, fmt.Errorf("making an image of the program %q: %w", a.Path, err)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q ", a.Command, a.Arch)
	_, _ = sum.Write(content)
	repository := Repository
	switch {
	case a.Runner:
		repository = RunnerRepository
	case a.Stores:
		repository = StoreRepository
	}
	tag, err := name.NewTag(repository + ":sha256-" + hex.EncodeToString(sum.Sum(nil))[:24])
	if err != nil {
		return nil, fmt.Errorf("naming an image: %w", err)
	}
	return &Image{Image: image, Tag: tag, Arch: a.Arch}, nil
}

// inside is where the program is in its image.
func (a *Agent) inside() string {
	switch {
	case a.Runner:
		return runner
	case a.Stores:
		return stores
	}
	return program
}

// configOf says how the image is started: as nobody, so that it runs where root
// is not admitted.
func configOf(a *Agent, image v1.Image) *v1.ConfigFile {
	config := &v1.ConfigFile{}
	if old, err := image.ConfigFile(); err == nil {
		config = old.DeepCopy()
	}
	config.OS, config.Architecture = "linux", cmp.Or(a.Arch, "amd64")
	config.Config = v1.Config{
		Entrypoint: append([]string{a.inside()}, a.Command...),
		User:       "65532:65532",
		WorkingDir: "/",
		Labels:     map[string]string{"org.opencontainers.image.title": a.inside()[1:]},
	}
	return config
}

// archive is the file system of the image. The time of its files never changes,
// so the same program always gives the same image.
func archive(program string, content []byte) (io.ReadCloser, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	header := &tar.Header{Name: program[1:], Mode: 0o755, Size: int64(len(content)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return io.NopCloser(&buffer), nil
}

// Archive writes the image as `docker save` does.
func (i *Image) Archive(w io.Writer) error {
	if err := tarball.Write(i.Tag, i.Image, w); err != nil {
		return fmt.Errorf("writing the image %s: %w", i.Tag, err)
	}
	return nil
}
