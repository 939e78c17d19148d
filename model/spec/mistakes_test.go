package spec

import (
	"bytes"
	"errors"
	"flag"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMistakesAreNamed holds the messages for wrong files. After a change that
// is meant, run it with -update and read the difference.
func TestMistakesAreNamed(t *testing.T) {
	paths, err := filepath.Glob("testdata/mistakes/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if filepath.Ext(path) == ".golden" {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			docs, err := Read(filepath.Base(path), bytes.NewReader(data))
			if err == nil || docs != nil {
				t.Fatalf("the file is accepted: %+v", docs)
			}
			if mistakes := (decode.Mistakes{}); !errors.As(err, &mistakes) {
				t.Errorf("the error is no Mistakes: %v", err)
			}
			compare(t, path+".golden", err.Error()+"\n")
		})
	}
}

var update = flag.Bool("update", false, "write golden files anew")

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Names of files are of those who made them, and make no line of an error.
func TestFileNamesMakeNoLines(t *testing.T) {
	_, err := Read("a.yaml valid\nerror: b.yaml", strings.NewReader("services: 5"))
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), `"a.yaml valid\nerror: b.yaml":1:1: `) {
		t.Errorf("the error is %v", err)
	}
}

func TestTooLargeFilesAreNotRead(t *testing.T) {
	endless := &counting{}
	_, err := Read("big.yaml", endless)
	if err == nil || !strings.Contains(err.Error(), "larger than 16Mi") {
		t.Errorf("got %v", err)
	}
	if endless.n > decode.MaxFileSize+1<<20 {
		t.Errorf("%d bytes were read", endless.n)
	}
}

// counting is an endless file.
type counting struct{ n int }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	c.n += len(p)
	return len(p), nil
}
