package packet

import (
	"encoding/binary"
	"slices"
)

// protocolFragment is IPv6's header of fragments (RFC 8200, section 4.5).
const protocolFragment = 44

// Fragments cuts an IP packet into packets of at most mtu bytes, which carry the
// identification id. A packet that is short enough is returned as it is; one that
// cannot be cut as well: its sender forbids it, or it has no data.
func Fragments(packet []byte, mtu int, id uint32) [][]byte {
	if len(packet) <= mtu || len(packet) < 20 {
		return [][]byte{packet}
	}
	if packet[0]>>4 == 4 {
		return fragments4(packet, mtu, uint16(id))
	}
	return fragments6(packet, mtu, id)
}

// cut calls f with the pieces of data: each of size bytes, rounded down to a
// multiple of 8, but the last.
func cut(data []byte, size int, f func(piece []byte, offset int, more bool)) {
	size &^= 7
	for offset := 0; offset < len(data); offset += size {
		end := min(offset+size, len(data))
		f(data[offset:end], offset, end < len(data))
	}
}

func fragments4(packet []byte, mtu int, id uint16) [][]byte {
	const dontFragment, moreFragments = 0x4000, 0x2000
	size := int(packet[0]&15) * 4
	flags := binary.BigEndian.Uint16(packet[6:])
	if flags&dontFragment != 0 || size < 20 || size >= len(packet) || mtu-size < 8 {
		return [][]byte{packet}
	}
	var out [][]byte
	header := packet[:size]
	cut(packet[size:], mtu-size, func(piece []byte, offset int, more bool) {
		p := append(slices.Clone(header), piece...)
		field := flags + uint16(offset/8)
		if more {
			field |= moreFragments
		}
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		binary.BigEndian.PutUint16(p[4:], max(id, 1)) // the kernel replaces 0
		binary.BigEndian.PutUint16(p[6:], field)
		mendChecksum(p[:size])
		out = append(out, p)
		header = options4(packet[:size], size)
	})
	return out
}

// options4 is the header of later fragments. Options that are only for the first
// become no-operations, so that the length stays.
func options4(header []byte, size int) []byte {
	const end, noOperation, copied = 0, 1, 0x80
	out := slices.Clone(header)
	for at := 20; at < size && out[at] != end; {
		length := 1
		if out[at] != noOperation {
			if at+1 >= size || out[at+1] < 2 || at+int(out[at+1]) > size {
				break // malformed; whoever reads it decides
			}
			length = int(out[at+1])
		}
		if out[at]&copied == 0 {
			for n := range length {
				out[at+n] = noOperation
			}
		}
		at += length
	}
	return out
}

func fragments6(packet []byte, mtu int, id uint32) [][]byte {
	// Hop-by-hop and routing headers stay in every fragment.
	link, at := 6, 40
	for len(packet) >= at+8 && (packet[link] == protocolHopByHop || packet[link] == protocolRouting) {
		link, at = at, at+8*(int(packet[at+1])+1)
	}
	if len(packet) <= at || mtu-at-8 < 8 || packet[link] == protocolFragment {
		return [][]byte{packet}
	}
	var out [][]byte
	next := packet[link]
	cut(packet[at:], mtu-at-8, func(piece []byte, offset int, more bool) {
		p := slices.Clone(packet[:at])
		p[link] = protocolFragment
		field := uint16(offset)
		if more {
			field |= 1
		}
		p = append(p, next, 0)
		p = binary.BigEndian.AppendUint16(p, field)
		p = binary.BigEndian.AppendUint32(p, id)
		p = append(p, piece...)
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		out = append(out, p)
	})
	return out
}
