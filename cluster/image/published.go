package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
)

// PublishedFile is the name of the file beside the plugin that names the images of its
// release in a public registry.
const PublishedFile = "microsim-images.json"

// Published are the images of a release in a public registry, each by its digest. They hold
// the programs of the release's archives. A release without images names none.
type Published struct {
	// Version is that of the release.
	Version string `json:"version"`
	Agent   string `json:"agent,omitempty"`
	Store   string `json:"store,omitempty"`
	Runner  string `json:"runner,omitempty"`
}

// FindPublished reads the images of the release to which the plugin belongs; nil if it has
// none, as a plugin that was built from its sources. Links are followed, as by Find.
func FindPublished(plugin, version string) (*Published, error) {
	doing := "finding the published images of this release"
	plugin, err := filepath.EvalSymlinks(plugin)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	file := filepath.Join(filepath.Dir(plugin), PublishedFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	p := &Published{}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("%s: reading %q: %w", doing, file, err)
	}
	if p.Version != version {
		return nil, fmt.Errorf("%s: %q is of %s, and this program is %s; install the whole archive of one release, or remove the file", doing, file, p.Version, version)
	}
	if p.Agent+p.Store+p.Runner == "" {
		return nil, nil
	}
	for _, reference := range []string{p.Agent, p.Store, p.Runner} {
		if _, err := name.NewDigest(reference); err != nil {
			return nil, fmt.Errorf("%s: %q names an image by no digest: %w", doing, file, err)
		}
	}
	return p, nil
}

// Write writes the file into a directory.
func (p *Published) Write(dir string) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the names of the published images: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, PublishedFile), append(text, '\n'), 0o644); err != nil { //nolint:gosec // it is for everybody
		return fmt.Errorf("writing the names of the published images: %w", err)
	}
	return nil
}
