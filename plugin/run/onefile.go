package run

import (
	"fmt"
	"io"
	"os"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
)

// oneFile is an output file that a flag names. It is written as a whole at the end of
// the runs, so an older file stays until then.
type oneFile struct {
	path string
	// what names the file in errors.
	what string
}

// probe checks that the file can be written, without writing it.
func (f oneFile) probe() error {
	if info, err := os.Stat(f.path); err == nil && info.IsDir() {
		return fmt.Errorf("writing %s: %q is a directory; name a file in it", f.what, f.path)
	}
	if err := partial.CanWrite(f.path); err != nil {
		return fmt.Errorf("writing %s: %w", f.what, err)
	}
	return nil
}

// write writes the file.
func (f oneFile) write(content func(io.Writer) error) error {
	if err := partial.WriteFile(f.path, 0o644, content); err != nil {
		return fmt.Errorf("writing %s: %w", f.what, err)
	}
	return nil
}
