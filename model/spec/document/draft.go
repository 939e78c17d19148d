package document

import (
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Draft is a document that is decoded, but not yet checked.
type Draft struct {
	Document
	File *decode.File
	Root *decode.Node
	// Moved leads from paths of the domain to paths of the document, where a
	// dialect's differ.
	Moved map[string]string
	// SystemName is the name of a system described elsewhere, where there is one.
	SystemName *decode.Node
}

// NewDraft begins a document at a node of a file.
func NewDraft(f *decode.File, n *decode.Node, dialect Dialect, kind string) *Draft {
	p := &Draft{File: f, Root: n, Moved: map[string]string{}}
	p.Origin = Origin{File: f.Name, Line: n.Line, Dialect: dialect, Kind: kind}
	return p
}

// Note records what a dialect says and this program leaves out.
func (p *Draft) Note(n *decode.Node, path, format string, args ...any) {
	p.Origin.Notes = append(p.Origin.Notes, p.noteAt(n, path, fmt.Sprintf(format, args...)))
}

// NoteOffCluster records what a dialect says and only `fault apply` on a cluster takes.
func (p *Draft) NoteOffCluster(n *decode.Node, path, message string) {
	p.Origin.OffCluster = append(p.Origin.OffCluster, p.noteAt(n, path, message))
}

func (p *Draft) noteAt(n *decode.Node, path, message string) decode.Mistake {
	return decode.Mistake{File: p.File.Name, Line: n.Line, Column: n.Col, Problem: problem.Problem{Path: path, Message: message}}
}

// Written returns the path in the file of what has a path in the domain.
func (p *Draft) Written(path string) string {
	for end := len(path); end > 0; {
		if to, ok := p.Moved[path[:end]]; ok {
			return problem.Join(to, strings.TrimPrefix(path[end:], "."))
		}
		end = strings.LastIndexAny(path[:end], ".[")
	}
	return path
}

// UseSystem fills in the system that the document names.
func (p *Draft) UseSystem(system *topology.System) {
	if p.Dataset != nil {
		p.Dataset.System = *system
		return
	}
	p.Experiment.System = *system
}
