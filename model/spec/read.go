package spec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Read reads the documents of one file, whose name is only used in messages.
// An error of type Mistakes names everything that is wrong.
func Read(name string, r io.Reader) (document.Documents, error) {
	data, err := decode.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	return finish([]*reader{readFile(name, data)})
}

// A Reader reads what -f of a command names.
type Reader struct {
	// Stdin is read for the name "-".
	Stdin io.Reader
	// Recursive reads the directories below those that are named, too.
	Recursive bool
	// Fetch opens a URL; without it, URLs are refused.
	Fetch func(ctx context.Context, url string) (io.ReadCloser, error)
}

// ReadFiles reads the documents of all paths as one set, in which they may name
// each other. A path is a file, "-" for standard input, a directory, of which
// the files *.yaml, *.yml and *.json are read in the order of their names, an
// http or https URL, or the name of an embedded example. The errors of all files
// are reported together; those of type Mistakes are about the content.
func (r Reader) ReadFiles(ctx context.Context, paths ...string) (document.Documents, error) {
	var files []*reader
	var failed []error
	for _, path := range paths {
		names, err := r.expand(path)
		if err != nil {
			failed = append(failed, err)
		}
		for _, name := range names {
			data, label, err := r.load(ctx, name)
			if err != nil {
				failed = append(failed, fmt.Errorf("reading %q: %w", label, err))
				continue
			}
			files = append(files, readFile(label, data))
		}
	}
	docs, err := finish(files)
	if err = errors.Join(append(failed, err)...); err != nil {
		return nil, err
	}
	return docs, nil
}

func isURL(path string) bool {
	scheme, _, _ := strings.Cut(path, "://")
	return len(scheme) < len(path) && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// expand returns the files of a directory; any other path stands for itself.
func (r Reader) expand(path string) ([]string, error) {
	if path == "-" || isURL(path) {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, nil //nolint:nilerr // load says what is wrong
	}
	names, err := r.filesIn(path)
	if err != nil {
		return nil, fmt.Errorf("reading directory %q: %w", path, err)
	}
	if len(names) == 0 && r.Recursive {
		return nil, fmt.Errorf("reading directory %q: neither it nor those below have *.yaml, *.yml or *.json files", path)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("reading directory %q: it has no *.yaml, *.yml or *.json files", path)
	}
	return names, nil
}

// filesIn lists the files of a directory that are read, in the order of their names.
// Links to directories are not followed, so that none is read twice.
func (r Reader) filesIn(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch ext := filepath.Ext(e.Name()); {
		case e.IsDir() && r.Recursive:
			below, err := r.filesIn(path)
			if err != nil {
				return nil, err
			}
			names = append(names, below...)
		case !e.IsDir() && (ext == ".yaml" || ext == ".yml" || ext == ".json"):
			names = append(names, path)
		}
	}
	return names, nil
}

// load returns the content of one path and the name to show for it.
func (r Reader) load(ctx context.Context, path string) ([]byte, string, error) {
	switch {
	case path == "-":
		if r.Stdin == nil {
			return nil, "stdin", errors.New("there is no standard input")
		}
		data, err := decode.ReadAll(r.Stdin)
		return data, "stdin", err
	case isURL(path):
		if r.Fetch == nil {
			return nil, problem.CleanURL(path), errors.New("URLs cannot be read here; download it and name the file")
		}
		body, err := r.Fetch(ctx, path)
		if err != nil {
			return nil, problem.CleanURL(path), err
		}
		data, err := decode.ReadAll(body)
		return data, problem.CleanURL(path), errors.Join(err, body.Close())
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if data, name, ok := openExample(path); ok {
			return data, name, nil
		}
		if to, err := os.Readlink(path); err == nil {
			return nil, path, fmt.Errorf("it is a symbolic link to %q, which is not there", to)
		}
		return nil, path, fmt.Errorf("no such file, and no example of that name%s", suggestExample(path))
	}
	if err != nil {
		return nil, path, err
	}
	data, err := decode.ReadAll(f)
	return data, path, errors.Join(err, f.Close())
}

// openExample opens an embedded example by its name.
func openExample(name string) (data []byte, label string, ok bool) {
	data, err := examples.Open(name)
	return data, "example " + name, err == nil
}

func suggestExample(name string) string {
	var names []string
	for _, e := range examples.List() {
		names = append(names, e.Name)
	}
	if near := problem.Nearest(name, names); near != "" {
		return fmt.Sprintf(" (did you mean the example %q?)", near)
	}
	return "; to list the examples, run kubectl microsim examples"
}

// exampleSystem returns the system of an example, which may be that of its
// experiment, or nil if there is no such example.
func exampleSystem(name string) *topology.System {
	data, label, ok := openExample(name)
	if !ok {
		return nil
	}
	docs, err := Read(label, bytes.NewReader(data))
	if err != nil {
		return nil
	}
	if systems := docs.Systems(); len(systems) > 0 {
		return systems[0]
	}
	if experiments := docs.Experiments(); len(experiments) == 1 {
		return &experiments[0].System
	}
	return nil
}

// readFile decodes the documents of a file.
func readFile(name string, data []byte) *reader {
	f := &reader{File: &decode.File{Name: name, Types: decode.Types{Defaults: defaults, Shorthands: shorthands, Absent: absent, Hint: describeSystem}}}
	for _, root := range f.Parse(data) {
		f.read(root)
	}
	return f
}

// finish checks the files together.
func finish(files []*reader) (document.Documents, error) {
	c := checker{files: files, example: exampleSystem}
	c.check()
	var docs document.Documents
	var mistakes decode.Mistakes
	var order []string
	for _, f := range files {
		mistakes = append(mistakes, f.Mistakes...)
		if !slices.Contains(order, f.Name) {
			order = append(order, f.Name)
		}
		for _, p := range f.docs {
			docs = append(docs, p.Document)
		}
	}
	if err := mistakes.Err(order); err != nil {
		return nil, err
	}
	return docs, nil
}
