package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Console tells a real server to fail, by its own means, such as a bound on its
// connections.
type Console interface {
	// Break puts the server under a fault, and returns what takes it back, or nil if
	// it has no end. On an error nothing stays.
	Break(ctx context.Context, t fault.Type) (undo func(context.Context) error, err error)
	// Close ends the connections to the server.
	Close() error
}

// breaking is what the faults of a real server need. The ends of faults of one type do
// not disturb each other: the first one breaks, and the last one takes it back.
type breaking struct {
	// telling is held while the server is told something.
	telling sync.Mutex
	console Console
	undo    map[fault.Type]func(context.Context) error
	// acting are the faults that count what they do.
	acting atomic.Pointer[[]*runningFault]
	// unread are the clients that the relay does not understand; guarded by the server's mu.
	unread map[net.Conn]bool

	mu sync.Mutex
	// held is closed when connections may be made again; nil lets them.
	held chan struct{}
}

// breakTime bounds how long a server takes to be broken, or to be repaired.
const breakTime = 30 * time.Second

// openConsole reaches the server that this program has started.
func (s *Server) openConsole(ctx context.Context) (err error) {
	if s.cfg.Console == nil {
		return nil
	}
	s.breaking.telling.Lock()
	defer s.breaking.telling.Unlock()
	s.breaking.undo = map[fault.Type]func(context.Context) error{}
	s.breaking.console, err = s.cfg.Console(ctx, s.behindRelay())
	return err
}

// wait lets a connection wait while clients are kept away.
func (b *breaking) wait(ctx context.Context) error {
	b.mu.Lock()
	held := b.held
	b.mu.Unlock()
	if held == nil {
		return nil
	}
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold keeps new clients away until release is called.
func (b *breaking) hold() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := make(chan struct{})
	b.held = held
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.held = nil
		close(held)
	}
}

// cuts reports whether a fault closes the connections of all clients.
func cuts(t fault.Type) bool {
	return t == fault.ConnectionsExhausted || t == fault.Failover || t == fault.AuthRevoked
}

// addReal puts a real server under a fault.
func (s *Server) addReal(r *runningFault) error {
	b := &s.breaking
	b.telling.Lock()
	defer b.telling.Unlock()
	if r.fault.Type == fault.SlowQuery {
		return s.addSlow(r)
	}
	if b.console == nil {
		return fmt.Errorf("adding fault %q: the server of store %q has no console yet", r.id, s.cfg.Service.Name)
	}
	if err := s.repair(func(other *runningFault) bool { return other.id == r.id }); err != nil {
		return err
	}
	release := func() {}
	if cuts(r.fault.Type) {
		release = b.hold()
		s.mu.Lock()
		r.acted.Add(int64(len(s.conns)))
		s.cut()
		s.mu.Unlock()
	}
	defer release()
	if _, broken := b.undo[r.fault.Type]; !broken {
		ctx, cancel := context.WithTimeout(context.Background(), breakTime)
		defer cancel()
		undo, err := b.console.Break(ctx, r.fault.Type)
		if err != nil {
			return fmt.Errorf("adding fault %q: %w", r.id, err)
		}
		if undo != nil {
			b.undo[r.fault.Type] = undo
		} else {
			r.acted.Add(1)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list(r)
	if r.fault.Type == fault.Failover {
		s.model.Apply(r.id, r.fault, s.now()) // the relay lets nobody in while there is no primary
	}
	s.realFaultsChanged()
	return nil
}

// addSlow lets the relay hold operations. Nobody tells the server, so it may be somebody
// else's. The caller holds telling.
func (s *Server) addSlow(r *runningFault) error {
	if err := s.repair(func(other *runningFault) bool { return other.id == r.id }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return fmt.Errorf("adding fault %q: %w", r.id, errEnded)
	}
	s.list(r)
	s.model.Apply(r.id, r.fault, s.now())
	s.cutUnread()
	s.realFaultsChanged()
	return nil
}

// clearReal ends the faults that a function chooses.
func (s *Server) clearReal(which func(*runningFault) bool) error {
	s.breaking.telling.Lock()
	defer s.breaking.telling.Unlock()
	return s.repair(which)
}

// repair ends faults, and takes back what the last one of its type has done. The caller
// holds telling.
func (s *Server) repair(which func(*runningFault) bool) error {
	s.mu.Lock()
	ended := []*runningFault{}
	left := map[fault.Type]bool{}
	for _, r := range s.faults {
		if which(r) {
			ended = append(ended, r)
		} else {
			left[r.fault.Type] = true
		}
	}
	s.mu.Unlock()
	var all []error
	for _, r := range ended {
		if undo := s.breaking.undo[r.fault.Type]; undo != nil && !left[r.fault.Type] {
			delete(s.breaking.undo, r.fault.Type)
			ctx, cancel := context.WithTimeout(context.Background(), breakTime)
			err := undo(ctx)
			cancel()
			if err != nil && s.serverEnded() == nil { // else it is gone with its faults
				s.log.Error("a fault stays in the server of the store", "fault", r.id, "type", r.fault.Type, "error", err)
				all = append(all, fmt.Errorf("clearing fault %q: its server stays as the fault has made it: %w; end the system, which removes the server", r.id, err))
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range ended {
		s.removeFault(r.id)
	}
	s.realFaultsChanged()
	return errors.Join(all...)
}

// realFaultsChanged lets the faults that act count. The caller holds mu.
func (s *Server) realFaultsChanged() {
	acting := slices.Clone(s.faults)
	s.breaking.acting.Store(&acting)
	s.conditionsChanged()
}

// endBreaking takes back what acts, and leaves the server, which ends as well.
func (s *Server) endBreaking() {
	b := &s.breaking
	_ = s.clearReal(func(*runningFault) bool { return true }) // it is logged, and the server is removed
	b.telling.Lock()
	defer b.telling.Unlock()
	if b.console != nil {
		_ = b.console.Close() // as above
		b.console = nil
	}
}

// A meeting is something of a client that a fault can act on.
type meeting uint8

const (
	metConnection meeting = iota
	metWrite
	metRefusal
	metRefusedWrite
)

// met lets the faults count that act on a client of a real server. What the server does
// to each is not known, but what it answers is.
func (s *Server) met(what meeting) {
	acting := s.breaking.acting.Load()
	if acting == nil {
		return
	}
	for _, r := range *acting {
		counts := false
		switch r.fault.Type {
		case fault.ConnectionsExhausted:
			counts = what == metConnection
		case fault.AuthRevoked: // Redis looks at each command, the others at connections
			counts = what == metRefusal && s.cfg.Service.Kind == topology.Redis || what == metConnection && s.cfg.Service.Kind != topology.Redis
		case fault.Failover, fault.DiskFull:
			counts = what == metRefusedWrite
		case fault.LockWait:
			counts = what == metWrite
		default: // it has acted at once
		}
		if counts {
			r.acted.Add(1)
		}
	}
}
