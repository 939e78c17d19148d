package local

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/workload/stress"
)

// canStress says why a process on this machine cannot carry out a stress fault.
func canStress(f *fault.Fault) error {
	if _, err := stress.FromFault(*f); err != nil {
		return fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	if f.Type != fault.CPUStress && runtime.GOOS != "linux" {
		return fmt.Errorf("fault %q: %s needs Linux, this is %s; use --on kind, or the faults memory-leak and io of services", f.Label(), f.Type, runtime.GOOS)
	}
	return nil
}

// stressCommand returns the command of a process that takes resources away: this
// program, as the agent.
func stressCommand(f fault.Fault, lasting time.Duration) (*exec.Cmd, error) {
	config, err := stress.FromFault(f)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program, which stresses the machine: %w", err)
	}
	cmd := exec.Command(self, append([]string{"agent"}, stress.Args(config, lasting)...)...)
	// Turn the garbage collector off: allocations last as long as the process, so
	// collecting would only cost time.
	cmd.Env = append(os.Environ(), "GOGC=off")
	return cmd, nil
}
