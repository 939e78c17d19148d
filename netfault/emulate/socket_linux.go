package emulate

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// socket is a netlink socket with one queue bound to it. Closing it drops what
// the queue still holds; later packets bypass.
type socket struct {
	fd    int
	queue uint16
	out   builder
}

const (
	// Among these numbers a free queue is sought.
	firstQueue, lastQueue = 0x6d00, 0x7fff
	// socketBuffer holds the messages that wait for us, about 1 KB each.
	socketBuffer = 64 << 20
	sendBuffer   = 8 << 20
	// flushAt is how many bytes of verdicts are sent at once.
	flushAt = 256 << 10
)

// openSocket binds the first free queue number that no rule names: the rules of
// a process that died must not fill the queues of another. It must run on a
// thread in the namespace.
func openSocket(named []uint16, copyRange, maxLength, flags uint32) (*socket, error) {
	for number := uint16(firstQueue); ; number++ {
		if slices.Contains(named, number) {
			continue
		}
		s, err := tryQueue(number, copyRange, maxLength, flags)
		// The kernel says EPERM for a number that another process has, too.
		taken := errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM)
		if err == nil || !taken || number == lastQueue {
			return s, explain(fmt.Sprintf("binding netfilter queue %d", number), err)
		}
	}
}

// explain marks what this kernel lacks, and says what privilege is missing.
func explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s: %w: it needs CAP_NET_ADMIN in the namespace", doing, err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%s: %w: the kernel has no nfnetlink_queue (%w); `modprobe nfnetlink_queue` on the node may load it", doing, netfault.ErrUnsupported, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func tryQueue(number uint16, copyRange, maxLength, flags uint32) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening a netfilter socket: %w", err)
	}
	s := &socket{fd: fd, queue: number}
	if err := s.setUp(copyRange, maxLength, flags); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *socket) setUp(copyRange, maxLength, flags uint32) error {
	// Without the privilege to go beyond the system's bounds, go up to them.
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer) != nil {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer); err != nil {
			return fmt.Errorf("enlarging the receive buffer: %w", err)
		}
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer); err != nil {
			return fmt.Errorf("enlarging the send buffer: %w", err)
		}
	}
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("binding a netfilter socket: %w", err)
	}
	s.out.bind(s.queue)
	if err := s.exchange(); err != nil {
		return err
	}
	s.out.configure(s.queue, copyRange, maxLength, flags)
	if err := s.exchange(); err != nil {
		return fmt.Errorf("configuring it: %w", err)
	}
	return nil
}

// exchange sends one request and waits for its acknowledgement; only for a
// queue that no rule names yet, so that no packets come in between.
func (s *socket) exchange() error {
	if err := s.flush(); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(s.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the kernel's answer: %w", err)
		}
		m, _, err := parseMessage(buf[:n])
		if err != nil {
			return err
		}
		if m.isPacket {
			continue
		}
		if m.errno != 0 {
			return unix.Errno(m.errno)
		}
		return nil
	}
}

// flush sends the verdicts that were put together.
func (s *socket) flush() error {
	if len(s.out.buf) == 0 {
		return nil
	}
	var err error
	for {
		_, err = unix.Write(s.fd, s.out.buf)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	s.out.buf = s.out.buf[:0]
	if err != nil {
		return fmt.Errorf("sending verdicts to queue %d: %w", s.queue, err)
	}
	return nil
}

func (s *socket) close() error {
	if err := unix.Close(s.fd); err != nil {
		return fmt.Errorf("closing queue %d: %w", s.queue, err)
	}
	return nil
}

// reader reads many messages by one system call.
type reader struct {
	headers []mmsghdr
	vectors []unix.Iovec
	buffers [][]byte
}

type mmsghdr struct {
	unix.Msghdr
	length uint32
}

func newReader(count, size int) *reader {
	r := &reader{make([]mmsghdr, count), make([]unix.Iovec, count), make([][]byte, count)}
	memory := make([]byte, count*size)
	for n := range count {
		r.buffers[n] = memory[n*size : (n+1)*size]
		r.vectors[n].Base = &r.buffers[n][0]
		r.vectors[n].SetLen(size)
		r.headers[n].Iov = &r.vectors[n]
		r.headers[n].SetIovlen(1)
	}
	return r
}

// read returns how many buffers were filled without waiting, 0 for none.
func (r *reader) read(fd int) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.headers[0])),
		uintptr(len(r.headers)), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN, syscall.EINTR:
		return 0, nil
	}
	return 0, errno
}

// message returns the bytes of the nth buffer.
func (r *reader) message(n int) []byte {
	return r.buffers[n][:min(int(r.headers[n].length), len(r.buffers[n]))]
}
