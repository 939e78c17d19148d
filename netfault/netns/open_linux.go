package netns

import (
	"fmt"
	"os"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is an open namespace, which lives at least until Close.
type Namespace struct {
	Handle netns.NsHandle
	Target Target
	Place  Place
	finder Finder
	inode  uint64
}

// Open finds a target and opens its namespace.
func Open(t Target) (*Namespace, error) { return DefaultFinder().Open(t) }

// Open finds a target and opens its namespace. It refuses the host's.
func (f Finder) Open(t Target) (*Namespace, error) {
	place, err := f.Find(t)
	if err != nil {
		return nil, err
	}
	return f.openAt(t, place)
}

// OpenPod opens a pod's namespace by its processes as [Finder.Processes] returns
// them, which spares looking through all of them for each of many pods.
func (f Finder) OpenPod(uid string, processes []Process) (*Namespace, error) {
	t := Target{PodUID: uid}
	err := fmt.Errorf("no process of the pod with UID %q runs on this node", uid)
	for _, p := range processes {
		if p.Pod != plainUID(uid) {
			continue
		}
		n, failed := f.openAt(t, Place{f.nsPath(p.PID), p.PID})
		if failed == nil {
			return n, nil
		}
		err = failed
	}
	return nil, err
}

func (f Finder) openAt(t Target, place Place) (*Namespace, error) {
	// Opening a named pipe would wait for a writer, deaf to signals.
	fd, err := unix.Open(place.Path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace of %s: %w", t, &os.PathError{Op: "open", Path: place.Path, Err: err})
	}
	n := &Namespace{Handle: netns.NsHandle(fd), Target: t, Place: place, finder: f}
	if err := n.identify(); err != nil {
		return nil, fmt.Errorf("opening the network namespace of %s: %w", t, closeAfter(n, err))
	}
	if err := n.Check(); err != nil {
		return nil, closeAfter(n, err)
	}
	return n, nil
}

func closeAfter(n *Namespace, err error) error {
	_ = n.Close() // err says more
	return err
}

// identify checks that what was opened is a network namespace, and which.
func (n *Namespace) identify() error {
	kind, err := unix.IoctlRetInt(int(n.Handle), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return fmt.Errorf("%q is not a network namespace", n.Place.Path)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(n.Handle), &st); err != nil {
		return err
	}
	n.inode = st.Ino
	return nil
}

// Check makes sure, right before a change, that the namespace still is the
// target's and not the host's: process ids are used again.
func (n *Namespace) Check() error {
	host, err := n.finder.host(n.Target)
	if err != nil {
		return err
	}
	if n.inode == host {
		return fmt.Errorf("%s: %w; name a process or pod that has a network of its own", n.Target, ErrHost)
	}
	if n.Place.PID == 0 {
		return nil
	}
	now, err := n.finder.inode(n.Place.PID)
	if err != nil {
		return fmt.Errorf("%s: its process %d is gone: %w", n.Target, n.Place.PID, err)
	}
	if now != n.inode || n.Target.PodUID != "" && !n.finder.inPod(n.Place.PID, n.Target.PodUID) {
		return fmt.Errorf("%s: process %d is another one now; try again", n.Target, n.Place.PID)
	}
	return nil
}

// Named returns an error if the target no longer names the namespace, as after
// `ip netns del`. The namespace itself lives while any process holds it.
func (n *Namespace) Named() error {
	if n.Place.PID != 0 {
		return n.Check()
	}
	var st unix.Stat_t
	if err := unix.Stat(n.Place.Path, &st); err != nil || st.Ino != n.inode {
		return fmt.Errorf("%s: %q names it no longer; it was deleted, or made anew", n.Target, n.Place.Path)
	}
	return nil
}

// Inode identifies the namespace on this machine.
func (n *Namespace) Inode() uint64 { return n.inode }

// Do runs f on a thread inside the namespace. Sockets that f opens stay in that
// namespace; goroutines that f starts do not run in it.
func (n *Namespace) Do(f func() error) error {
	return OnThread(func() error {
		if err := Enter(n.Handle); err != nil {
			return fmt.Errorf("%s: %w", n.Target, err)
		}
		return f()
	})
}

// Close closes the handle.
func (n *Namespace) Close() error { return n.Handle.Close() }
