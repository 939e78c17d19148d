package golden

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A shape is the set of paths of a JSON document, each with the type of what is
// there. It tells how a document is built whatever its values are.
type shape map[string]bool

// counted are the objects whose keys are values: classes, statuses, names.
var counted = map[string]bool{"outcomes": true, "statuses": true, "codes": true, "attempts": true, "versions": true}

func (s shape) add(t *testing.T, label string, document []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(document, &v); err != nil {
		t.Fatalf("%s: %v in %s", label, err, document)
	}
	s.walk(label+": ", v)
}

func (s shape) walk(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			name := key
			if at := path[strings.LastIndexAny(path, ". ")+1:]; counted[at] {
				name = "*"
			}
			s.walk(path+"."+name, value)
		}
		if len(v) == 0 {
			s[path+" {}"] = true
		}
	case []any:
		for _, value := range v {
			s.walk(path+"[]", value)
		}
		if len(v) == 0 {
			s[path+" []"] = true
		}
	case nil:
		s[path+" null"] = true
	case float64:
		s[path+" number"] = true
	default:
		s[fmt.Sprintf("%s %T", path, v)] = true
	}
}

// certain removes what depends on when a second ends: whether nothing was
// measured in a segment.
func (s shape) certain() shape {
	for path := range s {
		if strings.Contains(path, ".segments[]") && (strings.HasSuffix(path, " []") || strings.HasSuffix(path, " {}") || strings.HasSuffix(path, " null")) {
			delete(s, path)
		}
	}
	return s
}

// addFiles adds the files of a directory: their paths, and of those directly in
// it the headers of tables and the shapes of JSON.
func (s shape) addFiles(t *testing.T, label, dir string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		at := label + " " + filepath.ToSlash(name)
		s[at] = true
		if filepath.Dir(name) != "." {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch filepath.Ext(name) {
		case ".csv":
			header, err := csv.NewReader(strings.NewReader(string(data))).Read()
			if err != nil {
				return err
			}
			s[at+" columns "+strings.Join(header, ",")] = true
		case ".json":
			s.add(t, at, data)
		case ".jsonl":
			for line := range strings.Lines(string(data)) {
				s.add(t, at, []byte(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
