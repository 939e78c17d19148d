package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// oneFile is a file that a flag names, written whole when the runs are over: what was
// there before stays until then.
type oneFile struct {
	path string
	// what is the file, for errors.
	what string
}

// probe checks, before anything is started, that the file can be written.
func (f oneFile) probe() error {
	if info, err := os.Stat(f.path); err == nil && info.IsDir() {
		return fmt.Errorf("writing %s: %q is a directory; name a file in it", f.what, f.path)
	}
	temp, err := os.CreateTemp(filepath.Dir(f.path), ".report-*")
	if err == nil {
		err = errors.Join(temp.Close(), os.Remove(temp.Name()))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.what, err)
	}
	return nil
}

// write writes the file.
func (f oneFile) write(content func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", f.what, err)
		}
	}()
	temp, err := os.CreateTemp(filepath.Dir(f.path), ".report-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // moved away where all went well
	if err := errors.Join(content(temp), temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), f.path)
}
