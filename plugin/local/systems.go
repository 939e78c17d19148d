package local

import (
	"os"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
)

// Systems lists the running systems on this machine.
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

// Find returns a client of a running system. An empty name means the only running
// system.
func Find(name string) (*control.Client, error) {
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	return control.Connect(dir, name)
}
