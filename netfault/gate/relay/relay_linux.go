package relay

import (
	"errors"
	"runtime"
	"sync"
)

// Available says whether there is a relay on this system.
const Available = true

// A Relay carries pairs of sockets. Gates may share one.
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
// their events, and are given back when somebody else is to carry the data.
type Relay struct {
	mu      sync.Mutex
	loops   []*loop // empty until start
	closed  bool
	next    uint32
	running sync.WaitGroup
}

// New returns a relay that is to be closed after the gates that use it.
func New() *Relay { return &Relay{} }

// Start starts the loops unless they run. It fails without descriptors for one.
func (r *Relay) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("the relay is closed")
	}
	// One loop serves what one core can; a second helps bulk. Without
	// descriptors for all of them, fewer will do.
	for len(r.loops) < max(1, min(runtime.NumCPU(), runtime.GOMAXPROCS(0))/2) {
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
