package main

import (
	_ "embed" // the manifest's template
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed microsim.yaml
var manifest string

// writeManifest fills in the manifest for krew.
func (r *release) writeManifest(sums map[string]string) error {
	text, err := render(r.version, sums)
	if err != nil {
		return fmt.Errorf("filling in the manifest for krew: %w", err)
	}
	if err := os.WriteFile(filepath.Join(r.out, "microsim.yaml"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the manifest for krew: %w", err)
	}
	return nil
}

// render fills in the template by the checksums of the archives, by their names.
func render(version string, sums map[string]string) (string, error) {
	data := struct{ TagName string }{version}
	fill := func(text string, functions template.FuncMap) (string, error) {
		t, err := template.New("microsim.yaml").Option("missingkey=error").Funcs(functions).Parse(text)
		if err != nil {
			return "", err
		}
		var filled strings.Builder
		if err := t.Execute(&filled, data); err != nil {
			return "", err
		}
		return filled.String(), nil
	}
	address := func(pattern, _ string) (string, error) {
		uri, err := fill(pattern, nil)
		if err != nil {
			return "", err
		}
		sum, ok := sums[path.Base(uri)]
		if !ok {
			return "", fmt.Errorf("the release has no archive %q", path.Base(uri))
		}
		// Indented as the key of a platform is.
		return "uri: " + uri + "\n      sha256: " + sum, nil
	}
	// The comment on top is about the template.
	_, body, _ := strings.Cut(manifest, "\napiVersion:")
	return fill("apiVersion:"+body, template.FuncMap{"addURIAndSha": address})
}
