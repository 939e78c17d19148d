package relay

import (
	"os"
	"syscall"
	"unsafe"
)

type pipe struct{ r, w int }

// splice moves data through the pipe of half i and says whether there may be more.
func (lp *loop) splice(c *Carried, i int) (more bool, err error) {
	h := &c.halves[i]
	n, errno := splice(c.fds[i], h.pipe.w, pipeSize)
	switch {
	case errno == syscall.EINTR:
		return true, nil
	case errno == syscall.EAGAIN:
		lp.freePipe(h)
		return false, nil
	case errno != 0:
		lp.freePipe(h)
		return false, os.NewSyscallError("splice", errno)
	case n == 0:
		lp.freePipe(h)
		h.eof = true
		return false, lp.flush(c, i)
	}
	h.moved.Add(int64(n))
	h.piped = n
	if n >= copySize/4 {
		h.small = 0
	} else if h.small++; h.small > 8 {
		h.bulk, h.small = false, 0
	}
	if err := lp.flush(c, i); err != nil {
		return false, err
	}
	return !h.blocked(), nil
}

// givePipe makes sure that a half has a pipe; without descriptors it does without.
func (lp *loop) givePipe(h *half) bool {
	if h.pipe != (pipe{}) {
		return true
	}
	if lp.inUse >= mostPipes {
		h.bulk = false
		return false
	}
	if n := len(lp.pipes); n > 0 {
		h.pipe, lp.pipes = lp.pipes[n-1], lp.pipes[:n-1]
		lp.inUse++
		return true
	}
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		h.bulk = false
		return false
	}
	h.pipe = pipe{fds[0], fds[1]}
	lp.inUse++
	const setPipeSize = 1031 // F_SETPIPE_SZ
	// Without a larger pipe splicing is slower, not wrong.
	_, _, _ = syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(h.pipe.w), setPipeSize, pipeSize)
	return true
}

// freePipe takes an empty pipe from a half.
func (lp *loop) freePipe(h *half) {
	if h.pipe == (pipe{}) {
		return
	}
	if len(lp.pipes) < sparePipes && h.piped == 0 {
		lp.pipes = append(lp.pipes, h.pipe)
	} else {
		h.pipe.close()
	}
	h.pipe = pipe{}
	lp.inUse--
}

func (p pipe) close() {
	_ = syscall.Close(p.r) // closing a pipe cannot lose anything
	_ = syscall.Close(p.w)
}

// emptyPipe moves what is in the pipe to pending.
func (lp *loop) emptyPipe(h *half) {
	if h.piped > 0 {
		data := make([]byte, h.piped)
		for got := 0; got < len(data); {
			n, errno := rawRead(h.pipe.r, data[got:])
			if errno == syscall.EINTR {
				continue
			}
			if errno != 0 || n == 0 {
				break // cannot be: the pipe holds what we put there
			}
			got += n
		}
		h.pending = append(h.pending, data...)
		h.piped = 0
	}
	lp.freePipe(h)
}

// The sockets and pipes never block and a short call is over before the runtime
// could make use of knowing, so it is not told.

func rawRead(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

func rawWrite(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

// splice moves bulk, which takes long enough to let others run.
func splice(in, out, n int) (int, syscall.Errno) {
	const spliceNonblock = 2
	moved, _, errno := syscall.Syscall6(syscall.SYS_SPLICE, uintptr(in), 0, uintptr(out), 0, uintptr(n), spliceNonblock)
	return int(moved), errno
}
