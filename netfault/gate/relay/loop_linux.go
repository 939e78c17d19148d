package relay

import (
	"os"
	"sync"
	"syscall"
	"unsafe"
)

const (
	copySize   = 64 << 10
	pipeSize   = 1 << 20 // the larger, the fewer calls for each byte
	sparePipes = 4
	// mostPipes bounds the memory of the kernel that receivers which read slowly
	// can fill; other connections are copied.
	mostPipes = 64
	rounds    = 16 // moves for one connection before others have their turn
)

// A loop is one goroutine that serves some of the connections.
type loop struct {
	epoll, bell int // the bell rings for the inbox
	table       []*Carried
	free        []int32
	buf         []byte
	pipes       []pipe
	inUse       int // pipes that connections have

	mu    sync.Mutex
	inbox []func()
}

func newLoop() (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	const nonblockCloexec = syscall.O_NONBLOCK | syscall.O_CLOEXEC
	bell, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, nonblockCloexec, 0)
	if errno != 0 {
		_ = syscall.Close(epoll)
		return nil, os.NewSyscallError("eventfd2", errno)
	}
	lp := &loop{epoll: epoll, bell: int(bell), buf: make([]byte, copySize)}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: -1}
	if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, lp.bell, &event); err != nil {
		_ = syscall.Close(epoll)
		_ = syscall.Close(lp.bell)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return lp, nil
}

// post lets the loop's goroutine call f; nil ends the loop.
func (lp *loop) post(f func()) {
	lp.mu.Lock()
	lp.inbox = append(lp.inbox, f)
	first := len(lp.inbox) == 1
	lp.mu.Unlock()
	if first {
		one := uint64(1)
		_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(lp.bell), uintptr(unsafe.Pointer(&one)), 8)
	}
}

// run is the loop's goroutine.
func (lp *loop) run() {
	events := make([]syscall.EpollEvent, 256)
	for {
		n, errno := lp.poll(events)
		if errno != 0 {
			n = 0
		}
		if n == 0 {
			// No event is ready: sleep, and let the runtime know.
			var err error
			if n, err = syscall.EpollWait(lp.epoll, events, -1); err != nil {
				n = 0 // EINTR: nothing else can happen to a valid epoll
			}
		}
		rung := false
		for i := range events[:n] {
			e := &events[i]
			if e.Fd < 0 {
				rung = true
				continue
			}
			if c := lp.table[e.Fd]; c != nil {
				lp.handle(c, int(e.Pad), e.Events)
			}
		}
		if rung && !lp.open() {
			break
		}
	}
	for _, c := range lp.table {
		if c != nil {
			lp.drop(c, nil)
		}
	}
	for _, p := range lp.pipes {
		p.close()
	}
	_ = syscall.Close(lp.bell)
	_ = syscall.Close(lp.epoll)
}

func (lp *loop) poll(events []syscall.EpollEvent) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(lp.epoll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	return int(n), errno
}

// open works through the inbox and says whether to go on.
func (lp *loop) open() bool {
	var count uint64
	_, _, _ = syscall.RawSyscall(syscall.SYS_READ, uintptr(lp.bell), uintptr(unsafe.Pointer(&count)), 8)
	lp.mu.Lock()
	inbox := lp.inbox
	lp.inbox = nil
	lp.mu.Unlock()
	for _, f := range inbox {
		if f == nil {
			return false
		}
		f()
	}
	return true
}

// add takes a connection over.
func (lp *loop) add(c *Carried) {
	if n := len(lp.free); n > 0 {
		c.slot, lp.free = lp.free[n-1], lp.free[:n-1]
	} else {
		c.slot = int32(len(lp.table))
		lp.table = append(lp.table, nil)
	}
	lp.table[c.slot] = c
	c.active = true
	if c.leave {
		lp.drop(c, nil)
		return
	}
	for i := range c.halves {
		if c.halves[i].shut {
			continue
		}
		if err := lp.flush(c, i); err != nil {
			lp.drop(c, err)
			return
		}
	}
	lp.settle(c)
}

