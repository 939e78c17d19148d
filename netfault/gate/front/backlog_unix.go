//go:build unix

package front

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

// CanFill says whether a backlog can be filled on this system.
const CanFill = true

// Fill fills the backlog of a front that is paused, so that attempts to connect are neither
// accepted nor refused. Drain takes it back, as do Resume and Close. It is for TCP only.
func (f *Stream) Fill(ctx context.Context) error {
	if err := f.setBacklog(0); err != nil {
		return err
	}
	for range mostFillers {
		d := net.Dialer{Timeout: fullAfter}
		c, err := d.DialContext(ctx, "tcp", f.Address().String())
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

// Drain takes back what Fill did.
func (f *Stream) Drain() {
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
func (f *Stream) setBacklog(n int) error {
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
