package gate

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// hasRelay says whether there is a relay on this system.
const hasRelay = true

// A Relay carries connections whose data no condition needs. Gates may share one.
// It costs nothing until the first connection; from then on it keeps a thread, two
// descriptors and 64 KiB for each two processors.
//
// A goroutine for each direction, as lanes have, costs a stack, a wake-up
// and a surplus read for each message. The relay instead waits for all of its
// sockets at once (level-triggered epoll) and copies with one read and one
// write; what comes in bulk goes by splice and never enters the process. An
// idle connection costs two descriptors and no buffer. BenchmarkRequests is what
// justifies it: a gate without conditions carries about 1.4 times the requests of
// two goroutines that copy ("gate-idle" against "copy-loop").
//
// The sockets are taken from the Go runtime, which would be woken by each of
// their events, and are given back when a condition needs the lanes.
type Relay struct {
	mu      sync.Mutex
	loops   []*loop // empty until start
	closed  bool
	next    uint32
	running sync.WaitGroup
}

// A loop is one goroutine that serves some of the connections.
type loop struct {
	epoll, bell int // the bell rings for the inbox
	table       []*carried
	free        []int32
	buf         []byte
	pipes       []pipe
	inUse       int // pipes that connections have

	mu    sync.Mutex
	inbox []func()
}

// carried is a pair in the hands of a loop.
type carried struct {
	pair   *pair
	loop   *loop
	slot   int32
	fds    [2]int // client, server
	masks  [2]uint32
	halves [2]half // from the client, from the server
	leave  bool    // asked to leave; of the loop's goroutine
	active bool
	err    error
	done   chan struct{}
}

// half is one direction: data read from fds[i] goes to fds[1-i].
type half struct {
	lane    *lane
	pending []byte // read but not written yet
	pipe    pipe
	piped   int  // bytes in the pipe
	bulk    bool // splice rather than copy
	small   int  // small moves in a row while in bulk
	eof     bool // the end of data has been read
	shut    bool // and passed on
	taken   bool // the lane's queue, with an end of data, has been taken
}

type pipe struct{ r, w int }

func (h *half) blocked() bool { return len(h.pending) > 0 || h.piped > 0 }

const (
	copySize   = 64 << 10
	pipeSize   = 1 << 20 // the larger, the fewer calls for each byte
	sparePipes = 4
	// mostPipes bounds the memory of the kernel that receivers which read slowly
	// can fill; other connections are copied.
	mostPipes = 64
	rounds    = 16 // moves for one connection before others have their turn
)

// NewRelay returns a relay that is to be closed after the gates that use it.
func NewRelay() *Relay { return &Relay{} }

// start starts the loops unless they run.
func (r *Relay) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("the relay is closed")
	}
	// One loop serves what one core can; a second helps bulk. Without
	// descriptors for all of them, fewer will do.
	for len(r.loops) < max(1, runtime.GOMAXPROCS(0)/2) {
		lp, err := newLoop()
		if err != nil {
			if len(r.loops) > 0 {
				return nil
			}
			return err
		}
		r.loops = append(r.loops, lp)
		r.running.Go(lp.run)
	}
	return nil
}

// Close ends the relay. Gates that use it must be closed before.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	loops := r.loops
	r.mu.Unlock()
	for _, lp := range loops {
		lp.post(nil)
	}
	r.running.Wait()
}

