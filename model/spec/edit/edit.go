// Package edit changes files by named operations on what they describe: add a
// service, rename it, give a call a timeout. The file's text is spliced, so that
// everything else in it stays byte for byte, and is read again: it must describe
// what it described before, with the operation, or the operation is refused.
package edit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/spec/source"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A File is a text without mistakes and what it describes. It does not change:
// an operation makes another File.
type File struct {
	Name      string
	Source    *source.File
	Documents document.Documents
	// roots has the node of each document.
	roots []*source.Node
	// read has what the decoder read of each document.
	read []*decode.Node
	// systems has, for an experiment that names the system of another document,
	// the index of that document; -1 otherwise.
	systems []int
}

// Text returns the bytes of the file, which must not be changed.
func (f *File) Text() []byte { return f.Source.Text }

// Open reads a file. An error of type decode.Mistakes names what is wrong with it.
// The text must not be changed afterwards.
func Open(name string, text []byte) (*File, error) {
	docs, layout, err := spec.ReadLayout(name, text)
	if err != nil {
		return nil, err
	}
	f := &File{Name: name, Documents: docs, read: layout.Roots}
	if f.Source, err = source.Layout(name, text, layout.Nodes); err != nil {
		return nil, err
	}
	for _, root := range f.Source.Documents {
		switch items := root.Resolve().Get("items"); {
		case root.Resolve().IsNull():
		case kindOf(root) == "List" && items != nil:
			for _, e := range items.Resolve().Entries {
				f.roots = append(f.roots, e.Value)
			}
		default:
			f.roots = append(f.roots, root)
		}
	}
	if len(f.roots) != len(docs) {
		return nil, fmt.Errorf("opening %q: it has %d documents and %d are understood; put each behind a line of ---", name, len(f.roots), len(docs))
	}
	for i := range docs {
		f.systems = append(f.systems, f.systemOf(i))
	}
	return f, nil
}

func kindOf(n *source.Node) string {
	if kind := n.Resolve().Get("kind"); kind != nil {
		return kind.Resolve().Value
	}
	return ""
}

// systemOf returns the document that describes the system of an experiment.
func (f *File) systemOf(i int) int {
	named := f.systemName(i)
	for j := range f.Documents {
		if s := f.Documents[j].System; named != "" && s != nil && s.Name == named {
			return j
		}
	}
	return -1
}

// systemName returns the name of the system that an experiment does not describe
// itself, or "".
func (f *File) systemName(i int) string {
	if f.Documents[i].Experiment == nil || f.Documents[i].Origin.Dialect != document.Native {
		return ""
	}
	if n := f.roots[i].Resolve().Get("system"); n != nil && n.Resolve().Kind == source.Scalar {
		return n.Resolve().Value
	}
	return ""
}

// A Change is what an operation did to the text of a file.
type Change struct {
	Edits source.Edits `json:"edits"`
	// Undo leads back from the text afterwards.
	Undo source.Edits `json:"undo"`
}

// A MismatchError refuses an operation whose text would not mean what was wanted.
type MismatchError struct {
	File string
	// Line is the first line that would have been changed.
	Line int
	// Path leads to what would differ, from the documents of the file.
	Path string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s:%d: the change cannot be written here: read again, %s would differ from what is wanted; edit the text by hand", e.File, e.Line, e.Path)
}

// A Refusal says why an operation cannot be done, before any text is changed.
type Refusal struct {
	Message string
	// Uses are what stands against it, each with its place, if anything does.
	Uses []string
}

func (e *Refusal) Error() string {
	if len(e.Uses) == 0 {
		return e.Message
	}
	return e.Message + ": " + strings.Join(e.Uses, ", ")
}

func refuse(format string, args ...any) error { return &Refusal{Message: fmt.Sprintf(format, args...)} }

// Apply returns the file after an operation, and the change of its text. An error
// leaves everything as it is. It is a *Refusal if the operation has no meaning
// for the file, a *source.SharedError if an anchor or a merge stands against it, a
// *source.LayoutError or *MismatchError if the text does, and decode.Mistakes if
// the file would have mistakes: their places are those in the text that was not
// written.
func (f *File) Apply(op Operation) (*File, *Change, error) {
	after, change, err := f.apply(op)
	if err != nil {
		return nil, nil, fmt.Errorf("applying %s to %q: %w", op.kind(), f.Name, err)
	}
	return after, change, nil
}

