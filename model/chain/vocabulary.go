package chain

import (
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// An Entry is a type of fault that a chain can have, for those who help to write one.
type Entry struct {
	Type fault.Type `json:"type"`
	// Doc says what it does.
	Doc  string     `json:"doc"`
	Args []Argument `json:"args"`
}

// An Argument is one of a fault of a chain.
type Argument struct {
	Name string `json:"name"`
	// Unit is empty for a number without one.
	Unit string `json:"unit,omitempty"`
	// Needed ones have no default.
	Needed bool `json:"needed,omitempty"`
	// Default is what others mean where they are left out, in that unit.
	Default float64 `json:"default,omitempty"`
}

// Vocabulary lists the types of faults that Parse takes, in the order of those of
// package fault, with their arguments in MicroSim's units.
func Vocabulary() []Entry {
	units := map[string]string{"delay": "ms", "duration": "ms", "size": "MB", "rate": "%"}
	var list []Entry
	for _, known := range fault.Vocabulary() {
		needs, may, ok := chainArgs(known.Type)
		if !ok {
			continue
		}
		entry := Entry{Type: known.Type, Doc: known.Doc, Args: []Argument{}}
		needed := strings.Fields(needs)
		for _, name := range slices.Concat(needed, strings.Fields(may)) {
			entry.Args = append(entry.Args, Argument{name, units[name], slices.Contains(needed, name), defaultOf(known.Type, name)})
		}
		list = append(list, entry)
	}
	return list
}
