// Package examples has the files that show what can be described. They are
// embedded, so that commands can take their names in place of files.
package examples

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed *.yaml *.json
var files embed.FS

// An Example is one embedded file.
type Example struct {
	// Name is the file's name without its extension.
	Name string
	// File is the file's name.
	File string
	// Title says in one line what the example shows.
	Title string
	// Kind is the kind of the file's first document.
	Kind string
}

// List returns the examples in the order of their names.
func List() []Example {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil // not reached: the directory is part of the program
	}
	var list []Example
	for _, e := range entries {
		data, err := files.ReadFile(e.Name())
		if err != nil {
			continue // not reached, for the same reason
		}
		list = append(list, describe(e.Name(), string(data)))
	}
	return list
}

// describe takes the title of an experiment from its field, of other files from
// the comment in the first line; and the kind from the first line that names one. JSON has no comments: such files are requests.
// Of those without a kind, there are only faults of VECROsim.
func describe(file, content string) Example {
	e := Example{Name: strings.TrimSuffix(file, path.Ext(file)), File: file}
	if path.Ext(file) == ".json" {
		e.Title, e.Kind = "A request of MicroSim that carries its own route and faults", "Request"
		return e
	}
	for line := range strings.Lines(content) {
		if title, ok := strings.CutPrefix(line, "title: "); ok {
			e.Title = unquote(strings.TrimSpace(title))
		}
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "# "); ok && e.Title == "" {
			e.Title = comment
		}
		if kind, ok := strings.CutPrefix(line, "kind: "); ok && e.Kind == "" {
			e.Kind = kind
		}
	}
	if e.Kind == "" {
		e.Kind = "Faults"
	}
	return e
}

// unquote takes the quotes of YAML off a text, if it has some.
func unquote(text string) string {
	inner, ok := strings.CutPrefix(text, "'")
	if !ok {
		return text
	}
	return strings.ReplaceAll(strings.TrimSuffix(inner, "'"), "''", "'")
}

// Open returns the content of an example, by its name or its file's name.
func Open(name string) ([]byte, error) {
	for _, e := range List() {
		if name == e.Name || name == e.File {
			return files.ReadFile(e.File)
		}
	}
	return nil, fmt.Errorf("opening example %q: no such example", name)
}