// pick is the loop of the next connection.
func (r *Relay) pick() *loop {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	return r.loops[int(r.next)%len(r.loops)]
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

// notify makes the loop give a pair back, if it has it. The channel is closed
// when the loop has done so and moves none of the pair's data any more.
func (r *Relay) notify(p *pair) <-chan struct{} {
	told := make(chan struct{})
	c := p.carried.Load()
	if c == nil {
		close(told)
		return told
	}
	c.loop.post(func() {
		defer close(told)
		c.leave = true
		if c.active {
			c.loop.drop(c, nil)
		}
	})
	return told
}

// carry carries a pair until both directions are finished, the pair ends, or a condition is set.
func (r *Relay) carry(p *pair) error {
	c := &carried{pair: p, loop: r.pick(), done: make(chan struct{})}
	for i, l := range p.lanes() {
		if !l.yield(&c.halves[i]) {
			return nil // there is something for the lanes after all
		}
	}
	for i, s := range p.sockets() {
		fd, err := takeSocket(s.conn())
		if err != nil {
			return errors.Join(err, c.giveBack(i))
		}
		c.fds[i] = fd
	}
	p.carried.Store(c)
	defer p.carried.Store(nil)
	// A change of the plan, or an end of the pair, before the line above did
	// not reach c.
	if p.mayLeave() && !p.over() {
		c.loop.post(func() { c.loop.add(c) })
		<-c.done
	}
	switch {
	case c.err != nil && isReset(c.err):
		p.end(endReset)
	case c.err != nil:
		p.end(endOrderly)
	}
	return c.giveBack(2)
}

// yield moves what the lane holds into h, unless a stage is in force.
func (l *lane) yield(h *half) bool {
	l.follow()
	if len(l.slots) > 0 || !l.pair.mayLeave() {
		return false
	}
	h.lane = l
	h.eof, h.shut = l.noMore, l.done()
	return true
}

// giveBack returns the first n sockets and what has been read from them to the pair.
func (c *carried) giveBack(n int) error {
	var errs []error
	for i := range n {
		h := &c.halves[i]
		if h.shut && !h.lane.done() {
			h.lane.noMore = true
			close(h.lane.finished)
		} else if h.eof && !h.shut && (h.taken || !h.lane.noMore) {
			h.lane.noMore = true
			h.lane.queue.push(item{end: endOfData})
		}
	}
	sockets := c.pair.sockets()
	for i, s := range sockets[:n] {
		conn, err := returnSocket(c.fds[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.current.Store(&conn)
	}
	return errors.Join(errs...)
}

// takeSocket takes a socket from the runtime: its descriptor is duplicated and c closed.
func takeSocket(c net.Conn) (int, error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("taking a socket from a %T: it has no descriptor", c)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd uintptr
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		fd, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil {
		return 0, err
	}
	if errno != 0 {
		return 0, os.NewSyscallError("fcntl", errno)
	}
	return int(fd), c.Close()
}

// returnSocket gives a descriptor to the runtime.
func returnSocket(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "gate")
	c, err := net.FileConn(f)
	return c, errors.Join(err, f.Close())
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
			// Nothing at once: sleep, and let the runtime know.
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

// add takes a pair over.
func (lp *loop) add(c *carried) {
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
		if h := &c.halves[i]; !h.shut {
			h.pending, h.taken = h.lane.queue.takeAll(), true
			if err := lp.flush(c, i); err != nil {
				lp.drop(c, err)
				return
			}
		}
	}
	lp.settle(c)
}

// settle watches for what the pair waits for, or drops it when it waits for nothing.
func (lp *loop) settle(c *carried) {
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
func (lp *loop) watch(c *carried, i int, want uint32) error {
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

// drop gives a pair back to the one who waits in carry.
func (lp *loop) drop(c *carried, err error) {
	for i := range c.fds {
		_ = lp.watch(c, i, 0) // the descriptor is returned, not closed, and is ours until then
		lp.emptyPipe(&c.halves[i])
		h := &c.halves[i]
		if len(h.pending) > 0 {
			h.lane.queue.push(item{data: h.pending})
			h.pending = nil
		}
	}
	c.err = err
	c.active = false
	lp.table[c.slot] = nil
	// Events of this round may still name the slot; they find nil or, at worst,
	// a new pair, for which an untrue event costs one read.
	lp.free = append(lp.free, c.slot)
	close(c.done)
}

// handle does what an event on socket i asks for.
func (lp *loop) handle(c *carried, i int, events uint32) {
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
func (lp *loop) move(c *carried, i int) error {
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
		h.lane.bytes.Add(int64(n))
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

// splice moves data through the pipe of half i and says whether there may be more.
func (lp *loop) splice(c *carried, i int) (more bool, err error) {
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
	h.lane.bytes.Add(int64(n))
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

// flush writes what half i has, as far as the receiver takes it, and the end of data behind it.
func (lp *loop) flush(c *carried, i int) error {
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

// takeAll empties a queue of data, leaving out endings.
func (q *queue) takeAll() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	var all []byte
	for _, it := range q.items[q.head:] {
		all = append(all, it.data...)
	}
	q.items, q.head, q.bytes = nil, 0, 0
	return all
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
