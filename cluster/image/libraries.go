package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A linked file is what the dynamic loader reads of a program or a library.
type linked struct {
	machine elf.Machine
	// interpreter is the loader that a program asks for; empty for a library, and for
	// a program that needs none.
	interpreter string
	// needed are the names of the libraries, and runpath the directories where they are
	// looked for first.
	needed, runpath []string
}

// readLinked reads what a file is linked to; nil if it is no ELF file.
func readLinked(path string) (*linked, error) {
	f, err := elf.Open(path)
	// A file that is shorter than a header is none, either.
	if format := (*elf.FormatError)(nil); errors.As(err, &format) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l := &linked{machine: f.Machine}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return nil, fmt.Errorf("reading the interpreter of %q: %w", path, err)
		}
		l.interpreter = strings.TrimRight(string(name), "\x00")
	}
	if l.needed, err = f.ImportedLibraries(); err != nil {
		return nil, fmt.Errorf("reading the libraries of %q: %w", path, err)
	}
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		texts, err := f.DynString(tag)
		if err != nil {
			return nil, fmt.Errorf("reading the library directories of %q: %w", path, err)
		}
		for _, text := range texts {
			for dir := range strings.SplitSeq(text, ":") {
				l.runpath = append(l.runpath, withOrigin(dir, filepath.Dir(path)))
			}
		}
	}
	return l, nil
}

// withOrigin fills in the directory that a library directory may be relative to; see
// ld.so(8).
func withOrigin(dir, origin string) string {
	return filepath.Clean(strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin).Replace(dir))
}

// find looks for a library as the dynamic loader does: in the directories that its user
// names, and then in those of the machine.
func (l *linked) find(name string, machine []string) (path string, ok bool) {
	if strings.Contains(name, "/") {
		return name, exists(name)
	}
	for _, dir := range slices.Concat(l.runpath, machine) {
		if path := filepath.Join(dir, name); exists(path) {
			return path, true
		}
	}
	return "", false
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// loaderDirs are the directories that a dynamic loader knows by itself.
func loaderDirs(arch string) []string {
	triple := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[arch]
	return []string{"/lib/" + triple, "/usr/lib/" + triple, "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
}

// libraryDirs are the directories that the dynamic loader of this machine looks into:
// those that it knows, and those of /etc/ld.so.conf.d.
func libraryDirs(arch string) []string {
	dirs := loaderDirs(arch)
	files, _ := filepath.Glob("/etc/ld.so.conf.d/*.conf")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a library that is only there is named as missing
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") && !slices.Contains(dirs, line) {
				dirs = append(dirs, line)
			}
		}
	}
	return dirs
}
