package tc

import (
	"encoding/binary"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// key is one masked comparison of u32, at an offset from the network header.
type key struct {
	mask, value uint32 // host order
	at          int32
}

// u32Match is the keys of one u32 filter, for packets of one Ethernet protocol.
type u32Match struct {
	protocol uint16
	keys     []key
}

const (
	etherTypeAll = 0x0003 // ETH_P_ALL
	ip4Protocol  = 8      // the word that holds it in its second byte
	ip6Next      = 4      // the word that holds it in its third byte
)

// u32Matches turns a selector into the filters that together match it. Unlike
// the BPF program they find ports only in IPv4 packets without options and in
// IPv6 packets without extension headers.
func u32Matches(s netfault.Selector, direction netfault.Direction) []u32Match {
	if s.IsAny() {
		return []u32Match{{etherTypeAll, []key{{}}}}
	}
	v4 := !s.Prefix.IsValid() || s.Prefix.Addr().Is4()
	v6 := !s.Prefix.IsValid() || s.Prefix.Addr().Is6()
	var out []u32Match
	for _, peer := range portMasks(s.Ports) {
		for _, own := range portMasks(s.LocalPorts) {
			if v4 && s.Protocol != netfault.ProtoICMPv6 {
				out = append(out, u32Match{etherTypeIP4, u32Keys4(s, direction, peer, own)})
			}
			if v6 && s.Protocol != netfault.ProtoICMP {
				out = append(out, u32Match{etherTypeIP6, u32Keys6(s, direction, peer, own)})
			}
		}
	}
	return out
}

func u32Keys4(s netfault.Selector, direction netfault.Direction, peer, own maskedWord) []key {
	keys := addressKeys(s, int32(choose(direction, 16, 12)))
	if s.Protocol != 0 {
		keys = append(keys, key{0x00ff0000, uint32(s.Protocol) << 16, ip4Protocol})
	}
	if ports := portKey(direction, peer, own); ports.mask != 0 {
		ports.at = 20
		keys = append(keys,
			key{0x0f000000, 0x05000000, 0}, // no options, so that the ports are where we look
			key{0x00001fff, 0, 4},          // no later fragment
			ports)
	}
	return orAny(keys)
}

func u32Keys6(s netfault.Selector, direction netfault.Direction, peer, own maskedWord) []key {
	keys := addressKeys(s, int32(choose(direction, 24, 8)))
	if s.Protocol != 0 {
		keys = append(keys, key{0x0000ff00, uint32(s.Protocol) << 8, ip6Next})
	}
	if ports := portKey(direction, peer, own); ports.mask != 0 {
		ports.at = 40
		keys = append(keys, ports)
	}
	return orAny(keys)
}

func orAny(keys []key) []key {
	if len(keys) == 0 {
		return []key{{}}
	}
	return keys
}

func addressKeys(s netfault.Selector, at int32) []key {
	var out []key
	if s.Prefix.IsValid() {
		for n, w := range prefixWords(s.Prefix) {
			out = append(out, key{w.mask, w.value, at + int32(4*n)})
		}
	}
	return out
}

// portKey joins both ports into the word that holds them, source first.
func portKey(direction netfault.Direction, peer, own maskedWord) key {
	source, destination := own, peer
	if direction == netfault.Ingress {
		source, destination = peer, own
	}
	return key{mask: source.mask<<16 | destination.mask, value: source.value<<16 | destination.value}
}

// portMasks cuts a range of ports into aligned blocks, each a masked value.
func portMasks(r netfault.PortRange) []maskedWord {
	if r == netfault.AnyPort {
		return []maskedWord{{}}
	}
	var out []maskedWord
	for first, last := uint32(r.First), uint32(r.Last); first <= last; {
		size := uint32(1)
		for first%(2*size) == 0 && first+2*size-1 <= last {
			size *= 2
		}
		out = append(out, maskedWord{0xffff &^ (size - 1), first})
		first += size
	}
	return out
}

// selector encodes TCA_U32_SEL: all keys must match, and the filter is final.
func (m u32Match) selector() []byte {
	const terminal = 1
	out := make([]byte, 16)
	out[0], out[2] = terminal, byte(len(m.keys))
	for _, k := range m.keys {
		out = binary.BigEndian.AppendUint32(out, k.mask)
		out = binary.BigEndian.AppendUint32(out, k.value)
		out = binary.NativeEndian.AppendUint32(out, uint32(k.at))
		out = binary.NativeEndian.AppendUint32(out, 0)
	}
	return out
}
