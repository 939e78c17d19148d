package workers

import (
	"os"
	"sync"
)

// A watch holds back the read by which net/http sees that a client leaves. The server
// begins one beside each handler, and ends it by a deadline in the past. Most requests
// are answered at once, and nobody asks whether their client is there; the system call,
// the poller and two deadlines for it are some per cent of a small request. So the read
// waits here until the handler needs it, if it ever does.
type watch struct {
	mu   sync.Mutex
	cond sync.Cond
	// held says that reads wait, ended that the server has ended the one that does, and
	// reading that one is under way, which only a deadline ends.
	held, ended, reading bool
}

// hold has reads wait from now on.
func (w *watch) hold() {
	w.mu.Lock()
	w.held, w.ended = true, false
	w.mu.Unlock()
}

// release lets reads go on.
func (w *watch) release() {
	w.mu.Lock()
	w.held = false
	w.mu.Unlock()
	w.cond.Broadcast()
}

// begin waits while reads are held back. It returns an error if the read was ended before
// it began.
func (w *watch) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.held && !w.ended {
		w.cond.Wait()
	}
	if w.held {
		return os.ErrDeadlineExceeded
	}
	w.reading = true
	return nil
}

// done notes that a read is over.
func (w *watch) done() {
	w.mu.Lock()
	w.reading = false
	w.mu.Unlock()
}

// end ends a read that is held back, and those that come before reset. It reports
// whether that is all there is to end.
func (w *watch) end() bool {
	w.mu.Lock()
	held := w.held && !w.reading
	w.ended = true
	w.mu.Unlock()
	w.cond.Broadcast()
	return held
}

// reset lets the server read again.
func (w *watch) reset() {
	w.mu.Lock()
	w.held, w.ended = false, false
	w.mu.Unlock()
}
