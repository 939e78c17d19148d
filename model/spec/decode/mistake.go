package decode

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A Mistake is a problem with its place in a file.
type Mistake struct {
	File string
	// Line and Column count from 1; 0 where the whole file is meant.
	Line, Column int
	problem.Problem
	// root is the document that the mistake is in; nil means the file as a whole.
	root *Node
}

// Error prints file:line:column, the path inside the document, what is wrong
// and what to write instead.
func (m Mistake) Error() string {
	return m.Place() + ": " + m.Problem.Error()
}

// Place prints file:line:column.
func (m Mistake) Place() string {
	file := m.File
	if strings.ContainsFunc(file, unicode.IsControl) {
		file = strconv.Quote(file) // an end of line would make two mistakes of one
	}
	if m.Line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, m.Line, m.Column)
}

// Mistakes are all that is wrong with what was read. As an error it prints one
// mistake a line.
type Mistakes []Mistake

// longHint is from where on a hint is not repeated, such as a list of all fields.
const longHint = 80

// maxShown bounds the lines of an error message.
const maxShown = 50

func (m Mistakes) Error() string {
	lines := make([]string, 0, min(len(m), maxShown+1))
	said := map[string]bool{}
	for i, one := range m {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("and %d more mistakes", len(m)-maxShown))
			break
		}
		if len(one.Hint) > longHint && said[one.Hint] {
			one.Hint = "as above"
		}
		said[one.Hint] = true
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// Err returns the mistakes in the order of the files, or nil if there are none.
func (m Mistakes) Err(order []string) error {
	if len(m) == 0 {
		return nil
	}
	slices.SortStableFunc(m, func(a, b Mistake) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.File), slices.Index(order, b.File)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	// One mistake can show in several places of the domain.
	return slices.CompactFunc(m, func(a, b Mistake) bool {
		return a.Place() == b.Place() && a.Message == b.Message
	})
}
