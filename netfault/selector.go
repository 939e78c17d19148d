package netfault

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Selector is the simplest match: one prefix, one protocol, one range of ports
// a side. A [Peer] is a union of selectors, and two selectors intersect in one.
type Selector struct {
	Prefix netip.Prefix // invalid: any address, and packets that are not IP
	// Protocol is the IP protocol number; 0 is any.
	Protocol uint8
	// Ports of the far end and of this end; AnyPort if none is named. Only a
	// selector with protocol TCP or UDP names ports.
	Ports, LocalPorts PortRange
}

// AnyPort is the range that holds every port.
var AnyPort = PortRange{0, 65535} //nolint:gochecknoglobals // Go has no constants of struct type

// The IP protocol numbers that selectors use.
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// Any matches every packet.
func Any() Selector { return Selector{Ports: AnyPort, LocalPorts: AnyPort} }

// IsAny reports whether the selector matches every packet.
func (s Selector) IsAny() bool { return s == Any() }

// String describes the selector for people.
func (s Selector) String() string {
	if s.IsAny() {
		return "any"
	}
	out := "any address"
	if s.Prefix.IsValid() {
		out = s.Prefix.String()
	}
	if s.Protocol != 0 {
		out += " " + protocolName(s.Protocol)
	}
	if s.Ports != AnyPort {
		out += " ports " + s.Ports.String()
	}
	if s.LocalPorts != AnyPort {
		out += " local ports " + s.LocalPorts.String()
	}
	return out
}

func protocolName(n uint8) string {
	switch n {
	case ProtoTCP:
		return "tcp"
	case ProtoUDP:
		return "udp"
	case ProtoICMP:
		return "icmp"
	case ProtoICMPv6:
		return "icmpv6"
	}
	return fmt.Sprintf("protocol %d", n)
}

// Packet is what selectors look at. Peer is the far end: the destination of a
// packet that leaves, the source of one that arrives; invalid for what is not IP.
type Packet struct {
	Peer                netip.Addr
	Protocol            uint8
	PeerPort, LocalPort uint16
}

// Match reports whether the packet is selected.
func (s Selector) Match(p Packet) bool {
	if s.Prefix.IsValid() && !s.Prefix.Contains(p.Peer) { // which no invalid address is in
		return false
	}
	if s.Protocol != 0 && (s.Protocol != p.Protocol || !p.Peer.IsValid()) {
		return false
	}
	return s.Ports.contains(p.PeerPort) && s.LocalPorts.contains(p.LocalPort)
}

func (r PortRange) contains(port uint16) bool { return r.First <= port && port <= r.Last }

func (r PortRange) intersect(o PortRange) (PortRange, bool) {
	r = PortRange{max(r.First, o.First), min(r.Last, o.Last)}
	return r, r.First <= r.Last
}

// Intersect returns the selector of the packets that both select; ok is false
// if there are none.
func (s Selector) Intersect(o Selector) (out Selector, ok bool) {
	out = s
	switch {
	case !s.Prefix.IsValid():
		out.Prefix = o.Prefix
	case o.Prefix.IsValid():
		if !s.Prefix.Overlaps(o.Prefix) {
			return out, false
		}
		if o.Prefix.Bits() > s.Prefix.Bits() {
			out.Prefix = o.Prefix
		}
	}
	switch {
	case s.Protocol == 0:
		out.Protocol = o.Protocol
	case o.Protocol != 0 && o.Protocol != s.Protocol:
		return out, false
	}
	var portsOK, localOK bool
	out.Ports, portsOK = s.Ports.intersect(o.Ports)
	out.LocalPorts, localOK = s.LocalPorts.intersect(o.LocalPorts)
	return out, portsOK && localOK
}

// Contains reports whether every packet that o selects is selected by s.
func (s Selector) Contains(o Selector) bool {
	both, ok := s.Intersect(o)
	return ok && both == o
}

// Selectors returns the selectors whose union is the peer.
func (peer Peer) Selectors() []Selector {
	var protocols []uint8
	switch {
	case peer.Protocol == TCP:
		protocols = []uint8{ProtoTCP}
	case peer.Protocol == UDP:
		protocols = []uint8{ProtoUDP}
	case peer.Protocol == ICMP && peer.CIDR.IsValid() && peer.CIDR.Addr().Is4():
		protocols = []uint8{ProtoICMP}
	case peer.Protocol == ICMP && peer.CIDR.IsValid():
		protocols = []uint8{ProtoICMPv6}
	case peer.Protocol == ICMP:
		protocols = []uint8{ProtoICMP, ProtoICMPv6}
	case len(peer.Ports)+len(peer.LocalPorts) > 0:
		protocols = []uint8{ProtoTCP, ProtoUDP}
	default:
		protocols = []uint8{0}
	}
	orAny := func(ports []PortRange) []PortRange {
		if len(ports) == 0 {
			return []PortRange{AnyPort}
		}
		return ports
	}
	var out []Selector
	for _, proto := range protocols {
		for _, ports := range orAny(peer.Ports) {
			for _, local := range orAny(peer.LocalPorts) {
				out = append(out, Selector{peer.CIDR, proto, ports, local})
			}
		}
	}
	return out
}

// compare orders selectors so that one that contains another comes after it,
// and otherwise by their values, so that the order never varies.
func (s Selector) compare(o Selector) int {
	width := func(r PortRange) int { return int(r.Last) - int(r.First) }
	bits := func(p netip.Prefix) int {
		if !p.IsValid() {
			return -1
		}
		return p.Bits()
	}
	proto := func(p uint8) int {
		if p == 0 {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(bits(o.Prefix), bits(s.Prefix)),
		cmp.Compare(proto(s.Protocol), proto(o.Protocol)),
		cmp.Compare(width(s.Ports), width(o.Ports)),
		cmp.Compare(width(s.LocalPorts), width(o.LocalPorts)),
		s.Prefix.Addr().Compare(o.Prefix.Addr()),
		cmp.Compare(s.Protocol, o.Protocol),
		cmp.Compare(s.Ports.First, o.Ports.First),
		cmp.Compare(s.LocalPorts.First, o.LocalPorts.First),
	)
}

// maxSelectors bounds the filters of one link; every packet passes them all.
const maxSelectors = 512

// cells returns the selectors closed under intersection, the narrowest first.
// The first one that matches a packet is then the intersection of all that do.
func cells(selectors []Selector) ([]Selector, error) {
	seen := map[Selector]bool{}
	var out []Selector
	for _, s := range selectors {
		add := []Selector{s}
		for _, o := range out {
			if both, ok := s.Intersect(o); ok {
				add = append(add, both)
			}
		}
		for _, c := range add {
			if !seen[c] {
				seen[c] = true
				out = append(out, c)
			}
		}
		if len(out) > maxSelectors {
			return nil, fmt.Errorf("its peers and exemptions cut the traffic into more than %d parts; name fewer or larger ones", maxSelectors)
		}
	}
	slices.SortFunc(out, Selector.compare)
	return out, nil
}
