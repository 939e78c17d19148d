package netns

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// OnThread runs f on a thread of its own, which ends when f returns, so that f
// may change what belongs to a thread: its namespaces.
//
// It is never the first thread of the process, because that one cannot end, and
// /proc/self shows its state.
func OnThread(f func() error) error {
	done := make(chan error)
	go runOnThread(f, done)
	return <-done
}

func runOnThread(f func() error, done chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// While this thread is held, the next goroutine gets another one.
		inner := make(chan error)
		go runOnThread(f, inner)
		err := <-inner
		runtime.UnlockOSThread()
		done <- err
		return
	}
	// Never unlocked: the thread ends with the goroutine.
	done <- f()
}

// Create makes a namespace that only its handle holds.
func Create() (netns.NsHandle, error) {
	ns := netns.None()
	err := OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		var err error
		ns, err = netns.Get()
		return err
	})
	return ns, err
}

// Enter moves the calling thread, which must be one of [OnThread], into a
// namespace.
func Enter(ns netns.NsHandle) error {
	if err := unix.Setns(int(ns), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering a network namespace (CAP_SYS_ADMIN is needed): %w", err)
	}
	return nil
}
