package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
)

// logPath is where a system in the background on this machine logs.
func logPath(dir, system string) string { return filepath.Join(dir, system+".log") }

// removeLogs removes the log of a system that is gone, and those that an
// `up --detach` was writing when it was killed. Names of systems have no dots, so
// no log of another is met.
func removeLogs(dir, system string) error {
	begun, err := filepath.Glob(filepath.Join(dir, system+".log-*"))
	for _, path := range append(begun, logPath(dir, system)) {
		if removed := os.Remove(path); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return err
}

// onMachine prints the log of a system that runs in the background.
func (o *logsOptions) onMachine(ctx context.Context) error {
	system, err := o.localSystem()
	if err != nil {
		return err
	}
	name := system.Name
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return err
	}
	f, err := os.Open(logPath(dir, name))
	if err == nil && older(f, system.Started) {
		f.Close()
		err = fs.ErrNotExist // it is that of another system, which is gone
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the log of system %q: it runs in the foreground of another terminal, which shows it; 'up --detach' makes one that has a log", name)
	}
	if err != nil {
		return fmt.Errorf("reading the log of system %q: %w", name, err)
	}
	defer f.Close()
	if err := copyTail(o.streams.Out, f, o.tail); err != nil || !o.follow {
		return err
	}
	return o.followFile(ctx, f, name)
}

// older reports whether a file was written to before a system with a log would
// have begun it.
func older(f *os.File, started time.Time) bool {
	info, err := f.Stat()
	return err == nil && info.ModTime().Before(started.Add(-detachedPatience))
}

// localSystem is the running system that is meant.
func (o *logsOptions) localSystem() (*registry.System, error) {
	systems, err := local.Systems()
	if err != nil {
		return nil, err
	}
	if o.system != "" {
		systems = slices.DeleteFunc(systems, func(s registry.System) bool { return s.Name != o.system })
	}
	switch {
	case len(systems) == 1:
		return &systems[0], nil
	case len(systems) > 1:
		return nil, fmt.Errorf("reading logs: %d systems run on this machine; name one with --system", len(systems))
	case o.system != "":
		return nil, fmt.Errorf("reading logs: no system %q runs on this machine; 'kubectl microsim status --on local' lists those that do", o.system)
	}
	return nil, errors.New("reading logs: no system runs on this machine; 'kubectl microsim up -f FILE --on local --detach' starts one")
}

// copyTail copies the last lines of a file; all where tail is below 0.
func copyTail(w io.Writer, f *os.File, tail int64) error {
	if tail < 0 {
		_, err := io.Copy(w, f)
		return err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("reading %q: %w", f.Name(), err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if last := len(lines) - 1; len(lines[last]) == 0 {
		lines = lines[:last]
	}
	_, err = w.Write(bytes.Join(lines[max(0, int64(len(lines))-tail):], nil))
	return err
}

// followFile copies what is added to the log, until the context or the system
// ends.
func (o *logsOptions) followFile(ctx context.Context, f *os.File, name string) error {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how it ends
		case <-ticker.C:
		}
		systems, err := local.Systems()
		if err != nil {
			return err
		}
		if _, err := io.Copy(o.streams.Out, f); err != nil {
			return fmt.Errorf("reading the log of system %q: %w", name, err)
		}
		if !slices.ContainsFunc(systems, func(s registry.System) bool { return s.Name == name && s.Alive }) {
			return nil
		}
	}
}
