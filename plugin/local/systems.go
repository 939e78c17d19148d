package local

import (
	"os"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
)

// runningSystems lists the systems on this machine.
func Systems() ([]registry.System, error) {
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	reg, err := registry.Open(dir)
	if err != nil {
		return nil, err
	}
	return reg.List()
}

// findSystem returns a client of a running system. Without a name the only one
// there is is meant.
func Find(name string) (*control.Client, error) {
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	return control.Connect(dir, name)
}
