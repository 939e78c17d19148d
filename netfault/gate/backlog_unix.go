//go:build unix

package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// fullAfter is how long a connection attempt waits before the backlog counts as full.
const fullAfter = 150 * time.Millisecond

// mostFillers bounds how many connections may be needed to fill a backlog.
const mostFillers = 64

// FillBacklog makes the gate look like a host whose accept queue is full: it
// stops accepting and fills the kernel's backlog, so that attempts to connect
// are neither accepted nor refused and run into the client's timeout. It is for
// TCP only. [Gate.StartAccepting], [Gate.Reset] and [Gate.Stop] undo it.
func (g *Gate) FillBacklog(ctx context.Context) error {
	if err := g.StopAccepting(); err != nil {
		return err
	}
	g.control.Lock()
	defer g.control.Unlock()
	g.mu.Lock()
	f, ok := g.front.(*streamFront)
	g.mu.Unlock()
	if !ok || g.listen.network != "tcp" {
		return fmt.Errorf("filling the backlog of gate %q: only TCP has one; use a TCP gate", g)
	}
	if err := f.fill(ctx); err != nil {
		f.drain()
		return fmt.Errorf("filling the backlog of gate %q: %w", g, err)
	}
	return nil
}

func (f *streamFront) fill(ctx context.Context) error {
	if err := f.setBacklog(0); err != nil {
		return err
	}
	for range mostFillers {
		d := net.Dialer{Timeout: fullAfter}
		c, err := d.DialContext(ctx, "tcp", f.address().String())
		switch {
		case err == nil:
			f.fillers = append(f.fillers, c)
			f.fillerAddrs.Store(c.LocalAddr().String(), true)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err):
			return nil
		default:
			return err
		}
	}
	return fmt.Errorf("%d connections did not fill it", mostFillers)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// drain takes back what fill did.
func (f *streamFront) drain() {
	if f.fillers == nil {
		return
	}
	for _, c := range f.fillers {
		_ = c.Close() // they carried nothing
	}
	f.fillers = nil
	_ = f.setBacklog(syscall.SOMAXCONN) // fails only if closed
}

// setBacklog changes the backlog of the listening socket.
func (f *streamFront) setBacklog(n int) error {
	s, ok := f.listener.(syscall.Conn)
	if !ok {
		return fmt.Errorf("setting the backlog of a %T: it has no descriptor", f.listener)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = syscall.Listen(int(fd), n) }); err != nil {
		return err
	}
	return os.NewSyscallError("listen", failure)
}