// settle watches for what the connection waits for, or drops it when it waits for nothing.
func (lp *loop) settle(c *Carried) {
	if c.halves[0].shut && c.halves[1].shut {
		lp.drop(c, nil)
		return
	}
	for i := range c.fds {
		var want uint32
		if h := &c.halves[i]; !h.eof && !h.blocked() {
			want |= syscall.EPOLLIN
		}
		if c.halves[1-i].blocked() {
			want |= syscall.EPOLLOUT
		}
		if err := lp.watch(c, i, want); err != nil {
			lp.drop(c, err)
			return
		}
	}
}

// watch sets what to wait for on a socket. With nothing it is not watched at
// all, for a hang-up cannot be masked and would keep the loop spinning.
func (lp *loop) watch(c *Carried, i int, want uint32) error {
	if want == c.masks[i] {
		return nil
	}
	op := syscall.EPOLL_CTL_MOD
	switch {
	case want == 0:
		op = syscall.EPOLL_CTL_DEL
	case c.masks[i] == 0:
		op = syscall.EPOLL_CTL_ADD
	}
	event := syscall.EpollEvent{Events: want, Fd: c.slot, Pad: int32(i)}
	if err := syscall.EpollCtl(lp.epoll, op, c.fds[i], &event); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	c.masks[i] = want
	return nil
}

// drop ends Carry.
func (lp *loop) drop(c *Carried, err error) {
	for i := range c.fds {
		_ = lp.watch(c, i, 0) // the descriptor is returned, not closed, and is ours until then
		lp.emptyPipe(&c.halves[i])
	}
	c.err = err
	c.active = false
	lp.table[c.slot] = nil
	// Events of this round may still name the slot; they find nil or, at worst,
	// a new connection, for which an untrue event costs one read.
	lp.free = append(lp.free, c.slot)
	close(c.done)
}

// handle does what an event on socket i asks for.
func (lp *loop) handle(c *Carried, i int, events uint32) {
	var err error
	wasBlocked := c.halves[1-i].blocked()
	if events&^syscall.EPOLLIN != 0 && wasBlocked {
		err = lp.flush(c, 1-i)
	}
	h := &c.halves[i]
	if err == nil && events&^syscall.EPOLLOUT != 0 && !h.eof && !h.blocked() {
		err = lp.move(c, i)
	}
	if err != nil {
		lp.drop(c, err)
		return
	}
	if h.eof || h.blocked() || wasBlocked {
		lp.settle(c)
	}
}

// move carries data from socket i to the other until there is no more or no room.
func (lp *loop) move(c *Carried, i int) error {
	h := &c.halves[i]
	for range rounds {
		if h.bulk && lp.givePipe(h) {
			more, err := lp.splice(c, i)
			if err != nil || !more {
				return err
			}
			continue
		}
		n, errno := rawRead(c.fds[i], lp.buf)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			return nil
		case errno != 0:
			return os.NewSyscallError("read", errno)
		case n == 0:
			h.eof = true
			return lp.flush(c, i)
		}
		h.moved.Add(int64(n))
		h.pending = lp.buf[:n]
		if err := lp.flush(c, i); err != nil {
			h.pending = nil
			return err
		}
		if h.blocked() {
			h.pending = append([]byte(nil), h.pending...) // the buffer is everybody's
			return nil
		}
		if n < len(lp.buf) {
			return nil // level-triggered: should there be more, we are told
		}
		h.bulk = true
	}
	return nil
}

// flush writes what half i has, as far as the receiver takes it, and the end of data behind it.
func (lp *loop) flush(c *Carried, i int) error {
	h, out := &c.halves[i], c.fds[1-i]
	for len(h.pending) > 0 {
		n, errno := rawWrite(out, h.pending)
		switch errno {
		case 0:
			h.pending = h.pending[n:]
		case syscall.EINTR:
		case syscall.EAGAIN:
			return nil
		default:
			return os.NewSyscallError("write", errno)
		}
	}
	for h.piped > 0 {
		n, errno := splice(h.pipe.r, out, h.piped)
		switch errno {
		case 0:
			h.piped -= n
		case syscall.EINTR:
		case syscall.EAGAIN:
			return nil
		default:
			return os.NewSyscallError("splice", errno)
		}
	}
	if !h.bulk {
		lp.freePipe(h)
	}
	h.pending = nil
	if h.eof && !h.shut {
		h.shut = true
		lp.freePipe(h)
		if err := syscall.Shutdown(out, syscall.SHUT_WR); err != nil {
			return os.NewSyscallError("shutdown", err)
		}
	}
	return nil
}
