package run

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOneFileIsWrittenWhole keeps what was there until the new file is complete, and
// finds out before a run that it cannot be written.
func TestOneFileIsWrittenWhole(t *testing.T) {
	dir := t.TempDir()
	if err := (oneFile{dir, "the file"}).probe(); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
	if err := (oneFile{filepath.Join(dir, "none", "file"), "the file"}).probe(); err == nil {
		t.Error("a directory that is missing is found too late")
	}
	f := oneFile{filepath.Join(dir, "file"), "the file"}
	broken := errors.New("broken")
	for _, step := range []struct {
		text string
		fail error
		want string
	}{{"first", nil, "first"}, {"half", broken, "first"}, {"second", nil, "second"}} {
		err := f.write(func(w io.Writer) error {
			_, err := io.WriteString(w, step.text)
			return errors.Join(err, step.fail)
		})
		got, _ := os.ReadFile(f.path)
		if string(got) != step.want || !errors.Is(err, step.fail) {
			t.Errorf("after %q: %q, %v", step.text, got, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v are left, %v", left, err)
	}
}
