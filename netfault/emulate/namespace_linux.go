package emulate

import (
	"fmt"
	"net"

	"github.com/vishvananda/netns"

	threads "github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// inNamespace runs f on a thread inside the namespace; sockets that f opens
// stay in it.
func inNamespace(ns netns.NsHandle, f func() error) error {
	return threads.OnThread(func() error {
		if err := threads.Enter(ns); err != nil {
			return err
		}
		return f()
	})
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