func (f *File) apply(op Operation) (*File, *Change, error) {
	wanted, err := f.wanted(op)
	if err != nil {
		return nil, nil, err
	}
	s := &syncer{file: f.Source, draft: f.Source.Draft()}
	for i := range f.Documents {
		s.document(f.roots[i], &f.Documents[i], &wanted[i])
	}
	if s.err != nil {
		return nil, nil, s.err
	}
	var after *File
	_, edits, err := s.draft.Done(func(text []byte) (*source.File, error) {
		opened, err := Open(f.Name, text)
		if err != nil {
			return nil, err
		}
		after = opened
		return after.Source, nil
	})
	if err != nil {
		return nil, nil, s.because(err)
	}
	if path := differ(wanted, after.Documents); path != "" {
		line := 1
		for i, e := range edits {
			if l, _ := f.Source.Position(e.Offset); i == 0 || l < line {
				line = l
			}
		}
		return nil, nil, s.because(&MismatchError{File: f.Name, Line: line, Path: path})
	}
	return after, &Change{Edits: edits, Undo: edits.Invert(f.Text())}, nil
}

// because prefers the reason that values are shared to what follows from it.
func (s *syncer) because(err error) error {
	if len(s.shared) > 0 && !errors.As(err, new(decode.Mistakes)) {
		return s.shared[0]
	}
	if len(s.shared) > 0 && s.draft.Empty() {
		return s.shared[0]
	}
	return err
}

// Splice returns the file after edits of its text, such as those that undo an
// operation.
func (f *File) Splice(edits source.Edits) (*File, error) {
	text, err := edits.Apply(f.Text())
	if err != nil {
		return nil, fmt.Errorf("editing %q: %w", f.Name, err)
	}
	return Open(f.Name, text)
}

// wanted returns what the file describes with the operation.
func (f *File) wanted(op Operation) (document.Documents, error) {
	t := &target{file: f, docs: clone(f.Documents), index: op.document()}
	if t.index < 0 || t.index >= len(t.docs) {
		return nil, refuse("there is no document %d: the file has %d, counted from 0", t.index, len(t.docs))
	}
	for i := range t.docs {
		if o := t.docs[i].Origin; o.Dialect != document.Native {
			return nil, refuse("%s:%d is a %s of %s, which is not edited; print the native form with kubectl microsim convert", f.Name, o.Line, o.Kind, o.Dialect)
		}
	}
	if err := op.apply(t); err != nil {
		return nil, err
	}
	for i, j := range f.systems {
		if j >= 0 {
			t.docs[i].Experiment.System = clone(*t.docs[j].System)
		}
	}
	return t.docs, nil
}

// A target is what an operation changes: a copy of what the file describes.
type target struct {
	file  *File
	docs  document.Documents
	index int
}

// system returns the system of the document that the operation is for, with the
// node that describes it.
func (t *target) system() (*topology.System, *source.Node, error) {
	i := t.index
	if j := t.file.systems[i]; j >= 0 {
		i = j
	}
	switch d := &t.docs[i]; {
	case d.System == nil && d.Experiment == nil:
		return nil, nil, refuse("%s:%d is a %s, whose system is not edited; change its text", t.file.Name, d.Origin.Line, d.Origin.Kind)
	case d.System != nil:
		return d.System, t.file.roots[i].Resolve(), nil
	case t.file.systemName(i) != "":
		return nil, nil, refuse("the system %q is described elsewhere; copy it into the file to change it", t.file.systemName(i))
	default:
		return &d.Experiment.System, t.file.roots[i].Resolve().Get("system").Resolve(), nil
	}
}

// service returns a service of the system with the node that describes it.
func (t *target) service(name string) (*topology.System, *topology.Service, *source.Node, error) {
	system, root, err := t.system()
	if err != nil {
		return nil, nil, nil, err
	}
	for i := range system.Services {
		if system.Services[i].Name == name {
			return system, &system.Services[i], root.Get("services").Resolve().Entries[i].Value.Resolve(), nil
		}
	}
	return nil, nil, nil, refuse("there is no service %q in system %q", name, system.Name)
}
