package ui

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/logs"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/webui"
)

// localLog reads the log of a system that runs in the background on this machine.
func localLog(name string) func(context.Context, string, int) ([]string, error) {
	return func(_ context.Context, service string, most int) ([]string, error) {
		dir, err := registry.DefaultDir(os.Getenv)
		if err != nil {
			return nil, err
		}
		systems, err := local.Systems()
		if err != nil {
			return nil, err
		}
		for i := range systems {
			if systems[i].Name == name {
				return tailOf(dir, &systems[i], service, most)
			}
		}
		return nil, fmt.Errorf("reading the log of system %q: it does not run any more", name)
	}
}

func tailOf(dir string, system *registry.System, service string, most int) ([]string, error) {
	f, err := local.OpenLog(dir, system)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	var out bytes.Buffer
	err = local.CopyTail(&local.LineFilter{To: &out, Services: []string{service}}, f, int64(most))
	return linesOf(out.String()), err
}

func linesOf(text string) []string {
	if text = strings.TrimSuffix(text, "\n"); text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// kubeLog reads the logs of a service's pods.
func kubeLog(d *cluster.Deployment) func(context.Context, string, int) ([]string, error) {
	return func(ctx context.Context, service string, most int) (lines []string, err error) {
		err = logs.Read(ctx, d.Instance, logs.Options{Services: []string{service}, Tail: int64(most)}, func(l logs.Line) {
			lines = append(lines, fmt.Sprintf("%s/%d %s", l.Service, l.Replica, strings.TrimSuffix(l.Text, "\r")))
		})
		return lines[max(0, len(lines)-most):], err
	}
}

// recordedLog reads what `run --out` has kept of the logs of a run.
func recordedLog(path string) webui.Log {
	return func(_ context.Context, service string, most int) ([]string, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading a log: %w", err)
		}
		defer f.Close() //nolint:errcheck // nothing was written
		var last []logline.Line
		rows := bufio.NewScanner(f)
		rows.Buffer(nil, 2*logline.MaxText)
		for rows.Scan() {
			if l, ok := logline.Parse(rows.Bytes()); ok && l.Service == service {
				if last = append(last, l); len(last) >= 2*most {
					last = append(last[:0], last[len(last)-most:]...)
				}
			}
		}
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("reading %q: %w", path, err)
		}
		var text bytes.Buffer
		for _, l := range last[max(0, len(last)-most):] {
			if err := l.WriteText(&text); err != nil { //nolint:contextcheck // it writes to memory
				return nil, fmt.Errorf("reading %q: %w", path, err)
			}
		}
		return linesOf(text.String()), nil
	}
}

// maxKept bounds what of a log is kept in memory, in bytes.
const maxKept = 1 << 20

// A logMemory keeps the end of what it is written. It may be used by several
// goroutines.
type logMemory struct {
	mu   sync.Mutex
	text []byte
}

func (m *logMemory) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = append(m.text, p...)
	if len(m.text) > 2*maxKept {
		rest := m.text[len(m.text)-maxKept:]
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
		m.text = append([]byte(nil), rest...)
	}
	return len(p), nil
}

// read returns the last lines of a service.
func (m *logMemory) read(_ context.Context, service string, most int) ([]string, error) {
	m.mu.Lock()
	text := bytes.Clone(m.text)
	m.mu.Unlock()
	var out bytes.Buffer
	if _, err := (&local.LineFilter{To: &out, Services: []string{service}}).Write(text); err != nil {
		return nil, err
	}
	lines := linesOf(out.String())
	return lines[max(0, len(lines)-most):], nil
}
