package netns

import (
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DefaultInterface returns the interface of the namespace that traffic leaves
// by: that of the default route, or else the only one beside loopback.
func (n *Namespace) DefaultInterface() (string, error) {
	h, err := netlink.NewHandleAt(n.Handle, unix.NETLINK_ROUTE)
	if err != nil {
		return "", fmt.Errorf("opening netlink in the namespace: %w", err)
	}
	defer h.Close()
	routes, err := h.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return "", fmt.Errorf("listing the routes of the namespace: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil {
			if bits, _ := r.Dst.Mask.Size(); bits > 0 {
				continue
			}
		}
		if link, err := h.LinkByIndex(r.LinkIndex); err == nil {
			return link.Attrs().Name, nil
		}
	}
	links, err := h.LinkList()
	if err != nil {
		return "", fmt.Errorf("listing the interfaces of the namespace: %w", err)
	}
	var names []string
	for _, l := range links {
		a := l.Attrs()
		// No packet leaves by an ifb, which serves to break arriving packets.
		if a.Flags&net.FlagLoopback == 0 && a.Flags&net.FlagUp != 0 && l.Type() != "ifb" {
			names = append(names, a.Name)
		}
	}
	switch len(names) {
	case 0:
		return "", fmt.Errorf("choosing an interface: the namespace has none that is up beside loopback")
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("choosing an interface: the namespace has no default route and several interfaces; name one of %s", strings.Join(names, ", "))
}
