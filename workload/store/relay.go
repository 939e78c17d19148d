package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/daemon"
)

// A real engine is reached through a relay, so that it has an address and control of
// this system, and so that its connections and operations are counted.

const (
	// reachTimeout bounds how long it takes to connect to a real server.
	reachTimeout = 5 * time.Second
	// undoTimeout bounds how long it takes to remove what was put into one.
	undoTimeout = 30 * time.Second
)

// startReal starts the real server if the store names no address, and gives it its
// items. stop takes them back, or ends the server; gone is called if that ends by
// itself.
func (s *Server) startReal(ctx context.Context, gone func()) (stop func(), err error) {
	switch {
	case s.cfg.OwnServer != "":
		return s.takeOwn(ctx, gone)
	case s.relay == "":
		return s.startDaemon(ctx, gone)
	}
	conn, err := dial(ctx, s.relay)
	if err != nil {
		return nil, fmt.Errorf("reaching the server of store %q: %w; start it, or write engine: embedded", s.cfg.Service.Name, err)
	}
	conn.Close()
	undo, err := s.prepare(ctx)
	stop = func() {
		if undo == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		if err := undo(ctx); err != nil {
			s.log.Error("items stay in the server of the store", "address", s.relay, "error", err)
		}
	}
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// prepare gives the server its items.
func (s *Server) prepare(ctx context.Context) (undo func(context.Context) error, err error) {
	if s.cfg.Prepare == nil {
		return nil, nil
	}
	t := s.behindRelay()
	if undo, err = s.cfg.Prepare(ctx, t, s.cfg.Seed); err != nil {
		return undo, fmt.Errorf("filling the server of store %q: %w", t.Name, err)
	}
	return undo, nil
}

// openLags lets the metrics tell the lags of the server, until closed is called.
func (s *Server) openLags() (closed func(), err error) {
	if s.cfg.Lags == nil || s.cfg.Service.Kind != topology.Kafka {
		return func() {}, nil
	}
	reader, err := s.cfg.Lags(s.behindRelay())
	if err != nil {
		return nil, fmt.Errorf("asking the server of store %q for lags: %w", s.cfg.Service.Name, err)
	}
	put := func(r store.LagReader) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lagReader = r
	}
	put(reader)
	return func() {
		put(nil)
		_ = reader.Close() // nobody is asked any more
	}, nil
}

// behindRelay is the store at the address of its real server.
func (s *Server) behindRelay() *topology.Service {
	t := s.cfg.Service
	settings := t.StoreSettings()
	settings.Address = s.relay
	t.Store = &settings
	return &t
}

// startDaemon starts a server of our own. Its items go with its data.
func (s *Server) startDaemon(ctx context.Context, gone func()) (stop func(), err error) {
	d, err := daemon.Start(ctx, s.cfg.Service.Kind, daemon.Base(s.cfg.Data))
	if err != nil {
		return nil, fmt.Errorf("starting the server of store %q: %w", s.cfg.Service.Name, err)
	}
	s.daemon, s.relay = d, d.Address
	watched := make(chan struct{})
	ctx, unwatch := context.WithCancel(ctx)
	go func() {
		defer close(watched)
		select {
		case <-d.Ended():
			gone()
		case <-ctx.Done():
		}
	}()
	stop = func() { //nolint:contextcheck // ctx may have ended
		unwatch()
		<-watched
		s.endBreaking()
		if err := d.Stop(); err != nil {
			s.log.Error("the server of the store leaves something behind", "error", err)
		}
	}
	return s.fillOwn(ctx, stop)
}

