package localsim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Down ends the system of that name, which any program may hold, and waits until nothing of it is
// left. It asks the holder to end the system and kills the holder if that fails. If the holder has
// not cleaned up, Down kills the processes that it left behind, removes its network with
// sweepNetwork, and removes its entry, even one that a killed program was about to make or remove.
// sweepNetwork may be nil if systems have no networks. A runner.CleanupError names what could not
// be removed. If there is no such system, the error is a registry.NotFoundError.
func Down(ctx context.Context, stateDir, name string, sweepNetwork func(mark string) error) error {
	reg, err := registry.Open(stateDir)
	if err != nil {
		return err
	}
	if err := reg.Sweep(); err != nil {
		return err
	}
	s, err := reg.Find(name)
	if err != nil {
		return err
	}
	if s.Alive {
		if err := endHolder(ctx, reg, s); err != nil {
			return err
		}
	}
	// The holder may have started processes since the entry was read.
	now, err := reg.Find(name)
	var gone *registry.NotFoundError
	if errors.As(err, &gone) || err == nil && now.Holder != s.Holder {
		return nil
	}
	if err != nil {
		return err
	}
	return sweep(ctx, reg, now, sweepNetwork)
}

// shutdownTime is how long a holder may take to end its system after it was
// asked.
const shutdownTime = 20 * time.Second

// endHolder asks the holder to end the system, and kills it if it does not.
func endHolder(ctx context.Context, reg *registry.Registry, s registry.System) error {
	asking, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	askErr := askHolder(asking, reg, &s)
	if askErr == nil && await(asking, func() bool { return !holds(reg, s) }) {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("taking down system %q: %w", s.Name, ctx.Err())
	}
	if s.Holder.PID == os.Getpid() {
		return fmt.Errorf("taking down system %q: this program holds the system and does not end it: %w", s.Name, errors.Join(askErr, asking.Err()))
	}
	err := s.Holder.Kill()
	if err == nil && await(ctx, func() bool { return !s.Holder.Alive() }) {
		return nil
	}
	return &runner.CleanupError{
		Left: []string{fmt.Sprintf("process %d, which holds system %q", s.Holder.PID, s.Name)}, Err: errors.Join(askErr, err, ctx.Err()),
		Remedy: fmt.Sprintf("end that process and run `kubectl microsim down %s --on local` again", s.Name),
	}
}

// askHolder asks for the end through the control plane, which serves as soon as
// the system is ready.
func askHolder(ctx context.Context, reg *registry.Registry, s *registry.System) error {
	await(ctx, func() bool {
		now, err := reg.Find(s.Name)
		if err == nil && now.Holder == s.Holder {
			*s = now
		}
		return s.ControlURL != "" || !holds(reg, *s)
	})
	if !holds(reg, *s) {
		return nil
	}
	if s.ControlURL == "" {
		return errors.New("the system does not become ready")
	}
	// A holder that is stopped takes the connection but never answers.
	ctx, cancel := context.WithTimeout(ctx, control.AdminTimeout)
	defer cancel()
	err := control.NewClient(s.Record).Shutdown(ctx)
	if err != nil && !holds(reg, *s) {
		return nil
	}
	return err
}

// holds reports whether the holder still runs and has its entry.
func holds(reg *registry.Registry, s registry.System) bool {
	now, err := reg.Find(s.Name)
	return err == nil && now.Alive && now.Holder == s.Holder
}

// await polls done until it returns true. It returns false if ctx ends before.
func await(ctx context.Context, done func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return done()
		case <-tick.C:
		}
	}
	return true
}

// sweep kills what a holder has left behind, and removes its entry.
func sweep(ctx context.Context, reg *registry.Registry, s registry.System, sweepNetwork func(mark string) error) error {
	var errs []error
	for _, c := range s.Leftover() {
		errs = append(errs, c.Kill())
	}
	ctx, cancel := context.WithTimeout(ctx, supervise.KillWait)
	defer cancel()
	if !await(ctx, func() bool { return len(s.Leftover()) == 0 }) {
		left := &runner.CleanupError{
			Err: errors.Join(errs...), Remedy: fmt.Sprintf("end these and run `kubectl microsim down %s --on local` again", s.Name),
		}
		for _, c := range s.Leftover() {
			left.Left = append(left.Left, fmt.Sprintf("process %d of service %s", c.PID, c.Replica))
		}
		return left
	}
	if s.Network != "" && sweepNetwork != nil {
		if err := sweepNetwork(s.Network); err != nil {
			return &runner.CleanupError{
				Left: []string{fmt.Sprintf("the network of system %q", s.Name)}, Err: err,
				Remedy: fmt.Sprintf("run `kubectl microsim down %s --on local` again, as root", s.Name),
			}
		}
	}
	if err := reg.Remove(s); err != nil {
		return &runner.CleanupError{
			Left: []string{fmt.Sprintf("the entry of system %q in the state files", s.Name)}, Err: err,
			Remedy: fmt.Sprintf("remove its directory and run `kubectl microsim down %s --on local` again", s.Name),
		}
	}
	return nil
}
