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
	// stop ends an accept that waits for a slot; replaced by resume.
	stop context.CancelFunc
	// full is set while it has been said that there are no slots; accept alone uses it.
	full bool

	fillers     []net.Conn // our own connections that fill the backlog
	fillerAddrs sync.Map   // of string: their addresses, for they are not to be served
}

// Address implements [Front].
func (f *Stream) Address() net.Addr { return f.listener.Addr() }

// Close implements [Front].
func (f *Stream) Close() error {
	f.Drain()
	if f.stop != nil {
		f.stop()
	}
	return f.listener.Close()
}

// longAgo, as a deadline, interrupts.
var longAgo = time.Unix(1, 0) //nolint:gochecknoglobals // a constant in all but name

// Pause implements [Front].
func (f *Stream) Pause() {
	f.stop()
	_ = f.listener.SetDeadline(longAgo) // fails only if closed
	<-f.idle
}

// Resume implements [Front].
func (f *Stream) Resume() {
	f.Drain()
	_ = f.listener.SetDeadline(time.Time{}) // fails only if closed
	idle := make(chan struct{})
	f.idle = idle
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.server.Go(func() {
		defer close(idle)
		defer stop()
		f.accept(ctx)
	})
}

// take waits for a slot, of which each connection has one. It returns false if the
// front was paused or closed before.
func (f *Stream) take(ctx context.Context) bool {
	slots := f.server.Slots
	select {
	case slots <- struct{}{}:
		f.full = f.full && len(slots) > cap(slots)/2
		return true
	default:
	}
	if !f.full {
		f.server.Log.Warn("as many clients are served as may be; others wait", "gate", f.server.Name(), "clients", cap(slots))
	}
	f.full = true
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// accept serves clients until the front is paused or closed.
func (f *Stream) accept(ctx context.Context) {
	failing := false
	for f.take(ctx) {
		c, err := f.listener.Accept()
		if err == nil && !f.isFiller(c) {
			failing = false
			f.server.Go(func() { //nolint:contextcheck // who is served outlasts the taking of others
				defer func() { <-f.server.Slots }()
				f.server.Serve(context.Background(), c)
			})
			continue
		}
		<-f.server.Slots
		switch {
		case err == nil:
			_ = c.Close() // it carried nothing
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.ECONNABORTED):
			// The client gave up while it waited.
		default:
			// Out of descriptors or memory: others may free some.
			if !failing {
				f.server.Log.Warn("accepting a client", "gate", f.server.Name(), "error", err)
			}
			failing = true
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (f *Stream) isFiller(c net.Conn) bool {
	_, ok := f.fillerAddrs.LoadAndDelete(c.RemoteAddr().String())
	return ok
}
