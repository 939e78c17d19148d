package emulate

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/engine"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/nfqueue"
	threads "github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// loop moves packets on one thread of its own: it sleeps in the kernel until
// a packet comes or one is due, to the precision of the kernel's clock.
type loop struct {
	start     time.Time
	stages    []*stage // those of one link in the order of passing
	channels  []*channel
	originals []*originals
	light     *nfqueue.Reader // many messages without payload
	heavy     *nfqueue.Reader // a few with up to 64 KB
	wake      int             // an eventfd that interrupts the sleep
	commands  chan func()
	stopping  bool
	done      chan struct{}
	polls     []unix.PollFd
}

const (
	lightBatch, lightSize = 64, 1024
	heavyBatch, heavySize = 16, 68 << 10
)

func startLoop() (*loop, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("making an event descriptor: %w", err)
	}
	l := &loop{
		start: time.Now(), wake: wake, commands: make(chan func(), 1), done: make(chan struct{}),
		light: nfqueue.NewReader(lightBatch, lightSize),
	}
	go func() {
		defer close(l.done)
		_ = threads.OnThread(l.run) // it returns nil
	}()
	return l, nil
}

// do runs f on the loop's thread and waits for it.
func (l *loop) do(f func()) {
	finished := make(chan struct{})
	l.commands <- func() { f(); close(finished) }
	// The counter cannot overflow, so the write cannot fail.
	_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-finished
}

// stop ends the loop. All channels must be gone.
func (l *loop) stop() error {
	l.do(func() { l.stopping = true })
	<-l.done
	return unix.Close(l.wake)
}

func (l *loop) now() int64 { return int64(time.Since(l.start)) }

func (l *loop) heavyReader() *nfqueue.Reader {
	if l.heavy == nil {
		l.heavy = nfqueue.NewReader(heavyBatch, heavySize)
	}
	return l.heavy
}

func (l *loop) run() error {
	setRealtime()
	for !l.stopping {
		l.sleep()
		if l.polls[0].Revents != 0 {
			l.runCommands()
			continue // what there is to poll may have changed
		}
		l.move()
	}
	return nil
}

// setRealtime lets the thread wake on time on a busy machine, too. If the
// kernel refuses, delays are coarser.
//
// Before Linux 6.5 packets between interfaces of one machine wait for the
// kernel's own thread once that runs; a thread of higher priority would make
// their queue overflow, so there the priority stays normal.
func setRealtime() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	var name unix.Utsname
	if unix.Uname(&name) != nil || !atLeast(unix.ByteSliceToString(name.Release[:]), 6, 5) {
		return
	}
	const roundRobin, resetOnFork = 2, 1
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: roundRobin, Flags: resetOnFork, Priority: 1}
	if unix.SchedSetAttr(0, attr, 0) != nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
	}
}

// sleep waits until something has come or is due.
func (l *loop) sleep() {
	l.polls = append(l.polls[:0], unix.PollFd{Fd: int32(l.wake), Events: unix.POLLIN})
	next, waiting := int64(0), false
	soonest := func(e *engine.Engine) {
		if at, ok := e.Next(); ok && (!waiting || at < next) {
			next, waiting = at, true
		}
	}
	for _, c := range l.channels {
		l.polls = append(l.polls, unix.PollFd{Fd: int32(c.sock.FD()), Events: unix.POLLIN})
		soonest(c.engine)
	}
	for _, s := range l.stages {
		soonest(s.engine)
	}
	for _, o := range l.originals {
		l.polls = append(l.polls, unix.PollFd{Fd: int32(o.sock.FD()), Events: unix.POLLIN})
	}
	var timeout *unix.Timespec
	if waiting {
		t := unix.NsecToTimespec(max(0, next-l.now()))
		timeout = &t
	}
	if _, err := unix.Ppoll(l.polls, timeout, nil); err != nil {
		for n := range l.polls {
			l.polls[n].Revents = 0 // interrupted: nothing is known
		}
	}
}

// pause gives other threads a turn, which even a yielding real-time thread keeps.
func pause() {
	t := unix.NsecToTimespec(int64(50 * time.Microsecond))
	_ = unix.Nanosleep(&t, nil) // being interrupted is no harm
}

// runCommands runs the functions that other goroutines have sent.
func (l *loop) runCommands() {
	var count [8]byte
	_, _ = unix.Read(l.wake, count[:]) // only clears the event
	for {
		select {
		case f := <-l.commands:
			f()
		default:
			return
		}
	}
}

// move reads the packets that have arrived and releases those that are due.
func (l *loop) move() {
	polls := l.polls[1:]
	for n, o := range l.originals {
		if polls[len(l.channels)+n].Revents != 0 {
			_ = o.receive(l) // an error shows again at the next packet; its queue bypasses
		}
	}
	for n, c := range l.channels {
		if polls[n].Revents != 0 {
			c.receive(l)
		}
	}
	for _, s := range l.stages {
		s.release(l.now())
	}
	ended := false
	for _, c := range l.channels {
		before := c.engine.Held()
		c.release(l.now())
		if before-c.engine.Held() == burst {
			pause()
		}
		ended = ended || c.closing && c.held() == 0
	}
	if ended {
		l.dropEnded()
	}
}

// retire lets stages and channels end by themselves as their packets become
// due, or at once with everything let go.
func (l *loop) retire(stages []*stage, old []*channel, atOnce bool) {
	for _, c := range old {
		c.receive(l) // what the old rules have queued
		c.closing = true
	}
	for _, s := range stages {
		s.closing = true
		if atOnce {
			s.flush()
		}
	}
	if atOnce {
		for _, c := range old {
			c.flush()
		}
	}
	l.dropEnded()
}

// dropEnded forgets the closing stages and channels that are empty.
func (l *loop) dropEnded() {
	l.stages = slices.DeleteFunc(l.stages, func(s *stage) bool { return s.closing && s.engine.Held() == 0 })
	l.channels = slices.DeleteFunc(l.channels, func(c *channel) bool {
		if !c.closing || c.held() > 0 {
			return false
		}
		c.fail(c.sock.Close())
		return true
	})
}

// threadTime returns the processor time that this thread has used.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
