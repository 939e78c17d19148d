package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
)

// detachedEnv tells a process of this program that it holds a system in the
// background. Its value is the file that the system is described in.
const detachedEnv = "MICROSIM_DETACHED"

// detached starts this program again in the background with the same system,
// and returns when the system is ready.
func (o *upOptions) detached(ctx context.Context, system *topology.System) error {
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory for the state of running systems: %w", err)
	}
	description, err := spec.Format(document.Documents{{System: system}})
	if err != nil {
		return err
	}
	path := logPath(dir, system.Name)
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of system %q: %w", system.Name, err)
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program, which holds the system: %w", err)
	}
	cmd := exec.Command(self, "up", "-f", "-", "--on", "local", "--seed", fmt.Sprint(o.seed),
		"--isolation", o.local.Isolation, "--port-base", fmt.Sprint(o.local.PortBase))
	cmd.Env = append(os.Environ(), detachedEnv+"=1")
	cmd.Stdin = bytes.NewReader(description)
	cmd.Stdout, cmd.Stderr = log, log
	ownSession(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %q in the background: %w", self, err)
	}
	status, err := awaitDetached(ctx, cmd, system.Name)
	if err != nil {
		return errors.Join(fmt.Errorf("starting system %q in the background: %w", system.Name, err), logged(path))
	}
	if err := printSystem(o.streams.Out, o.output, status); err != nil {
		return err
	}
	fmt.Fprintf(o.streams.Err, "\nControl plane of %s at %s; it runs until 'kubectl microsim down %s --on local'.\nIts log is %s\n",
		system.Name, status.Control, system.Name, path)
	return nil
}

// detachedPatience bounds how long a system in the background may take to start.
const detachedPatience = 2 * time.Minute

// awaitDetached waits until the background process has the system ready. On an
// error the process is ended.
func awaitDetached(ctx context.Context, cmd *exec.Cmd, name string) (*control.Status, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, detachedPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil {
				err = errors.New("without a word")
			}
			return nil, fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			err := errors.Join(ctx.Err(), cmd.Process.Signal(os.Interrupt))
			<-ended
			return nil, err
		case <-tick.C:
			client, err := local.Find(name)
			if err != nil {
				continue
			}
			if status, err := client.Status(ctx); err == nil && status.PID == cmd.Process.Pid {
				return status, nil
			}
		}
	}
}

// logged returns what a background process logged, as an error.
func logged(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading its log: %w", err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	const enough = 2000
	if len(data) > enough {
		data = data[len(data)-enough:]
	}
	return fmt.Errorf("it logged: %s", bytes.TrimSpace(data))
}
