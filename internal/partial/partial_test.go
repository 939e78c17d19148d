package partial

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// childEnv makes the test binary a program that holds a directory until it is killed.
const childEnv = "MICROSIM_TEST_PARTIAL_PARENT"

func TestMain(m *testing.M) {
	if parent := os.Getenv(childEnv); parent != "" {
		d, err := Make(parent, "out", nil)
		if err != nil {
			panic(err)
		}
		if err := os.WriteFile(filepath.Join(d.Path, "half.csv"), []byte("half"), 0o600); err != nil {
			panic(err)
		}
		os.Stdout.WriteString(d.Path + "\n")
		os.Stdin.Read(make([]byte, 1)) //nolint:errcheck // it is killed here
		return
	}
	os.Exit(m.Run())
}

// names lists what is in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// startChild starts a program that holds a hidden directory for "out".
func startChild(t *testing.T, parent string) (held string, kill func()) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+parent)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line[:len(line)-1], func() {
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		child.Wait() //nolint:errcheck // it was killed
	}
}

// A file is written as a whole, and what killed programs have left of it goes.
func TestWriteFile(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "out")
	_, kill := startChild(t, parent)
	kill()
	broken := errors.New("broken")
	for _, step := range []struct {
		text, want string
		fails      error
	}{{"half", "", broken}, {"first", "first", nil}, {"half", "first", broken}, {"second", "second", nil}} {
		err := WriteFile(path, 0o640, func(w io.Writer) error {
			_, err := io.WriteString(w, step.text)
			return errors.Join(err, step.fails)
		})
		got, _ := os.ReadFile(path)
		if !errors.Is(err, step.fails) || string(got) != step.want {
			t.Errorf("after %q there is %q, %v; want %q, %v", step.text, got, err, step.want, step.fails)
		}
	}
	if got := names(t, parent); !slices.Equal(got, []string{"out"}) {
		t.Errorf("left are %q", got)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if err := CanWrite(filepath.Join(parent, "none", "out")); err == nil {
		t.Error("a file can be written where there is no directory")
	}
}

func TestWhatKilledProgramsLeaveIsRemoved(t *testing.T) {
	parent := t.TempDir()
	held, kill := startChild(t, parent)
	var removed []string
	note := func(path string) { removed = append(removed, path) }
	mine, err := Make(parent, "out", note)
	if err != nil || len(removed) > 0 {
		t.Fatalf("beside a program that lives: %v, removed %q", err, removed)
	}
	if _, err := os.Stat(filepath.Join(held, "half.csv")); err != nil {
		t.Fatalf("the directory of a program that lives is gone: %v", err)
	}
	kill()
	if other, err := Make(parent, "other", note); err != nil || len(removed) > 0 || other.Remove() != nil {
		t.Fatalf("for another name: %v, removed %q", err, removed)
	}
	again, err := Make(parent, "out", note)
	if err != nil || !slices.Equal(removed, []string{held}) {
		t.Fatalf("got %v, removed %q, want %q", err, removed, held)
	}
	for _, d := range []*Dir{mine, again, again} {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	}
	if left := names(t, parent); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

// A directory that was moved to its place leaves nothing behind, and files of others
// are left alone.
func TestOnlyOwnDirectoriesAreRemoved(t *testing.T) {
	parent := t.TempDir()
	others := []string{".out.partial-1", ".out.partial-2.lock", "out.lock"}
	if err := os.Mkdir(filepath.Join(parent, others[0]), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(parent, others[1]), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, others[2]), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Make(parent, "out", func(path string) { t.Errorf("removed %q", path) })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.Path, filepath.Join(parent, "out")); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if got, want := names(t, parent), append(others, "out"); !slices.Equal(got, sorted(want)) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

// Several programs may write beside each other at the same time.
func TestMakingAndSweepingAtOnce(t *testing.T) {
	parent := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				d, err := Make(parent, "out", func(path string) { t.Errorf("removed %q of a program that lives", path) })
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(d.Path); err != nil {
					t.Error(err)
				}
				if err := d.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left := names(t, parent); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

// TestSpecialFilesAreWrittenTo: a file must not take the place of a device, such as
// /dev/null, nor of a link or a pipe.
func TestSpecialFilesAreWrittenTo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links and pipes are those of Unix")
	}
	dir := t.TempDir()
	file, link, loop := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "loop")
	for from, to := range map[string]string{link: file, loop: loop} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	write := func(text string) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		}
	}
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(CanWrite(link), WriteFile(link, 0o600, write("new"))); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "new" {
		t.Errorf("what the link leads to holds %q, %v", text, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is now %v, %v", info, err)
	}
	if err := errors.Join(CanWrite(os.DevNull), WriteFile(os.DevNull, 0o600, write("gone"))); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(os.DevNull); err != nil || info.Mode()&os.ModeDevice == 0 {
		t.Errorf("%s is now %v, %v", os.DevNull, info, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	through := filepath.Join("/dev/fd", strconv.Itoa(int(w.Fd())))
	if err := errors.Join(CanWrite(through), WriteFile(through, 0o600, write("piped")), w.Close()); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "piped" {
		t.Errorf("the pipe brought %q, %v", text, err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"file", "link", "loop"}) {
		t.Errorf("left are %v", got)
	}
}
