package nfqueue

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// A Socket is a netlink socket with one queue bound to it. Closing it drops what
// the queue still holds; later packets bypass.
type Socket struct {
	fd    int
	queue uint16
	out   builder
}

const (
	// FirstQueue is the first of the numbers among which Open seeks a free one.
	FirstQueue, lastQueue = 0x6d00, 0x7fff
	// socketBuffer holds the messages that wait for us, about 1 KB each.
	socketBuffer = 64 << 20
	sendBuffer   = 8 << 20
	// flushAt is how many bytes of verdicts are sent at once.
	flushAt = 256 << 10
)

// Open binds the first free queue number that is not named by a rule: the rules of
// a process that died must not fill the queues of another. copyRange is how much of each
// packet is wanted, in bytes (0: nothing but its id), maxLength how many packets may wait.
// It must run on a thread in the namespace.
func Open(named []uint16, copyRange, maxLength, flags uint32) (*Socket, error) {
	for number := uint16(FirstQueue); ; number++ {
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

func tryQueue(number uint16, copyRange, maxLength, flags uint32) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening a netfilter socket: %w", err)
	}
	s := &Socket{fd: fd, queue: number}
	if err := s.setUp(copyRange, maxLength, flags); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Socket) setUp(copyRange, maxLength, flags uint32) error {
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
func (s *Socket) exchange() error {
	if err := s.Flush(); err != nil {
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
		m, _, err := Parse(buf[:n])
		if err != nil {
			return err
		}
		if m.IsPacket {
			continue
		}
		if m.Errno != 0 {
			return unix.Errno(m.Errno)
		}
		return nil
	}
}

// Queue is the number of the queue.
func (s *Socket) Queue() uint16 { return s.queue }

// FD is the descriptor, to be polled.
func (s *Socket) FD() int { return s.fd }

// Verdict decides about one packet.
func (s *Socket) Verdict(id uint32, v Verdict) { s.out.verdict(s.queue, id, uint32(v)) }

// AcceptAs lets a packet pass with another mark and, if payload is not nil, with
// other bytes.
func (s *Socket) AcceptAs(id, mark uint32, payload []byte) {
	s.out.acceptAs(s.queue, id, mark, payload)
}

// VerdictUpTo decides about every packet of the queue up to the id. Those that are
// accepted get the mark.
func (s *Socket) VerdictUpTo(id uint32, v Verdict, mark uint32) {
	s.out.verdictUpTo(s.queue, id, uint32(v), mark)
}

// Full says whether so many verdicts are put together that they should be sent.
func (s *Socket) Full() bool { return len(s.out.buf) >= flushAt }

// Flush sends the verdicts that were put together.
func (s *Socket) Flush() error {
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

// Close closes the socket.
func (s *Socket) Close() error {
	if err := unix.Close(s.fd); err != nil {
		return fmt.Errorf("closing queue %d: %w", s.queue, err)
	}
	return nil
}

// A Reader reads many messages by one system call.
type Reader struct {
	headers []mmsghdr
	vectors []unix.Iovec
	buffers [][]byte
}

type mmsghdr struct {
	unix.Msghdr
	length uint32
}

// NewReader returns a reader of count messages of at most size bytes.
func NewReader(count, size int) *Reader {
	r := &Reader{make([]mmsghdr, count), make([]unix.Iovec, count), make([][]byte, count)}
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

// Read returns how many messages of a socket have come, without waiting; 0 for none.
// The error ENOBUFS says that some were lost.
func (r *Reader) Read(s *Socket) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&r.headers[0])),
		uintptr(len(r.headers)), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN, syscall.EINTR:
		return 0, nil
	}
	return 0, errno
}

// Size is how many messages a Read can return.
func (r *Reader) Size() int { return len(r.headers) }

// Message returns the bytes of the nth message, until the next Read.
func (r *Reader) Message(n int) []byte {
	return r.buffers[n][:min(int(r.headers[n].length), len(r.buffers[n]))]
}
