//go:build linux

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// cat is a program of this machine with shared libraries.
func cat(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		t.Fatal(err)
	}
	if l, err := readLinked(path); err != nil || l == nil || l.interpreter == "" {
		t.Skipf("%s is no program with shared libraries: %v", path, err)
	}
	return path
}

// bundleOf is a bundle of cat with an own directory and a tree.
func bundleOf(t *testing.T) (b *Bundle, tree string) {
	t.Helper()
	dir, tree := t.TempDir(), t.TempDir()
	write(t, dir, map[string]string{"app/hello": "hello", "app/bin/x": "x"})
	write(t, tree, map[string]string{"lib/a": "a", "test/b": "b", "lib/test/c": "c"})
	if err := os.Symlink(filepath.Join(tree, "lib", "a"), filepath.Join(dir, "app", "link")); err != nil {
		t.Fatal(err)
	}
	return &Bundle{
		Name: "cat", Arch: runtime.GOARCH, Root: dir, Dir: "app", Command: []string{cat(t), "hello", "link"},
		Env: []string{"A=b"}, Trees: []string{tree}, Without: []string{"test"},
	}, tree
}

func gathered(t *testing.T, b *Bundle) *Bundled {
	t.Helper()
	img, err := BundleFiles(b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestABundleHasWhatItsProgramNeeds(t *testing.T) {
	b, tree := bundleOf(t)
	img := gathered(t, b)
	for _, want := range []string{b.Command[0], "/runtime/app/hello", "/runtime/app/link", tree + "/lib/a"} {
		if _, ok := img.files[want]; !ok {
			t.Errorf("%s is not in the image", want)
		}
	}
	loader, libc := false, false
	for at := range img.files {
		loader = loader || strings.Contains(at, "/ld-")
		libc = libc || strings.Contains(at, "/libc.so") || strings.Contains(at, "/libc.musl")
		if strings.HasPrefix(at, b.Root) || strings.Contains(at, "/test/") {
			t.Errorf("%s is in the image", at)
		}
	}
	if !loader || !libc {
		t.Errorf("the loader is in the image: %t, and the C library: %t", loader, libc)
	}
}

func TestTheTagFollowsTheFiles(t *testing.T) {
	b, _ := bundleOf(t)
	first := gathered(t, b).Tag.String()
	if again := gathered(t, b).Tag.String(); again != first || !strings.HasPrefix(first, "microsim.dev/runtime-cat:sha256-") {
		t.Errorf("the tags of the same files are %s and %s", first, again)
	}
	write(t, b.Root, map[string]string{"app/hello": "good bye"})
	if next := gathered(t, b).Tag.String(); next == first {
		t.Errorf("another file has the same tag %s", next)
	}
}

func TestBundlesThatCannotRunAreRefused(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := map[string]string{"amd64": "arm64"}[runtime.GOARCH]
	if other == "" {
		other = "amd64"
	}
	for want, change := range map[string]func(*Bundle){
		"is no Linux program":                 func(b *Bundle) { b.Command[0] = script },
		"and the nodes are linux/" + other:    func(b *Bundle) { b.Arch = other },
		"no such file or directory":           func(b *Bundle) { b.Trees = []string{"/nowhere"} },
		"gathering the files of the image of": func(b *Bundle) { b.Command[0] = "/nowhere" },
	} {
		b, _ := bundleOf(t)
		change(b)
		if _, err := BundleFiles(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestABundleRunsInItsImageAlone unpacks the image and starts its entry point there.
func TestABundleRunsInItsImageAlone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can change the root directory")
	}
	b, _ := bundleOf(t)
	var archive bytes.Buffer
	if err := gathered(t, b).Archive(&archive); err != nil {
		t.Fatal(err)
	}
	img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532:65532" || c.WorkingDir != "/runtime/app" || !slices.Contains(c.Env, "A=b") || config.Architecture != runtime.GOARCH {
		t.Errorf("the image is configured as %+v for %s", c, config.Architecture)
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // another user starts what is in there
		t.Fatal(err)
	}
	if bytes, size := unpack(t, root, mutate.Extract(img)), gathered(t, b).Size(); bytes != size {
		t.Errorf("the files have %d bytes, and Size is %d", bytes, size)
	}
	cmd := exec.Command(config.Config.Entrypoint[0], config.Config.Entrypoint[1:]...)
	cmd.Path, cmd.Err = config.Config.Entrypoint[0], nil
	cmd.Dir, cmd.Env = config.Config.WorkingDir, config.Config.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "helloa" {
		t.Errorf("the program printed %q: %v; want helloa", out, err)
	}
}

// unpack writes what is in an archive below a directory, and counts the bytes of files.
func unpack(t *testing.T, root string, archive io.Reader) (bytes int64) {
	t.Helper()
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return bytes
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, h.Name) //nolint:gosec // of the test itself
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(to, 0o755) //nolint:gosec // another user reads it
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, to)
		default:
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				bytes += int64(len(data))
				err = os.WriteFile(to, data, os.FileMode(h.Mode)) //nolint:gosec // as above
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWithOrigin(t *testing.T) {
	for dir, want := range map[string]string{"$ORIGIN/../lib": "/opt/x/lib", "${ORIGIN}": "/opt/x/bin", "/usr/lib/": "/usr/lib"} {
		if got := withOrigin(dir, "/opt/x/bin"); got != want {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
}
