package runtimes

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A Store is the directory that runtimes are installed in.
type Store struct{ Dir string }

// Default returns the store of the user, in the directory for caches.
func Default() (Store, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return Store{}, fmt.Errorf("finding the directory that runtimes are installed in: %w; set XDG_CACHE_HOME to a directory, by its full path", err)
	}
	return Store{filepath.Join(dir, "kubectl-microsim", "runtimes")}, nil
}

// A NotInstalledError says that a runtime can be installed and is not.
type NotInstalledError struct{ Manifest Manifest }

// Error names the command that installs it.
func (e *NotInstalledError) Error() string {
	return fmt.Sprintf("runtime %s is not installed: run `kubectl microsim runtimes install %[1]s`", e.Manifest.Name)
}

// root is where a runtime of these very sources is, or will be.
func (s Store) root(m *Manifest) (string, error) {
	version, err := m.version()
	if err != nil {
		return "", fmt.Errorf("reading the sources of runtime %s: %w", m.Name, err)
	}
	return filepath.Join(s.Dir, string(m.Name)+"-"+version), nil
}

// Installed returns the directory of a runtime, or a NotInstalledError.
func (s Store) Installed(m *Manifest) (dir string, err error) {
	root, err := s.root(m)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(root, m.dir())
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "", &NotInstalledError{*m}
	} else if err != nil {
		return "", fmt.Errorf("looking for runtime %s: %w", m.Name, err)
	}
	return dir, nil
}

// Command makes the command that serves a service in an installed runtime.
func (s Store) Command(m *Manifest) (*exec.Cmd, error) {
	dir, err := s.Installed(m)
	if err != nil {
		return nil, err
	}
	cmd, err := command(context.Background(), dir, m.Run)
	if err != nil {
		return nil, fmt.Errorf("starting runtime %s: %w", m.Name, err)
	}
	cmd.Env = os.Environ()
	for name, value := range m.Env {
		cmd.Env = append(cmd.Env, name+"="+strings.ReplaceAll(value, "{dir}", dir))
	}
	return cmd, nil
}

// command makes a command in a directory. A program with a slash is in there.
func command(ctx context.Context, dir string, words []string) (*exec.Cmd, error) {
	program := words[0]
	if strings.Contains(program, "/") {
		if runtime.GOOS == "windows" { // where virtual environments have their programs
			program = strings.Replace(program, ".venv/bin/", ".venv/Scripts/", 1)
		}
		program = filepath.Join(dir, filepath.FromSlash(program))
	} else {
		found, err := exec.LookPath(program)
		if err != nil {
			return nil, fmt.Errorf("there is no program %s on the PATH: install it", program)
		}
		program = found
	}
	cmd := exec.CommandContext(ctx, program, words[1:]...)
	cmd.Dir = dir
	return cmd, nil
}

// Install installs a runtime from its lock file, unless it is there already. tell
// is called with each step as it begins. On an error nothing is left.
func (s Store) Install(ctx context.Context, m *Manifest, tell func(step string)) error {
	missing := (*NotInstalledError)(nil)
	if _, err := s.Installed(m); err == nil || !errors.As(err, &missing) {
		return err
	}
	if err := errors.Join(m.Check(ctx)...); err != nil {
		return err
	}
	root, err := s.root(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return fmt.Errorf("installing runtime %s: %w", m.Name, err)
	}
	s.sweep()
	// A half-made installation never has the name of a whole one.
	made, err := os.MkdirTemp(s.Dir, unfinished+string(m.Name)+"-*")
	if err != nil {
		return fmt.Errorf("installing runtime %s: %w", m.Name, err)
	}
	err = m.installIn(ctx, made, tell)
	if err == nil {
		err = os.Rename(made, root)
		if _, there := s.Installed(m); err != nil && there == nil {
			err = os.RemoveAll(made) // another program was faster
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("installing runtime %s: %w", m.Name, err), os.RemoveAll(made))
	}
	return nil
}

// unfinished begins the names of directories that are being installed in.
const unfinished = ".unfinished-"

// sweep removes what installations have left that were killed. Those that run take
// minutes, not an hour.
func (s Store) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.Dir, unfinished+"*"))
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(dir)
		}
	}
}

func (m *Manifest) installIn(ctx context.Context, root string, tell func(string)) error {
	files, err := m.files()
	if err != nil {
		return err
	}
	for _, f := range files {
		to := filepath.Join(root, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, f.data, 0o644); err != nil { //nolint:gosec // sources are no secret
			return err
		}
	}
	dir := filepath.Join(root, m.dir())
	for _, words := range m.Install {
		tell(strings.Join(words, " "))
		if err := runStep(ctx, dir, words); err != nil {
			return err
		}
	}
	return nil
}

// runStep runs a command of an installation. Its output matters only if it fails.
func runStep(ctx context.Context, dir string, words []string) error {
	cmd, err := command(ctx, dir, words)
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &said, &said, time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w: %s; an installation needs the registry of its language once", strings.Join(words, " "), err, lastLines(said.String(), 5))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// Check says which tools of a runtime are missing or too old here.
func (m *Manifest) Check(ctx context.Context) (missing []error) {
	for i := range m.Tools {
		if _, err := m.Tools[i].Version(ctx); err != nil {
			missing = append(missing, fmt.Errorf("runtime %s: %w", m.Name, err))
		}
	}
	return missing
}

var versionPattern = regexp.MustCompile(`\d+(\.\d+)+`) //nolint:gochecknoglobals // a constant

// Find returns the path of the tool's program, whose version may be too old.
func (t *Tool) Find() (path string, err error) {
	name := t.Command[0]
	if path, err = exec.LookPath(name); err != nil {
		return "", fmt.Errorf("there is no program %s on the PATH: install %s %s or newer", name, cmp.Or(t.From, name), t.Least)
	}
	return path, nil
}

// Version asks the tool for its version. The error says why it will not do.
func (t *Tool) Version(ctx context.Context) (string, error) {
	name := t.Command[0]
	program, err := t.Find()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, t.Command[1:]...)
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput()
	version := versionPattern.FindString(string(text))
	switch {
	case err != nil:
		return "", fmt.Errorf("asking %s for its version: %w", strings.Join(t.Command, " "), err)
	case version == "":
		return "", fmt.Errorf("%s told no version, but %q", strings.Join(t.Command, " "), lastLines(string(text), 1))
	case older(version, t.Least):
		return version, fmt.Errorf("%s is version %s, too old: install %s or newer", name, version, t.Least)
	}
	return version, nil
}

// older compares versions by their numbers.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if x != y {
			return x < y
		}
	}
	return false
}
