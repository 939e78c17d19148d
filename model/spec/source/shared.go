package source

import (
	"fmt"
	"strings"
)

// Via says how a value comes to a place where it is not written.
type Via string

// The ways of values to other places.
const (
	// ByAlias is *name.
	ByAlias Via = "alias"
	// ByMerge is <<: *name.
	ByMerge Via = "merge"
)

// A SharedError refuses to change a value that stands in several places: an edit
// would change all of them.
type SharedError struct {
	File string
	// Line and Column are those of the value as it is written.
	Line, Column int
	Via          Via
	// Anchor is the name of the anchor, without &; empty for a merge of an object
	// without one.
	Anchor string
	// Users are the places of the aliases that use the anchor, as file:line:column.
	Users []string
}

func (e *SharedError) Error() string {
	of := "by a merge"
	if e.Anchor != "" {
		of = fmt.Sprintf("by the anchor &%s", e.Anchor)
	}
	users := ""
	if len(e.Users) > 0 {
		users = ", used at " + strings.Join(e.Users, ", ")
	}
	return fmt.Sprintf("%s:%d:%d: the value is shared %s%s: an edit would change every use; write the value out where it is to differ", e.File, e.Line, e.Column, of, users)
}

// Shared returns an error that names the anchor that a node is written under, and
// its users; nil if nothing shares the node. An alias is shared with its target.
func (f *File) Shared(n *Node) *SharedError {
	via := ByAlias
	for at := n; at != nil; at = at.Parent {
		if at.Kind == Alias {
			return f.sharing(at, at.Target, via)
		}
		if len(at.Users) > 0 {
			return f.sharing(at, at, via)
		}
	}
	return nil
}

// MergedError refuses to change a value that a merge brings, from the alias or
// object that is merged.
func (f *File) MergedError(from *Node) *SharedError {
	return f.sharing(from, from.Resolve(), ByMerge)
}

func (f *File) sharing(at, target *Node, via Via) *SharedError {
	e := &SharedError{File: f.Name, Via: via, Anchor: target.Anchor}
	e.Line, e.Column = f.Position(target.From)
	for _, user := range target.Users {
		e.Users = append(e.Users, f.Place(user.From))
	}
	if via == ByAlias && at.Parent != nil {
		for i := range at.Parent.Entries {
			if e2 := &at.Parent.Entries[i]; e2.Value == at && e2.IsMerge() {
				e.Via = ByMerge
			}
		}
	}
	return e
}

// Carries returns an error if a node, or one below it, has an anchor that is used
// outside of the node: without it, the users would stand for nothing.
func (f *File) Carries(n *Node) *SharedError {
	for _, user := range n.Users {
		if !within(user, n) {
			return f.sharing(n, n, ByAlias)
		}
	}
	return f.carriesBelow(n, n)
}

func (f *File) carriesBelow(n, top *Node) *SharedError {
	for i := range n.Entries {
		for _, below := range []*Node{n.Entries[i].Key, n.Entries[i].Value} {
			if below == nil {
				continue
			}
			for _, user := range below.Users {
				if !within(user, top) {
					return f.sharing(below, below, ByAlias)
				}
			}
			if found := f.carriesBelow(below, top); found != nil {
				return found
			}
		}
	}
	return nil
}

func within(n, top *Node) bool {
	for ; n != nil; n = n.Parent {
		if n == top {
			return true
		}
	}
	return false
}
