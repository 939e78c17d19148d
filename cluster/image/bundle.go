package image

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// A Bundle is a program of this machine with all that it needs, for an image in which it
// runs as it does here: everything keeps its path, but for its own directory.
type Bundle struct {
	// Name is the last part of the image's name.
	Name string
	// Arch is the architecture of the nodes, in Go's word.
	Arch string
	// Root is the program's own directory, which is at BundleRoot in the image, and Dir
	// the working directory below it.
	Root, Dir string
	// Command is the program, by its path on this machine, and its arguments.
	Command []string
	// Env are variables, NAME=value, with the paths of the image.
	Env []string
	// Trees are directories that the program reads beside its own, such as the standard
	// library of its language.
	Trees []string
	// Without are the names of directories and files that are left out of the trees.
	Without []string
}

// BundleRoot is where the own directory of a bundle is in its image.
const BundleRoot = "/runtime"

// A Bundled is the image of a bundle. Its layers are made when they are written.
type Bundled struct {
	// Tag names the image by the names, sizes, times and modes of its files.
	Tag    name.Tag
	bundle *Bundle
	files  map[string]bundledFile
}

// A bundledFile is an entry of the image: a file of this machine, or a link.
type bundledFile struct {
	from string
	info fs.FileInfo
	link string
}

// BundleFiles finds the files of the bundle: the program, its loader, the libraries that
// it and its modules are linked to, and the trees. A library that the program needs and
// that is not here is an error; one that only a module needs is left to whoever loads
// the module.
func BundleFiles(b *Bundle) (*Bundled, error) {
	g := &gatherer{bundle: b, dirs: libraryDirs(b.Arch), files: map[string]bundledFile{}, seen: map[string]bool{}}
	doing := fmt.Sprintf("gathering the files of the image of %s", b.Name)
	if err := g.addTree(b.Root, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	for _, tree := range b.Trees {
		if err := g.addTree(tree, b.Without); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
	if err := g.addProgram(b.Command[0]); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	own := *b
	if len(g.beside) > 0 {
		own.Env = append(slices.Clone(b.Env), "LD_LIBRARY_PATH="+strings.Join(g.beside, ":"))
	}
	b = &own
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q", b.Arch, b.Dir, b.Command[1:], b.Env)
	for _, at := range slices.Sorted(maps.Keys(g.files)) {
		f := g.files[at]
		fmt.Fprintf(sum, "%q %q", at, f.link)
		if f.link == "" {
			fmt.Fprintf(sum, " %d %d %v", f.info.Size(), f.info.ModTime().UnixNano(), f.info.Mode())
		}
	}
	tag, err := name.NewTag("microsim.dev/runtime-" + b.Name + ":" + "sha256-" + hex.EncodeToString(sum.Sum(nil))[:24])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return &Bundled{Tag: tag, bundle: b, files: g.files}, nil
}

// Size is how many bytes the files of the image have, not packed.
func (i *Bundled) Size() (sum int64) {
	for _, f := range i.files {
		if f.link == "" {
			sum += f.info.Size()
		}
	}
	return sum
}

// A gatherer follows programs to libraries, and links to what they lead to.
type gatherer struct {
	bundle *Bundle
	dirs   []string
	files  map[string]bundledFile
	seen   map[string]bool
	// beside are directories of libraries that the image's loader has to be told of.
	beside []string
}

// inside is where a path of this machine is in the image.
func (b *Bundle) inside(path string) string {
	if below, ok := strings.CutPrefix(path, b.Root); ok && (below == "" || below[0] == '/') {
		return BundleRoot + below
	}
	return path
}

// addProgram adds a program with its loader and libraries, all of which have to be there.
func (g *gatherer) addProgram(file string) error {
	if err := g.add(file); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	l, err := readLinked(real)
	switch {
	case err != nil:
		return err
	case l == nil:
		return fmt.Errorf("%q is no Linux program, such as a script would be", real)
	case l.machine != machine(g.bundle.Arch):
		return fmt.Errorf("%q is a program for %v, and the nodes are linux/%s; run them on a machine of that architecture", real, l.machine, g.bundle.Arch)
	}
	for _, needed := range l.needed {
		if _, ok := l.find(needed, g.dirs); !ok {
			return fmt.Errorf("%q needs the library %s, which is not in %s", real, needed, strings.Join(g.dirs, ", "))
		}
	}
	return nil
}

// add adds a file with what it leads to.
func (g *gatherer) add(file string) error {
	if g.seen[file] {
		return nil
	}
	g.seen[file] = true
	info, err := os.Lstat(file)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return g.addLink(file)
	case info.IsDir():
		return g.addTree(file, nil)
	case !info.Mode().IsRegular():
		return nil // a socket or a pipe holds nothing
	}
	g.files[g.bundle.inside(file)] = bundledFile{from: file, info: info}
	if info.Mode()&0o111 == 0 && !strings.Contains(filepath.Base(file), ".so") && !strings.HasSuffix(file, ".node") {
		return nil
	}
	return g.addLibraries(file)
}

// addLink adds a symbolic link and what it leads to. In the image it leads to the place of
// that.
func (g *gatherer) addLink(file string) error {
	to, err := os.Readlink(file)
	if err != nil {
		return err
	}
	target := to
	if !filepath.IsAbs(to) {
		target = filepath.Join(filepath.Dir(file), to)
	}
	if !exists(target) {
		return nil // it leads nowhere here, either
	}
	g.files[g.bundle.inside(file)] = bundledFile{from: file, link: g.bundle.inside(target)}
	return g.add(target)
}

// addLibraries adds the loader and the libraries that a file is linked to, with theirs.
func (g *gatherer) addLibraries(file string) error {
	l, err := readLinked(file)
	if err != nil || l == nil || l.machine != machine(g.bundle.Arch) {
		return err
	}
	if l.interpreter != "" && exists(l.interpreter) {
		if err := g.add(l.interpreter); err != nil {
			return err
		}
	}
	for _, needed := range l.needed {
		if library, ok := l.find(needed, g.dirs); ok {
			g.noteDir(filepath.Dir(library), l.runpath)
			if err := g.add(library); err != nil {
				return err
			}
		}
	}
	return nil
}

// noteDir notes a directory that the loader in the image would not look into.
func (g *gatherer) noteDir(dir string, runpath []string) {
	if !slices.Contains(loaderDirs(g.bundle.Arch), dir) && !slices.Contains(runpath, dir) && !slices.Contains(g.beside, dir) {
		g.beside = append(g.beside, dir)
	}
}

// addTree adds all that is below a directory, without entries of some names.
func (g *gatherer) addTree(dir string, without []string) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains(without, d.Name()) && file != dir:
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			g.seen[file] = true
			return nil
		}
		return g.add(file)
	})
}

