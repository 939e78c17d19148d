package spec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A file is one file while it is read.
type file struct {
	name     string
	mistakes Mistakes
	types    types
}

// types tells what decoding must know of the types that it fills; either
// function may be nil.
type types struct {
	// defaults returns the value that a file's value of the type starts from.
	defaults func(reflect.Type) reflect.Value
	// shorthands lists the keys that a file may use beside the fields of a type.
	// They are named where a key is misspelt.
	shorthands func(reflect.Type) []string
	// hint says what to write into a file that is empty.
	hint string
}

func (t *types) defaultOf(typ reflect.Type) reflect.Value {
	if t.defaults == nil {
		return reflect.Zero(typ)
	}
	return t.defaults(typ)
}

func (t *types) shorthandsOf(typ reflect.Type) []string {
	if t.shorthands == nil {
		return nil
	}
	return t.shorthands(typ)
}

// maxMistakes bounds the mistakes that are kept of one file.
const maxMistakes = 1000

// mistakeAt reports a problem at the place of a node.
func (f *file) mistakeAt(n *node, p problem.Problem) {
	if len(f.mistakes) < maxMistakes {
		f.mistakes = append(f.mistakes, Mistake{File: f.name, Line: n.line, Column: n.col, Problem: p})
	}
}

func (f *file) mistake(n *node, path, hint, format string, args ...any) {
	f.mistakeAt(n, problem.Problem{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// whole reports a mistake of the file as a whole.
func (f *file) whole(message, hint string) {
	f.mistakeAt(&node{}, problem.Problem{Message: message, Hint: hint})
}

// follows reports whether a problem, which shows at a place, is a consequence of
// a mistake that is known: it lies on the way to it or below it, or it is about
// something absent where a key is misspelt.
func follows(root *node, path string, place *node, whole bool, known Mistakes) bool {
	return slices.ContainsFunc(known, func(m Mistake) bool {
		switch {
		case m.Path == "":
			return false
		case m.Path == path, strings.HasPrefix(path, m.Path+"."), strings.HasPrefix(path, m.Path+"["):
			return true
		case strings.HasPrefix(m.Path, path+"."):
			return m.Line == place.line
		case whole || !strings.HasPrefix(m.Message, "field "):
			return false
		}
		beside := root.at(m.Path[:max(strings.LastIndexByte(m.Path, '.'), 0)])
		return beside.line == place.line && beside.col == place.col
	})
}
