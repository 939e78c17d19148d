package gate

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

// streamFront accepts TCP and Unix connections.
type streamFront struct {
	gate     *Gate
	listener deadlineListener
	idle     chan struct{} // closed when accept has returned; replaced by resume

	fillers     []net.Conn // our own connections that fill the backlog
	fillerAddrs sync.Map   // of string: their addresses, for they are not to be served
}

func (f *streamFront) address() net.Addr { return f.listener.Addr() }

func (f *streamFront) close() error {
	f.drain()
	return f.listener.Close()
}

func (f *streamFront) pause() {
	_ = f.listener.SetDeadline(longAgo) // fails only if closed
	<-f.idle
}

func (f *streamFront) resume() {
	f.drain()
	_ = f.listener.SetDeadline(time.Time{}) // fails only if closed
	idle := make(chan struct{})
	f.idle = idle
	f.gate.work.Go(func() {
		defer close(idle)
		f.accept()
	})
}

// accept serves clients until the front is paused or closed.
func (f *streamFront) accept() {
	for {
		c, err := f.listener.Accept()
		switch {
		case err == nil && f.isFiller(c):
			_ = c.Close() // it carried nothing
		case err == nil:
			f.gate.work.Go(func() { f.gate.serve(context.Background(), c) })
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.ECONNABORTED):
			// The client gave up while it waited.
		default:
			// Out of descriptors or memory: others may free some.
			f.gate.log.Warn("accepting a client", "gate", f.gate.String(), "error", err)
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (f *streamFront) isFiller(c net.Conn) bool {
	_, ok := f.fillerAddrs.LoadAndDelete(c.RemoteAddr().String())
	return ok
}
