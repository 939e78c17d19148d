package netfault

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// State is all network faults of one namespace. Applying a State replaces what
// the same owner applied there before.
type State struct {
	// Owner marks what is set up, so that another process can find and remove
	// it.
	Owner string `json:"owner"`
	// Generation tells apart who applied for the owner: the same owner may apply
	// from several processes, each of which replaces what the one before set up.
	// It is written into the mark, and is not part of a state's file.
	Generation string `json:"-"`
	// Deadline is when everything is removed; zero means on request only.
	Deadline time.Time `json:"deadline,omitzero"`
	// Rules act together: a packet that several rules match gets their merged
	// impairment.
	Rules []Rule `json:"rules"`
}

// Expired reports whether the state's deadline has passed at the time now.
func (s State) Expired(now time.Time) bool {
	return !s.Deadline.IsZero() && !now.Before(s.Deadline)
}

// Direction is seen from the namespace whose interface is named.
type Direction string

// The directions. Both halves of [Both] are impaired alike, so a delay of
// 50 ms adds 100 ms to a round trip.
const (
	Egress  Direction = "egress"  // packets that leave through the interface
	Ingress Direction = "ingress" // packets that arrive through the interface
	Both    Direction = "both"
)

// Rule impairs the packets of one interface, or those to and from some peers.
type Rule struct {
	ID        string    `json:"id"`
	Interface string    `json:"interface"`
	Direction Direction `json:"direction"`
	// Peers limits the rule to packets that one of them matches; none means
	// every packet of the interface.
	Peers []Peer `json:"peers,omitempty"`
	// Exempt are packets that this rule does not impair even if Peers matches
	// them.
	Exempt     []Peer     `json:"exempt,omitempty"`
	Impairment Impairment `json:"impairment"`
}

// Protocol is a transport protocol; empty means any. ICMP covers ICMPv6, too.
type Protocol string

// The protocols that a [Peer] can name.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp"
)

// Peer matches packets by the far end of the conversation: on egress the
// destination, on ingress the source. All conditions that are given must hold.
// Ports are read from the first fragment only; later fragments of a packet
// carry none and match no Peer that names ports.
type Peer struct {
	// CIDR holds the peer's addresses; the zero Prefix means any address of
	// either family. In JSON an address stands for itself alone.
	CIDR netip.Prefix
	// Ports are the peer's ports, LocalPorts those of this namespace. Either
	// needs TCP or UDP; with no protocol given, they apply to both.
	Ports      []PortRange
	LocalPorts []PortRange
	Protocol   Protocol
}

// PortRange is the ports First to Last, both included. Text form: "80" or
// "8000-8100".
type PortRange struct{ First, Last uint16 }

// String returns the text form.
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// MarshalText returns the text form.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the text form.
func (r *PortRange) UnmarshalText(text []byte) error {
	p, err := ParsePortRange(string(text))
	*r = p
	return err
}

// ParsePortRange reads "80" or "8000-8100".
func ParsePortRange(s string) (PortRange, error) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		return PortRange{}, fmt.Errorf("ports %q: want a port such as 80 or a range such as 8000-8100, within 1-65535", s)
	}
	return PortRange{uint16(a), uint16(b)}, nil
}

// ParsePeer reads a peer as a command line gives it:
// [tcp:|udp:|icmp:](CIDR or address or *)[;ports=80,8000-8100][;local=9000].
func ParsePeer(s string) (Peer, error) {
	var p Peer
	rest := s
	for _, proto := range []Protocol{TCP, UDP, ICMP} {
		if after, ok := strings.CutPrefix(rest, string(proto)+":"); ok {
			p.Protocol, rest = proto, after
			break
		}
	}
	parts := strings.Split(rest, ";")
	if parts[0] == "" {
		// An unset variable of a shell would mean all traffic.
		return Peer{}, fmt.Errorf("peer %q: no address is given; write * for any", s)
	}
	if parts[0] != "*" {
		cidr, err := parseCIDR(parts[0])
		if err != nil {
			return Peer{}, fmt.Errorf("peer %q: %w", s, err)
		}
		p.CIDR = cidr
	}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		var to *[]PortRange
		switch key {
		case "ports":
			to = &p.Ports
		case "local":
			to = &p.LocalPorts
		default:
			return Peer{}, fmt.Errorf("peer %q: unknown part %q; want ports=LIST or local=LIST", s, part)
		}
		for _, text := range strings.Split(value, ",") {
			r, err := ParsePortRange(text)
			if err != nil {
				return Peer{}, fmt.Errorf("peer %q: %w", s, err)
			}
			*to = append(*to, r)
		}
	}
	return p, nil
}

// parseCIDR reads a prefix, or an address as the prefix of itself alone.
func parseCIDR(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return p, fmt.Errorf("invalid CIDR %q, expected one such as 10.0.0.0/8 or fd00::/64: %w", s, err)
		}
		return p, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("invalid address or CIDR %q (host names are not resolved here): %w", s, err)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}
