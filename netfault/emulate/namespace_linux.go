package emulate

import (
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNamespace runs f on a thread of its own inside the namespace; sockets that
// f opens stay in it. The thread ends with the call, so that none is left in
// the wrong namespace.
func inNamespace(ns *os.File, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering the network namespace %q: %w", ns.Name(), err)
			return
		}
		done <- f()
	}()
	return <-done
}

// device is what must be known of an interface.
type device struct {
	name     string
	index    int
	mtu      int
	overhead int // bytes of the link's header, which a rate counts
}

const ethernetHeader = 14

// findDevice looks an interface up; it must run inside the namespace.
func findDevice(name string) (device, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return device{}, fmt.Errorf("interface %q: %w; see `ip link` in the namespace", name, err)
	}
	d := device{name: name, index: i.Index, mtu: i.MTU}
	if len(i.HardwareAddr) == 6 {
		d.overhead = ethernetHeader
	}
	return d, nil
}
