package export

import (
	"path/filepath"
	"testing"
)

// Names of experiments are in those of files, and lead nowhere else.
func TestFileNames(t *testing.T) {
	for name, want := range map[string]string{"shop": "shop", "a,b;c 流量": "a,b;c 流量", "../../out": "x..-..-out", "/etc/x": "x-etc-x", `a\b:c`: "xa-b-c", ".": "x.", "": "x"} {
		got := fileName(name)
		if got != want || filepath.Dir(filepath.Join("dir", got+".csv")) != "dir" {
			t.Errorf("%q is %q in names of files, want %q", name, got, want)
		}
	}
}
