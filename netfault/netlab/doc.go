// Package netlab makes small networks of namespaces on one Linux machine: each
// host is a network namespace with one interface, eth0, and an address of its
// own. A bridge in a namespace of its own, the hub, joins them; one link
// connects it to this program's namespace:
//
//	this machine           hub                 hosts
//	msim-1f2e3d4c ──────── bridge ──────────── eth0 198.18.4.2
//	198.18.4.1               └──────────────── eth0 198.18.4.3
//
// Nothing else of this machine is touched: no rule of its firewall, no setting,
// no other interface. The namespaces have no name; they live as long as this
// program and the processes in them do, and the link goes with them. So after a
// kill of this program and those processes nothing is left.
//
// Addresses are of 198.18.0.0/15, which RFC 2544 sets aside for measurements.
package netlab

import (
	"fmt"
	"net/netip"
	"strings"
)

// Interface is the name of the interface that each host has.
const Interface = "eth0"

// linkPrefix begins the names of our links; alias begins their alias and is
// followed by the name of the network.
const (
	linkPrefix = "msim-"
	alias      = "microsim network "
)

// LinkName makes the name of a network's link of 8 hexadecimal digits or fewer.
func LinkName(digits string) string { return linkPrefix + digits }

// checkLink refuses names that are not of LinkName.
func checkLink(name string) error {
	digits, ok := strings.CutPrefix(name, linkPrefix)
	if !ok || digits == "" || len(digits) > 8 || strings.Trim(digits, "0123456789abcdef") != "" {
		return fmt.Errorf("link %q: want %s and up to 8 hexadecimal digits", name, linkPrefix)
	}
	return nil
}

// A network is a /22 of 198.18.0.0/15.
const (
	networks    = 128
	networkBits = 22
	// most is how many hosts a network has room for, beside this machine.
	most = 1<<(32-networkBits) - 3
)

func prefixOf(n int) netip.Prefix {
	at := uint32(n%networks) << (32 - networkBits)
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(at>>16), byte(at >> 8), byte(at)}), networkBits)
}

// addressOf returns the n-th address of a network; that of this machine is 1.
func addressOf(p netip.Prefix, n int) netip.Addr {
	b := p.Addr().As4()
	at := uint32(b[2])<<8 | uint32(b[3]) + uint32(n)
	return netip.AddrFrom4([4]byte{b[0], b[1], byte(at >> 8), byte(at)})
}

// A Counter is a backend that counts the packets that each rule has met since
// its state was applied, by the rule's id.
type Counter interface {
	Met() map[string]int64
}

// A BackendCheck says whether a backend works in a namespace of this machine.
type BackendCheck struct {
	Name string
	// Err says why not; nil means that it works.
	Err error
}