// fillOwn gives a server of our own its items, and reaches it for faults. stop, which
// ends it, is called on an error, and comes back with what else has to end.
func (s *Server) fillOwn(ctx context.Context, stop func()) (func(), error) {
	undo, err := s.prepare(ctx)
	if undo != nil {
		stopServer := stop
		stop = func() { //nolint:contextcheck // what is forgotten needs no time
			s.forget(undo)
			stopServer()
		}
	}
	if err == nil {
		err = s.openConsole(ctx)
	}
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

const (
	// ownPatience bounds the wait for a server that others start for the store: it may
	// have to make its data first, on a machine where all else starts as well.
	ownPatience = 2 * time.Minute
	// ownPause comes between two looks whether it takes connections.
	ownPause = 100 * time.Millisecond
)

// takeOwn waits for a server that others have started for this store alone. gone is called
// when it has ended.
func (s *Server) takeOwn(ctx context.Context, gone func()) (stop func(), err error) {
	s.relay = s.cfg.OwnServer
	waiting, cancel := context.WithTimeoutCause(ctx, ownPatience, fmt.Errorf("it takes no connection after %v", ownPatience))
	defer cancel()
	for {
		conn, err := dial(waiting, s.relay)
		if err == nil {
			conn.Close()
			break
		}
		select {
		case <-waiting.Done():
			return nil, fmt.Errorf("awaiting the server of store %q at %q: %w; see its log", s.cfg.Service.Name, s.relay, errors.Join(context.Cause(waiting), err))
		case <-time.After(ownPause):
		}
	}
	s.mu.Lock()
	s.ownGone = gone
	s.mu.Unlock()
	return s.fillOwn(ctx, s.endBreaking)
}

// lost notes that nobody listens any more where the server of this store was, which then
// has lost its items.
func (s *Server) lost(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ownGone != nil && s.ownErr == nil && errors.Is(err, syscall.ECONNREFUSED) {
		s.ownErr = fmt.Errorf("its own server has ended: %w", err)
		s.ownGone()
	}
}

// serverEnded says that the server of this store's own has ended; nil while it runs.
func (s *Server) serverEnded() error {
	if s.daemon != nil {
		return s.daemon.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ownErr
}

// forget closes what filled a server whose data are removed anyway.
func (s *Server) forget(undo func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = undo(ctx) // it has no time to remove anything
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: reachTimeout}
	return dialer.DialContext(ctx, "tcp", address)
}

// serveRelay is the front of real engines.
func serveRelay(ctx context.Context, s *Server, conn net.Conn) {
	if s.breaking.wait(ctx) != nil {
		return
	}
	server, err := dial(ctx, s.relay)
	if err != nil {
		s.log.Warn("the server of the store is not reached", "address", s.relay, "error", err)
		s.lost(err)
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { server.Close() })()
	t := newTally(s, conn.LocalAddr())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.commands(ctx, server, conn) // it ends with either connection
		server.Close()
	}()
	t.replies(conn, server) // as above
	cancel()                // what is held is not wanted any more
	conn.Close()
	<-done
}

// hold keeps an operation from a real server for as long as slow queries say. It reports false
// if ctx ends meanwhile.
func (s *Server) hold(ctx context.Context, a store.Ask) bool {
	s.mu.Lock()
	d := s.model.Hold(a)
	s.mu.Unlock()
	return d <= 0 || wait(ctx, d, false, nil) == nil
}

// unread takes in that the relay does not understand a client any more, such as one that is
// encrypted. It reports whether the client may go on: what is not understood cannot be slow,
// so nobody passes by a fault that says so.
func (s *Server) unread(client net.Conn, why error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Warn("a client of the store is not understood, so its operations are neither counted nor slowed", "client", client.RemoteAddr(), "error", why)
	if !s.conns[client] {
		return false
	}
	if s.model.Slows() {
		s.log.Warn("it is cut off, since slow queries act", "client", client.RemoteAddr())
		return false
	}
	s.breaking.unread[client] = true
	return true
}

// cutUnread closes the connections that the relay does not understand. The caller holds mu.
func (s *Server) cutUnread() {
	for client := range s.breaking.unread {
		s.log.Warn("a client of the store is cut off that is not understood, since slow queries act", "client", client.RemoteAddr())
		client.Close()
	}
}
