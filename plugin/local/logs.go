package local

import (
	"bytes"
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
)

// LogPath returns the path of the log of a system in the background on this
// machine.
func LogPath(dir, system string) string { return filepath.Join(dir, system+".log") }

// A LineFilter passes on the lines of some services, from a time on.
type LineFilter struct {
	To       io.Writer
	Services []string
	Since    time.Time
	partial  []byte
	// kept says whether the last line with a time was kept. Lines without a time,
	// which belong to no service, are kept or dropped with it.
	kept bool
}

// Write implements io.Writer.
func (f *LineFilter) Write(p []byte) (int, error) {
	if len(f.Services) == 0 && f.Since.IsZero() {
		return f.To.Write(p)
	}
	f.partial = append(f.partial, p...)
	for {
		i := bytes.IndexByte(f.partial, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := f.partial[:i+1]
		if f.keeps(line) {
			if _, err := f.To.Write(line); err != nil {
				return 0, err
			}
		}
		f.partial = f.partial[i+1:]
	}
}

// keeps reports whether a line is passed on.
func (f *LineFilter) keeps(line []byte) bool {
	at, service := readLine(line)
	if !at.IsZero() {
		f.kept = !at.Before(f.Since)
	}
	return f.kept && (len(f.Services) == 0 || slices.Contains(f.Services, service))
}

// readLine returns the time and the service of a line, in either format of logs.
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

// DetachedPatience bounds how long a system in the background may take to start.
const DetachedPatience = 2 * time.Minute

// OpenLog opens the log of a system of the registry in dir. Only a system in the
// background has a log.
func OpenLog(dir string, system *registry.System) (*os.File, error) {
	f, err := os.Open(LogPath(dir, system.Name))
	if err == nil && older(f, system.Started) {
		f.Close()
		err = fs.ErrNotExist // the log belongs to an earlier system of the same name
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the log of system %q: it runs in the foreground of another terminal, which shows it; 'up --detach' makes one that has a log", system.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log of system %q: %w", system.Name, err)
	}
	return f, nil
}

// older reports whether a file was last written before a system started, so that it
// is not the log of that system.
func older(f *os.File, started time.Time) bool {
	info, err := f.Stat()
	return err == nil && info.ModTime().Before(started.Add(-DetachedPatience))
}

// CopyTail copies the last tail lines of a file that the filter keeps; a negative
// tail means all.
func CopyTail(out *LineFilter, f *os.File, tail int64) error {
	if tail < 0 {
		_, err := io.Copy(out, f)
		return err
	}
	var kept bytes.Buffer
	to := out.To
	out.To = &kept
	_, err := io.Copy(out, f)
	out.To = to
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
