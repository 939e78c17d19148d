// Package archive packs a directory into an archive that can be cut into pieces,
// small enough for objects of Kubernetes, and unpacks it.
package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

const (
	// maxFiles and maxContent bound what is unpacked, whatever an archive says.
	maxFiles   = 10_000
	maxContent = 2 << 30
)

// A file is one of a directory, by its name with slashes.
type file struct {
	name string
	size int64
}

// Pack returns the files of a directory as tar, compressed by gzip. Where that
// has more bytes than limit, the largest files that are not essential are left
// out until it has not, and named. One that has too many even then is an error.
func Pack(dir string, limit int, essential func(name string) bool) (data []byte, omitted []string, err error) {
	files, err := list(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("packing %q: %w", dir, err)
	}
	for {
		data, err := pack(dir, files)
		if err != nil {
			return nil, nil, fmt.Errorf("packing %q: %w", dir, err)
		}
		if len(data) <= limit {
			slices.Sort(omitted)
			return data, omitted, nil
		}
		i := largest(files, essential)
		if i < 0 {
			return nil, nil, fmt.Errorf("packing %q: the %d bytes of what cannot be left out are more than %d", dir, len(data), limit)
		}
		omitted = append(omitted, files[i].name)
		files = slices.Delete(files, i, i+1)
	}
}

// list names the regular files of a directory in order. Those whose names begin
// with a dot are somebody's work in progress.
func list(dir string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(dir, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p != dir && entry.Name()[0] == '.' {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		files = append(files, file{filepath.ToSlash(name), info.Size()})
		return err
	})
	return files, err
}

func largest(files []file, essential func(string) bool) int {
	best := -1
	for i, f := range files {
		if !essential(f.name) && (best < 0 || cmp.Compare(f.size, files[best].size) > 0) {
			best = i
		}
	}
	return best
}

func pack(dir string, files []file) ([]byte, error) {
	var buffer bytes.Buffer
	zip := gzip.NewWriter(&buffer)
	w := tar.NewWriter(zip)
	for _, f := range files {
		if err := add(w, dir, f); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

func add(w *tar.Writer, dir string, f file) error {
	in, err := os.Open(filepath.Join(dir, filepath.FromSlash(f.name)))
	if err != nil {
		return err
	}
	defer in.Close()
	if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: f.size, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	// A file that grows meanwhile is taken as long as it was.
	if _, err := io.CopyN(w, in, f.size); err != nil {
		return fmt.Errorf("reading %q: %w", f.name, err)
	}
	return nil
}

// Unpack writes the files of an archive into a directory, which is made. One that
// exists must be empty. On an error nothing is left in it.
func Unpack(data []byte, dir string) (err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("unpacking into %q: %w", dir, err)
	case len(entries) > 0:
		return fmt.Errorf("unpacking into %q: it holds files; name another directory", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("unpacking into %q: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpacking into %q: %w", dir, err)
	}
	defer func() { _ = root.Close() }() // what was written is closed
	if err := unpack(data, root); err != nil {
		return errors.Join(fmt.Errorf("unpacking into %q: %w", dir, err), empty(root))
	}
	return nil
}

func unpack(data []byte, root *os.Root) error {
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	r := tar.NewReader(io.LimitReader(zip, maxContent))
	for n := 0; ; n++ {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch {
		case err != nil:
			return fmt.Errorf("reading the archive: %w", err)
		case n == maxFiles:
			return fmt.Errorf("reading the archive: it has more than %d files", maxFiles)
		case header.Typeflag != tar.TypeReg:
			return fmt.Errorf("reading the archive: %q is not a file", header.Name)
		}
		if err := write(root, header.Name, r); err != nil {
			return err
		}
	}
}

// write makes one file below root, which nothing leads out of.
func write(root *os.Root, name string, content io.Reader) error {
	if name != path.Clean(name) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("reading the archive: %q is not a name of a file in it", name)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %q: %w", name, err)
	}
	return nil
}

// empty removes what is in a directory.
func empty(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	for _, e := range entries {
		err = errors.Join(err, root.RemoveAll(e.Name()))
	}
	return err
}

// Split cuts data into pieces of at most size bytes; at least one.
func Split(data []byte, size int) [][]byte {
	pieces := slices.Collect(slices.Chunk(data, size))
	if len(pieces) == 0 {
		return [][]byte{{}}
	}
	return pieces
}
