package netns

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Note returns the note that any process has set with [Namespace.SetNote], or
// "".
func (n *Namespace) Note() (note string, err error) {
	err = n.loopback(func(_ *netlink.Handle, lo netlink.Link) error {
		note = lo.Attrs().Alias
		return nil
	})
	return note, err
}

// SetNote leaves a note in the namespace, which is there as long as the
// namespace is: it is the alias of the loopback interface, at most 255 bytes.
func (n *Namespace) SetNote(note string) error {
	return n.loopback(func(h *netlink.Handle, lo netlink.Link) error { return h.LinkSetAlias(lo, note) })
}

func (n *Namespace) loopback(do func(*netlink.Handle, netlink.Link) error) error {
	h, err := netlink.NewHandleAt(n.Handle, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink in the namespace: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err == nil {
		err = do(h, lo)
	}
	if err != nil {
		return fmt.Errorf("the note on the loopback interface of the namespace: %w", err)
	}
	return nil
}
