package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// kernel is an unpacked kernel package.
type kernel struct {
	version string
	image   string            // the file to boot
	modules map[string]string // file of each module, by name
}

const metaPackage = "linux-image-cloud-amd64"

// fetchKernel returns the kernel of the cache, downloaded if it is not there.
func fetchKernel(ctx context.Context, cache string, stderr io.Writer) (kernel, error) {
	if k, err := findKernel(cache); err == nil {
		return k, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return kernel{}, err
	}
	depends, err := output(ctx, cache, "apt-cache", "depends", metaPackage)
	if err != nil {
		return kernel{}, fmt.Errorf("asking apt for the package behind %s (does it need `apt-get update`?): %w", metaPackage, err)
	}
	name := ""
	for _, line := range strings.Split(depends, "\n") {
		if _, after, ok := strings.Cut(line, "Depends: linux-image-"); ok {
			name = "linux-image-" + strings.TrimSpace(after)
		}
	}
	if name == "" {
		return kernel{}, fmt.Errorf("apt does not know the package %s; run `apt-get update`, on Debian for amd64", metaPackage)
	}
	fmt.Fprintf(stderr, "vm: downloading %s to %s\n", name, cache)
	if _, err := output(ctx, cache, "apt-get", "download", name); err != nil {
		return kernel{}, fmt.Errorf("downloading %s: %w", name, err)
	}
	packages, err := filepath.Glob(filepath.Join(cache, name+"_*.deb"))
	if err != nil || len(packages) == 0 {
		return kernel{}, fmt.Errorf("apt-get left no %s_*.deb in %s", name, cache)
	}
	if _, err := output(ctx, cache, "dpkg-deb", "-x", packages[0], cache); err != nil {
		return kernel{}, fmt.Errorf("unpacking %s: %w", packages[0], err)
	}
	return findKernel(cache)
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(exit.Stderr))
	}
	return string(out), err
}

func findKernel(cache string) (kernel, error) {
	images, err := filepath.Glob(filepath.Join(cache, "boot", "vmlinuz-*"))
	if err != nil || len(images) == 0 {
		return kernel{}, fmt.Errorf("no kernel in %s", cache)
	}
	k := kernel{image: images[len(images)-1], modules: map[string]string{}}
	k.version = strings.TrimPrefix(filepath.Base(k.image), "vmlinuz-")
	for _, root := range []string{"lib", "usr/lib"} {
		err := filepath.WalkDir(filepath.Join(cache, root, "modules", k.version), func(path string, d os.DirEntry, err error) error {
			if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok && err == nil && !d.IsDir() {
				k.modules[strings.ReplaceAll(name, "-", "_")] = path
			}
			return nil
		})
		if err != nil {
			return k, err
		}
	}
	if len(k.modules) == 0 {
		return k, fmt.Errorf("no modules of %s in %s", k.version, cache)
	}
	return k, nil
}

// readModule returns a module's content, uncompressed.
func (k kernel) readModule(ctx context.Context, name string) ([]byte, error) {
	path := k.modules[name]
	if strings.HasSuffix(path, ".xz") {
		out, err := output(ctx, "", "xz", "-dc", path)
		return []byte(out), err
	}
	return os.ReadFile(path)
}

// order returns the named modules and all that they need, those first that others
// need. It leaves out names for which the kernel has no module, because they may be
// built in.
func (k kernel) order(ctx context.Context, names []string) ([]string, map[string][]byte, error) {
	var order []string
	content := map[string][]byte{}
	var visit func(name string) error
	visit = func(name string) error {
		name = strings.ReplaceAll(name, "-", "_")
		if _, done := content[name]; done || k.modules[name] == "" {
			return nil
		}
		data, err := k.readModule(ctx, name)
		if err != nil {
			return fmt.Errorf("reading module %s: %w", name, err)
		}
		content[name] = data
		depends, err := moduleDepends(data)
		if err != nil {
			return fmt.Errorf("reading module %s: %w", name, err)
		}
		for _, d := range depends {
			if err := visit(d); err != nil {
				return err
			}
		}
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, nil, err
		}
	}
	return order, content, nil
}

// moduleDepends reads "depends=a,b" in the section .modinfo.
func moduleDepends(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for _, entry := range strings.Split(string(info), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
