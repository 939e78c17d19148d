package agent

import (
	"fmt"
	"strings"
)

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
