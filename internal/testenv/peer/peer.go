// Package peer is the other end of connections in tests: a TCP server that does with
// each connection what the test says.
package peer

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Serve listens on loopback, calls serve with each connection, closes it afterwards, and
// returns the address. At the end of the test all connections are closed, and every call
// of serve has returned.
func Serve(t testing.TB, serve func(conn *net.TCPConn)) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{serve: serve, conns: map[*net.TCPConn]bool{}}
	s.running.Go(func() { s.accept(ln) })
	t.Cleanup(func() {
		_ = ln.Close()
		s.close()
		s.running.Wait()
	})
	return ln.Addr().String()
}

// Echo serves connections that give back what they get.
func Echo(t testing.TB) (address string) {
	t.Helper()
	return Serve(t, func(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) })
}

type server struct {
	serve   func(conn *net.TCPConn)
	running sync.WaitGroup

	mu     sync.Mutex
	conns  map[*net.TCPConn]bool
	closed bool
}

func (s *server) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() { s.handle(conn.(*net.TCPConn)) })
	}
}

func (s *server) handle(conn *net.TCPConn) {
	defer func() { _ = conn.Close() }()
	s.mu.Lock()
	closed := s.closed
	s.conns[conn] = true
	s.mu.Unlock()
	if !closed {
		s.serve(conn)
	}
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
}

// close ends the reads and writes of serve, which may have closed a connection already.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.conns {
		_ = conn.Close()
	}
}
