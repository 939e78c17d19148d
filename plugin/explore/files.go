package explore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// checkFile says, before anything is played, whether a file can be written: there
// is none yet, unless force is set, and its directory takes new files.
func checkFile(flag, path string, force bool) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s %q is a directory: name a file", flag, path)
	case err == nil && !force:
		return fmt.Errorf("%s %q is there already: use --force to overwrite it", flag, path)
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".microsim-*")
	if err != nil {
		return fmt.Errorf("%s %q cannot be written: %w", flag, path, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("%s %q cannot be written: %w", flag, path, err)
	}
	return nil
}

// writeFile writes a whole file or leaves what was there.
func writeFile(path string, write func(w io.Writer) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".microsim-*")
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }() // moved away where all went well
	err = write(temp)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}
