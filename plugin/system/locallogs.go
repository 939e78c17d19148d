package system

import (
	"context"
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

// removeLogs removes the log of a system that is gone, and the logs of an `up
// --detach` that was killed while it wrote them. It cannot match the log of another
// system, because names of systems have no dots.
func removeLogs(dir, system string) error {
	begun, err := filepath.Glob(filepath.Join(dir, system+".log-*"))
	for _, path := range append(begun, local.LogPath(dir, system)) {
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
	f, err := local.OpenLog(dir, system)
	if err != nil {
		return err
	}
	defer f.Close()
	out := &local.LineFilter{To: o.streams.Out, Services: services}
	if o.since > 0 {
		out.Since = time.Now().Add(-o.since.Std())
	}
	if err := local.CopyTail(out, f, o.tail); err != nil || !o.follow {
		return err
	}
	return o.followFile(ctx, f, name, out)
}

// checkServices refuses names that are not services of the running system.
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

// localSystem returns the running system that the flags mean.
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

// followFile copies lines as they are added to the log, until the context or the
// system ends.
func (o *logsOptions) followFile(ctx context.Context, f *os.File, name string, out io.Writer) error {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is the usual end
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
