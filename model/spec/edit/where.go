package edit

import (
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/source"
)

// A Place is where a value of the domain stands in the file.
type Place struct {
	// Line and Column count from 1. They are 0 for a default, which stands nowhere.
	Line   int           `json:"line,omitempty"`
	Column int           `json:"column,omitempty"`
	Origin decode.Origin `json:"origin"`
	// Node is what is written there; nil for a default.
	Node *source.Node `json:"-"`
}

// Where tells where a value stands that mistakes would call by a path, such as
// services[0].endpoints[0].steps[1].call.timeout, and how it came there.
func (f *File) Where(document int, path string) (Place, error) {
	if document < 0 || document >= len(f.read) {
		return Place{}, fmt.Errorf("finding %q in %q: there is no document %d of %d, counted from 0", path, f.Name, document, len(f.read))
	}
	n := f.read[document].Under(path)
	if n == nil {
		return Place{Origin: decode.Default}, nil
	}
	return Place{Line: n.Line, Column: n.Col, Origin: n.Origin, Node: f.Source.At(n.Line, n.Col)}, nil
}
