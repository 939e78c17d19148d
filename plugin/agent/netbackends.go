package agent

import (
	"fmt"
	"github.com/microsim-dev/kubectl-microsim/netfault/impair"
	"strings"
)

// backendsNamed returns the backend of a name, or all for auto.
func backendsNamed(name string) ([]impair.Maker, error) {
	all := impair.Backends()
	if name == "auto" {
		return all, nil
	}
	names := []string{"auto"}
	for _, m := range all {
		if m.Name == name {
			return []impair.Maker{m}, nil
		}
		names = append(names, m.Name)
	}
	return nil, fmt.Errorf("--backend %q: want one of %s: %w", name, strings.Join(names, ", "), ErrUsage)
}
