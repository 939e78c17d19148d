package front

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

type deadlineListener interface {
	net.Listener
	SetDeadline(time.Time) error
}

// A Stream accepts TCP and Unix connections.
type Stream struct {
	server   Server
	listener deadlineListener
	idle     chan struct{} // closed when accept has returned; replaced by resume

	fillers     []net.Conn // our own connections that fill the backlog
	fillerAddrs sync.Map   // of string: their addresses, for they are not to be served
}

// Address implements [Front].
func (f *Stream) Address() net.Addr { return f.listener.Addr() }

// Close implements [Front].
func (f *Stream) Close() error {
	f.Drain()
	return f.listener.Close()
}

// longAgo, as a deadline, interrupts.
var longAgo = time.Unix(1, 0) //nolint:gochecknoglobals // a constant in all but name

// Pause implements [Front].
func (f *Stream) Pause() {
	_ = f.listener.SetDeadline(longAgo) // fails only if closed
	<-f.idle
}

// Resume implements [Front].
func (f *Stream) Resume() {
	f.Drain()
	_ = f.listener.SetDeadline(time.Time{}) // fails only if closed
	idle := make(chan struct{})
	f.idle = idle
	f.server.Go(func() {
		defer close(idle)
		f.accept()
	})
}

// accept serves clients until the front is paused or closed.
func (f *Stream) accept() {
	for {
		c, err := f.listener.Accept()
		switch {
		case err == nil && f.isFiller(c):
			_ = c.Close() // it carried nothing
		case err == nil:
			f.server.Go(func() { f.server.Serve(context.Background(), c) })
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.ECONNABORTED):
			// The client gave up while it waited.
		default:
			// Out of descriptors or memory: others may free some.
			f.server.Log.Warn("accepting a client", "gate", f.server.Name(), "error", err)
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (f *Stream) isFiller(c net.Conn) bool {
	_, ok := f.fillerAddrs.LoadAndDelete(c.RemoteAddr().String())
	return ok
}