// command is the entry point in the image.
func (b *Bundle) command() []string {
	return append([]string{b.inside(b.Command[0])}, b.Command[1:]...)
}

// Archive writes the image as `docker save` does.
func (i *Bundled) Archive(w io.Writer) error {
	img, err := i.image()
	if err == nil {
		err = tarball.Write(i.Tag, img, w)
	}
	if err != nil {
		return fmt.Errorf("writing the image %s: %w", i.Tag, err)
	}
	return nil
}

// image puts the image together of two layers: the language, which several share, and
// the program's own directory.
func (i *Bundled) image() (v1.Image, error) {
	var own, shared []string
	for _, at := range slices.Sorted(maps.Keys(i.files)) {
		if strings.HasPrefix(at, BundleRoot+"/") {
			own = append(own, at)
		} else {
			shared = append(shared, at)
		}
	}
	image := empty.Image
	for _, paths := range [][]string{shared, own} {
		if len(paths) == 0 {
			continue
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return i.layer(paths), nil },
			tarball.WithCompressedCaching, tarball.WithCompressionLevel(gzip.BestSpeed))
		if err != nil {
			return nil, err
		}
		if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "kubectl microsim"}}); err != nil {
			return nil, err
		}
	}
	config := &v1.ConfigFile{}
	if old, err := image.ConfigFile(); err == nil {
		config = old.DeepCopy()
	}
	config.OS, config.Architecture = "linux", cmp.Or(i.bundle.Arch, "amd64")
	config.Config = v1.Config{
		Entrypoint: i.bundle.command(), User: "65532:65532", WorkingDir: path.Join(BundleRoot, i.bundle.Dir), Env: i.bundle.Env,
		Labels: map[string]string{"org.opencontainers.image.title": i.bundle.Name},
	}
	return mutate.ConfigFile(image, config)
}

// layer streams the archive of some files.
func (i *Bundled) layer(paths []string) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(i.writeLayer(w, paths)) }()
	return r
}

// writeLayer writes the archive of some files, with the directories above them. The times
// are those of this machine, by which Python and Java know what they have compiled.
func (i *Bundled) writeLayer(to io.Writer, paths []string) error {
	w := tar.NewWriter(to)
	dirs := map[string]bool{}
	for _, at := range paths {
		f := i.files[at]
		if err := writeDirs(w, dirs, path.Dir(at)); err != nil {
			return err
		}
		if f.link != "" {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: at[1:], Linkname: f.link, Mode: 0o777}); err != nil {
				return err
			}
			continue
		}
		if err := writeFile(w, at, f); err != nil {
			return err
		}
	}
	return w.Close()
}

func writeDirs(w *tar.Writer, written map[string]bool, dir string) error {
	if dir == "/" || written[dir] {
		return nil
	}
	if err := writeDirs(w, written, path.Dir(dir)); err != nil {
		return err
	}
	written[dir] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: 0o755})
}

// writeFile writes a file that everybody may read, and start if anybody may.
func writeFile(w *tar.Writer, at string, f bundledFile) error {
	mode := int64(0o644)
	if f.info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: at[1:], Mode: mode, Size: f.info.Size(), ModTime: f.info.ModTime()}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	content, err := os.Open(f.from)
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(w, content)
	return err
}
