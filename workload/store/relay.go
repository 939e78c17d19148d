package store

import (
	"context"
	"fmt"
	"net"
	"time"
)

// A real engine is reached through a relay, so that it has an address and control of
// this system, and so that its connections and operations are counted.

const (
	// reachTimeout bounds how long it takes to connect to a real server.
	reachTimeout = 5 * time.Second
	// undoTimeout bounds how long it takes to remove what was put into one.
	undoTimeout = 30 * time.Second
)

// prepareReal gives a real server its items. undo takes them back.
func (s *Server) prepareReal(ctx context.Context) (undo func(), err error) {
	undo = func() {}
	if s.relay == "" {
		return undo, nil
	}
	conn, err := dial(ctx, s.relay)
	if err != nil {
		return nil, fmt.Errorf("reaching the server of store %q: %w; start it, or write engine: embedded", s.cfg.Service.Name, err)
	}
	conn.Close()
	if s.cfg.Prepare == nil {
		return undo, nil
	}
	remove, err := s.cfg.Prepare(ctx, &s.cfg.Service, s.cfg.Seed)
	if remove != nil {
		undo = func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
			defer cancel()
			if err := remove(ctx); err != nil {
				s.log.Error("items stay in the server of the store", "address", s.relay, "error", err)
			}
		}
	}
	if err != nil {
		undo()
		return nil, fmt.Errorf("filling the server of store %q: %w", s.cfg.Service.Name, err)
	}
	return undo, nil
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: reachTimeout}
	return dialer.DialContext(ctx, "tcp", address)
}

// serveRelay is the front of real engines.
func serveRelay(ctx context.Context, s *Server, conn net.Conn) {
	server, err := dial(ctx, s.relay)
	if err != nil {
		s.log.Warn("the server of the store is not reached", "address", s.relay, "error", err)
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { server.Close() })()
	t := newTally(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.commands(server, conn) // it ends with either connection
		server.Close()
	}()
	t.replies(conn, server) // as above
	conn.Close()
	<-done
}
