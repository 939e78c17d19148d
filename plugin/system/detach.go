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
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
)

// detachedEnv is the environment variable by which a process of this program knows
// that it holds a system in the background. Its value is the path of the system's
// log.
const detachedEnv = "MICROSIM_DETACHED"

// detached starts this program again in the background with the same system,
// and returns when the system is ready.
func (o *upOptions) detached(ctx context.Context, system *topology.System) error {
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return err
	}
	description, err := spec.Format(document.Documents{{System: system}})
	if err != nil {
		return err
	}
	if err := refuseRunning(dir, system.Name); err != nil {
		return err
	}
	log, err := createLog(dir, system.Name)
	if err != nil {
		return fmt.Errorf("making the log of system %q: %w", system.Name, err)
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program, which holds the system: %w", err)
	}
	cmd := exec.Command(self, "up", "-f", "-", "--on", "local", "--seed", fmt.Sprint(o.seed),
		"--port-base", fmt.Sprint(o.local.PortBase), fmt.Sprintf("--verbose=%t", o.local.Verbose), "--log-format", o.local.LogFormat)
	cmd.Args = append(cmd.Args, o.local.IsolationArgs()...)
	cmd.Args = append(cmd.Args, o.sending.args()...)
	cmd.Env = append(os.Environ(), detachedEnv+"="+local.LogPath(dir, system.Name))
	cmd.Stdin = bytes.NewReader(description)
	cmd.Stdout, cmd.Stderr = log, log
	ownSession(cmd)
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("starting %q in the background: %w", self, err), os.Remove(log.Name()))
	}
	cleaned := cli.RecoverWith(ctx, o.target.Command("down", system.Name))
	defer cleaned()
	status, err := awaitDetached(ctx, cmd, system.Name, o.sending.otlp.Wanted())
	if err != nil {
		return errors.Join(fmt.Errorf("starting system %q in the background: %w", system.Name, cli.Cause(ctx, err)), logged(log.Name()), os.Remove(log.Name()))
	}
	path, err := publishLog(log.Name(), dir, system.Name)
	if err != nil {
		return fmt.Errorf("keeping the log of system %q, which runs: %w", system.Name, err)
	}
	if err := printSystem(o.streams.Out, &o.output, status); err != nil {
		return err
	}
	fmt.Fprintf(o.streams.Err, "\nControl plane of %s at %s; it runs until 'kubectl microsim down %s --on local'.\nIts log is %s\n",
		system.Name, status.Control, system.Name, path)
	return nil
}

// refuseRunning refuses the name of a running system, before its log is changed.
func refuseRunning(dir, name string) error {
	reg, err := registry.Open(dir)
	if err != nil {
		return err
	}
	running, err := reg.Find(name)
	if missing := (*registry.NotFoundError)(nil); errors.As(err, &missing) || err == nil && !running.Alive {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("starting system %q in the background: it runs already, held by process %d; 'kubectl microsim down %s --on local' takes it down, and --update changes it",
		name, running.Holder.PID, name)
}

// awaitDetached waits until the system of the background process is ready and, if
// watched, until the collector's figures count. On an error it ends the process.
func awaitDetached(ctx context.Context, cmd *exec.Cmd, name string, watched bool) (*control.Status, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, local.DetachedPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil {
				err = errors.New("it gave no reason")
			}
			return nil, fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			err := ctx.Err()
			if cmd.Process.Signal(os.Interrupt) != nil { // Windows has no such signal
				err = errors.Join(err, cmd.Process.Kill())
			}
			<-ended
			return nil, err
		case <-tick.C:
			client, err := local.Find(name)
			if err != nil {
				continue
			}
			if status, err := client.Status(ctx); err == nil && status.PID == cmd.Process.Pid && (!watched || status.OTLP != nil) {
				return status, nil
			}
		}
	}
}

// removeOwnLog removes the log of this system in the background after it has been
// taken down.
func removeOwnLog() {
	path := os.Getenv(detachedEnv)
	if path == "" {
		return
	}
	mine, err := os.Stderr.Stat()
	if err != nil {
		return
	}
	// A newer system of the same name may have a log there already.
	if there, err := os.Lstat(path); err == nil && os.SameFile(mine, there) {
		_ = os.Remove(path) // `down` removes what is left
	}
}

// logged returns the log of a background process as an error.
func logged(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading its log: %w", err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		// If the log cannot be written, such as on a full disk, it is empty: then
		// that is the reason.
		if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
			return fmt.Errorf("it could not write its log: %w", err)
		}
		return nil
	}
	const enough = 2000
	if len(data) > enough {
		data = data[len(data)-enough:]
	}
	return fmt.Errorf("it logged: %s", bytes.TrimSpace(data))
}
