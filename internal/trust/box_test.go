//go:build linux

package trust

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A box is all that the commands of one trial may touch: a directory to work in,
// a home, a state directory and one for temporary files. It knows the processes
// that were started in it by a mark in their environment.
type box struct {
	dir, mark string
	// before are the files that the trial itself made.
	before []string
}

// markVariable is the variable of the environment that holds the mark of a box.
const markVariable = "MICROSIM_TRUST_BOX"

func newBox(t *testing.T) *box {
	t.Helper()
	// Directories of testing are closed to other users, and some trials run as one.
	dir, err := os.MkdirTemp("", "microsim-trust-")
	if err != nil {
		t.Fatal(err)
	}
	b := &box{dir: dir, mark: filepath.Base(dir)}
	t.Cleanup(func() {
		for _, p := range b.processes() {
			_ = p.Kill()
		}
		_ = os.RemoveAll(dir)
	})
	for _, name := range []string{"work", "home", "state", "tmp"} {
		if err := os.Mkdir(b.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *box) path(names ...string) string {
	return filepath.Join(append([]string{b.dir}, names...)...)
}

// write makes a file below the working directory.
func (b *box) write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(b.path("work", name), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// environment is what commands see: no cluster, and nothing of the user who runs
// the tests.
func (b *box) environment(more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.path("home"), "TMPDIR=" + b.path("tmp"), "TERM=xterm", "LANG=C.UTF-8",
		"MICROSIM_STATE_DIR=" + b.path("state"), "KUBECONFIG=" + b.path("no-kubeconfig"), markVariable + "=" + b.mark,
	}, more...)
}

// processes are those that were started in the box and run.
func (b *box) processes() []*os.Process {
	var found []*os.Process
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		text, err := os.ReadFile(path) // empty for those that ended and wait for their parent
		if err != nil || !slices.Contains(strings.Split(string(text), "\x00"), markVariable+"="+b.mark) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if p, err := os.FindProcess(pid); err == nil {
			found = append(found, p)
		}
	}
	return found
}

// files are those in the box, by their paths in it.
func (b *box) files() []string {
	var found []string
	_ = filepath.WalkDir(b.dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(b.dir, path)
		if err == nil && !entry.IsDir() && name != filepath.Join("state", ".lock") || filepath.Dir(name) == "state" && entry.IsDir() {
			found = append(found, name)
		}
		return nil
	})
	return found
}

// remains is what is there that was not before the command: processes, and with
// them their sockets, entries of systems, and files.
func (b *box) remains() []string {
	var left []string
	for _, p := range b.processes() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Pid))
		left = append(left, fmt.Sprintf("process %d: %s", p.Pid, bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
	}
	for _, name := range b.files() {
		if !slices.Contains(b.before, name) {
			left = append(left, "file "+name)
		}
	}
	return left
}

// settle waits until nothing remains, and returns what does after a while: the
// children of a process that was killed learn of it a moment later.
func (b *box) settle(patience time.Duration) []string {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		left := b.remains()
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}
