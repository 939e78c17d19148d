package explore

import (
	"fmt"
	"io"
	"os"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
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
	if err := partial.CanWrite(path); err != nil {
		return fmt.Errorf("%s %q cannot be written: %w", flag, path, err)
	}
	return nil
}

// writeFile writes a whole file or leaves what was there.
func writeFile(path string, write func(w io.Writer) error) error {
	if err := partial.WriteFile(path, 0o644, write); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}
