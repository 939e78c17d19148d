package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
	"github.com/microsim-dev/kubectl-microsim/observe/export"
)

// writeWhole has a directory written beside its place, and moved there if that went
// well. One that holds a data set is replaced if forced; one that holds anything else
// is refused.
func writeWhole(out string, force bool, removed func(path string), write func(dir string) error) (err error) {
	out = filepath.Clean(out)
	replaces, err := checkPlace(out, force)
	if err != nil {
		return fmt.Errorf("writing the data set %q: %w", out, err)
	}
	parent := filepath.Dir(out)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("writing the data set %q: %w", out, err)
	}
	staged, err := partial.Make(parent, filepath.Base(out), removed)
	if err != nil {
		return fmt.Errorf("writing the data set %q: %w", out, err)
	}
	defer func() { err = errors.Join(err, staged.Remove()) }()
	fresh := filepath.Join(staged.Path, "new")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return fmt.Errorf("writing the data set %q: %w", out, err)
	}
	if err := write(fresh); err != nil {
		return err
	}
	if err := exchange(out, fresh, filepath.Join(staged.Path, "old"), replaces); err != nil {
		return fmt.Errorf("putting the data set into %q: %w", out, err)
	}
	return nil
}

// exchange moves a directory to its place, and what was there aside.
func exchange(out, fresh, old string, replaces bool) error {
	if !replaces {
		if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // it was empty, and is not any more
		}
		return os.Rename(fresh, out)
	}
	if err := os.Rename(out, old); err != nil {
		return err
	}
	if err := os.Rename(fresh, out); err != nil {
		return errors.Join(err, os.Rename(old, out))
	}
	return nil
}

// checkPlace reports whether a data set is to be replaced, and refuses directories
// that hold something else.
func checkPlace(out string, force bool) (replaces bool, err error) {
	entries, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, plain(err)
	case len(entries) == 0:
		return false, nil
	case !isSet(out):
		return false, errors.New("it holds files that are no data set; name another directory")
	case !force:
		return false, errors.New("it holds a data set; name another directory, or use --force to replace it")
	}
	return true, nil
}

func plain(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// isSet reports whether a directory holds a data set.
func isSet(dir string) bool {
	_, err := readManifest(dir)
	return err == nil
}

func readManifest(dir string) (*export.Manifest, error) {
	path := filepath.Join(dir, export.ManifestFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the data set %q: %s: %w", dir, export.ManifestFile, plain(err))
	}
	m := &export.Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if m.Kind != export.ManifestKind {
		return nil, fmt.Errorf("reading %q: its kind is %q, not %q", path, m.Kind, export.ManifestKind)
	}
	return m, nil
}

// replaceFile writes a whole file or leaves what was there.
func replaceFile(path string, text []byte) error {
	err := partial.WriteFile(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, plain(err))
	}
	return nil
}
