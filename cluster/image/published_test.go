package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPublishedImagesAreThoseOfTheRelease wants none of another release, and no tags.
func TestPublishedImagesAreThoseOfTheRelease(t *testing.T) {
	digest := "registry.example/microsim@sha256:" + strings.Repeat("a", 64)
	dir := t.TempDir()
	plugin := pluginIn(t, dir)
	link := filepath.Join(t.TempDir(), "kubectl-microsim")
	if err := os.Symlink(plugin, link); err != nil {
		t.Fatal(err)
	}
	if p, err := FindPublished(link, "v1.2.3"); p != nil || err != nil {
		t.Errorf("without the file: %+v, %v", p, err)
	}
	want := Published{Version: "v1.2.3", Agent: digest, Store: digest, Runner: digest}
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	if p, err := FindPublished(link, "v1.2.3"); err != nil || p == nil || *p != want {
		t.Errorf("found are %+v, %v", p, err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"another release": {`{"version":"v1.2.2","agent":"` + digest + `"}`, "is of v1.2.2, and this program is v1.2.3"},
		"a tag":           {`{"version":"v1.2.3","agent":"` + digest + `","store":"r.example/a:1","runner":"` + digest + `"}`, "by no digest"},
		"one is missing":  {`{"version":"v1.2.3","agent":"` + digest + `"}`, "by no digest"},
		"no JSON":         {`v1.2.3`, "microsim-images.json"},
		"no images":       {`{"version":"v1.2.3"}`, ""},
	} {
		write(t, dir, map[string]string{PublishedFile: c.text})
		p, err := FindPublished(link, "v1.2.3")
		if p != nil || c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %+v, %v; want %q", name, p, err, c.want)
		}
	}
}
