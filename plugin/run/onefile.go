package run

import (
	"fmt"
	"io"
	"os"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
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
