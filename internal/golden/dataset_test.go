package golden

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/observe/export"
)

// TestDataSet pins the files of data sets in all formats, and their headers.
func TestDataSet(t *testing.T) {
	runs, set := filepath.Join(t.TempDir(), "runs"), filepath.Join(t.TempDir(), "set")
	file := written(t, "tiny.yaml", strings.NewReplacer("duration: 1s", "duration: 4s", "start: 300ms", "start: 1300ms").Replace(tinyExperiment))
	output(t, "run", "-f", file, "--on", "virtual", "--out", runs, "--trace-sample", "1", "--verbose")
	output(t, "export", runs, "--format", strings.Join(export.FormatNames(), ","), "--out", set)
	var text strings.Builder
	err := filepath.WalkDir(set, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(set, path)
		fmt.Fprintf(&text, "%s\n", filepath.ToSlash(name))
		if ext := filepath.Ext(path); ext != ".csv" && ext != ".txt" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header, _, _ := bytes.Cut(content, []byte("\n"))
		fmt.Fprintf(&text, "    %s\n", header)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "dataset.txt", text.String())
}
