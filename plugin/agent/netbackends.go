package agent

import (
	"fmt"
	"strings"

	vns "github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate"
	"github.com/microsim-dev/kubectl-microsim/netfault/tc"
)

// backendMaker makes a backend for a namespace.
type backendMaker struct {
	name string
	open func(vns.NsHandle) netfault.Backend
}

// netBackends are all backends, in the order in which auto prefers them.
func netBackends() []backendMaker {
	return []backendMaker{
		{"tc", func(ns vns.NsHandle) netfault.Backend { return tc.New(ns) }},
		{"emulate", func(ns vns.NsHandle) netfault.Backend { return emulate.New(ns) }},
	}
}

// backendsNamed returns the backend of a name, or all for auto.
func backendsNamed(name string) ([]backendMaker, error) {
	all := netBackends()
	if name == "auto" {
		return all, nil
	}
	names := []string{"auto"}
	for _, m := range all {
		if m.name == name {
			return []backendMaker{m}, nil
		}
		names = append(names, m.name)
	}
	return nil, fmt.Errorf("--backend %q: want one of %s: %w", name, strings.Join(names, ", "), ErrUsage)
}
