package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fill writes files into a new directory.
func fill(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents reads what is in a directory, by name.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files[p], err = fs.ReadFile(root, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func isJSON(name string) bool { return strings.HasSuffix(name, ".json") }

// noise cannot be compressed.
func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n >> 8), byte(n)}).Read(data)
	return data
}

func same(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

func TestWhatIsPackedIsUnpacked(t *testing.T) {
	files := map[string][]byte{"result.json": []byte("{}"), "none/seed-1/timeline.csv": noise(3000), "empty": {}}
	dir := fill(t, files)
	if err := os.WriteFile(filepath.Join(dir, ".partial"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	data, omitted, err := Pack(dir, 1<<20, isJSON)
	if err != nil || len(omitted) > 0 {
		t.Fatal(omitted, err)
	}
	to := filepath.Join(t.TempDir(), "a", "b")
	if err := Unpack(slices.Concat(Split(data, 100)...), to); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, to); !same(got, files) {
		t.Errorf("got %d files, want %d", len(got), len(files))
	}
	if err := Unpack(data, to); err == nil || !strings.Contains(err.Error(), "holds files") {
		t.Errorf("a second time: %v", err)
	}
}

func TestTheLargestIsLeftOut(t *testing.T) {
	dir := fill(t, map[string][]byte{"result.json": noise(4000), "timeline.csv": noise(3000), "edges.csv": noise(2000)})
	for _, tt := range []struct {
		limit int
		want  []string
	}{{20000, nil}, {8000, []string{"timeline.csv"}}, {5000, []string{"edges.csv", "timeline.csv"}}} {
		data, omitted, err := Pack(dir, tt.limit, isJSON)
		if err != nil || !slices.Equal(omitted, tt.want) || len(data) > tt.limit {
			t.Errorf("limit %d: %d bytes without %v, %v; want without %v", tt.limit, len(data), omitted, err, tt.want)
		}
	}
	if _, _, err := Pack(dir, 3000, isJSON); err == nil || !strings.Contains(err.Error(), "cannot be left out") {
		t.Errorf("what is essential does not fit: %v", err)
	}
}

func TestNothingLeadsOut(t *testing.T) {
	for _, header := range []tar.Header{
		{Name: "../out", Typeflag: tar.TypeReg}, {Name: "/out", Typeflag: tar.TypeReg}, {Name: "a/../../out", Typeflag: tar.TypeReg},
		{Name: "link", Linkname: "/etc", Typeflag: tar.TypeSymlink}, {Name: "", Typeflag: tar.TypeReg},
	} {
		var buffer bytes.Buffer
		zip := gzip.NewWriter(&buffer)
		w := tar.NewWriter(zip)
		for _, h := range []*tar.Header{{Name: "fine", Typeflag: tar.TypeReg}, &header} {
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "in")
		if err := Unpack(buffer.Bytes(), dir); err == nil {
			t.Errorf("%q was taken", header.Name)
		}
		if got := contents(t, parent); len(got) > 0 {
			t.Errorf("%q: left behind are %v", header.Name, slices.Collect(maps.Keys(got)))
		}
	}
}

func FuzzUnpack(f *testing.F) {
	data, err := pack(".", []file{{"archive.go", 100}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := filepath.Join(t.TempDir(), "in")
		if err := Unpack(data, dir); err == nil {
			return
		}
		if left := contents(t, dir); len(left) > 0 {
			t.Errorf("after an error there are %d files", len(left))
		}
	})
}
