package local

import (
	"cmp"
	"context"
	"errors"
	"os/exec"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runtimes"
)

// runtimeCommand returns the command of a replica that another runtime serves.
func runtimeCommand(s localsim.Spec, part string) (*exec.Cmd, error) {
	store, err := runtimes.Default()
	if err != nil {
		return nil, err
	}
	m, err := runtimes.Lookup(s.Service.Runtime)
	if err != nil {
		return nil, err
	}
	cmd, err := store.Command(&m)
	if err != nil {
		return nil, err
	}
	cmd.Env = append(cmd.Env, "MICROSIM_SERVICE="+part, "MICROSIM_ADDR="+s.Addr, "MICROSIM_WATCH_STDIN=1")
	return cmd, nil
}

// CanServe returns a function that says why the runtime of a service cannot be
// started, such as a missing tool or installation. It looks for each tool once.
func CanServe() func(context.Context, *topology.Service) error {
	var mu sync.Mutex
	known := map[topology.RuntimeName]error{}
	return func(ctx context.Context, s *topology.Service) error {
		mu.Lock()
		defer mu.Unlock()
		err, asked := known[s.Runtime]
		if !asked {
			err = checkRuntime(ctx, s.Runtime)
			known[s.Runtime] = err
		}
		return err
	}
}

func checkRuntime(ctx context.Context, name topology.RuntimeName) error {
	store, err := runtimes.Default()
	if err != nil {
		return err
	}
	m, err := runtimes.Lookup(name)
	if err != nil {
		return err
	}
	_, err = store.Installed(&m)
	return cmp.Or(errors.Join(m.Check(ctx)...), err)
}
