package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
func (o *logsOptions) onMachine(ctx context.Context, services []string) error {
	system, err := o.localSystem()
	if err != nil {
		return err
	}
	name := system.Name
	if err := checkServices(ctx, name, services); err != nil {
		return err
	}
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
	out := &lineFilter{to: o.streams.Out, services: services}
	if o.since > 0 {
		out.since = time.Now().Add(-o.since.Std())
	}
	if err := copyTail(out, f, o.tail); err != nil || !o.follow {
		return err
	}
	return o.followFile(ctx, f, name, out)
}

// checkServices refuses names that the running system has no service of.
func checkServices(ctx context.Context, name string, services []string) error {
	if len(services) == 0 {
		return nil
	}
	client, err := local.Find(name)
	if err != nil {
		return err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	var known []string
	for _, s := range status.Services {
		known = append(known, s.Name)
	}
	for _, s := range services {
		if !slices.Contains(known, s) {
			return fmt.Errorf("reading the log of system %q: it has no service %q; it has %s", name, s, strings.Join(known, ", "))
		}
	}
	return nil
}

// A lineFilter passes on the lines of services, and those from a time on.
type lineFilter struct {
	to       io.Writer
	services []string
	since    time.Time
	partial  []byte
	// kept says whether the last line that tells a time was young enough: lines
	// without one go with it. They belong to no service.
	kept bool
}

// Write implements io.Writer.
func (f *lineFilter) Write(p []byte) (int, error) {
	if len(f.services) == 0 && f.since.IsZero() {
		return f.to.Write(p)
	}
	f.partial = append(f.partial, p...)
	for {
		i := bytes.IndexByte(f.partial, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := f.partial[:i+1]
		if f.keeps(line) {
			if _, err := f.to.Write(line); err != nil {
				return 0, err
			}
		}
		f.partial = f.partial[i+1:]
	}
}

// keeps decides about a line.
func (f *lineFilter) keeps(line []byte) bool {
	at, service := readLine(line)
	if !at.IsZero() {
		f.kept = !at.Before(f.since)
	}
	return f.kept && (len(f.services) == 0 || slices.Contains(f.services, service))
}

// readLine finds the time and the service of a line in either format of logs.
func readLine(line []byte) (at time.Time, service string) {
	if bytes.HasPrefix(line, []byte("{")) {
		var fields struct {
			Time    time.Time `json:"time"`
			Service string    `json:"service"`
		}
		if json.Unmarshal(line, &fields) != nil {
			return time.Time{}, ""
		}
		return fields.Time, fields.Service
	}
	text := string(line)
	word := func(key string) string {
		_, rest, found := strings.Cut(" "+text, " "+key+"=")
		if !found {
			return ""
		}
		value, _, _ := strings.Cut(rest, " ")
		return strings.TrimSpace(value)
	}
	at, err := time.Parse(time.RFC3339Nano, word("time"))
	if err != nil {
		return time.Time{}, ""
	}
	return at, word("service")
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

// copyTail copies the last lines of a file that the filter keeps; all where tail is
// below 0.
func copyTail(out *lineFilter, f *os.File, tail int64) error {
	if tail < 0 {
		_, err := io.Copy(out, f)
		return err
	}
	var kept bytes.Buffer
	to := out.to
	out.to = &kept
	_, err := io.Copy(out, f)
	out.to = to
	if err != nil {
		return fmt.Errorf("reading %q: %w", f.Name(), err)
	}
	lines := bytes.SplitAfter(kept.Bytes(), []byte("\n"))
	if last := len(lines) - 1; len(lines[last]) == 0 {
		lines = lines[:last]
	}
	_, err = to.Write(bytes.Join(lines[max(0, int64(len(lines))-tail):], nil))
	return err
}

// followFile copies what is added to the log, until the context or the system
// ends.
func (o *logsOptions) followFile(ctx context.Context, f *os.File, name string, out io.Writer) error {
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
		if _, err := io.Copy(out, f); err != nil {
			return fmt.Errorf("reading the log of system %q: %w", name, err)
		}
		if !slices.ContainsFunc(systems, func(s registry.System) bool { return s.Name == name && s.Alive }) {
			return nil
		}
	}
}
