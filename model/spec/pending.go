package spec

import (
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// pending is a document that is decoded, but not yet checked.
type pending struct {
	Document
	file *file
	root *node
	// moved leads from paths of the domain to paths of the document, where a
	// dialect's differ.
	moved map[string]string
	// system is the name of a system described elsewhere, where there is one.
	system *node
}

// newPending begins a document at a node of a file.
func newPending(f *file, n *node, dialect Dialect, kind string) *pending {
	p := &pending{file: f, root: n, moved: map[string]string{}}
	p.Origin = Origin{File: f.name, Line: n.line, Dialect: dialect, Kind: kind}
	return p
}

// note records what a dialect says and this program leaves out.
func (p *pending) note(n *node, path, format string, args ...any) {
	p.Origin.Notes = append(p.Origin.Notes, Mistake{File: p.file.name, Line: n.line, Column: n.col,
		Problem: problem.Problem{Path: path, Message: fmt.Sprintf(format, args...)}})
}

// written returns the path in the file of what has a path in the domain.
func (p *pending) written(path string) string {
	for end := len(path); end > 0; {
		if to, ok := p.moved[path[:end]]; ok {
			return problem.Join(to, strings.TrimPrefix(path[end:], "."))
		}
		end = strings.LastIndexAny(path[:end], ".[")
	}
	return path
}
