// Package packet changes IP packets as networks do: it flips bits, marks congestion, and
// cuts fragments.
package packet

import "encoding/binary"

const (
	protocolHopByHop, protocolRouting, protocolDestination = 0, 43, 60
)

// transportOffset returns where the transport header of an IP packet begins,
// or its length if there is none.
func transportOffset(p []byte) int {
	if len(p) < 20 {
		return len(p)
	}
	if p[0]>>4 == 4 {
		return min(max(20, int(p[0]&15)*4), len(p))
	}
	if len(p) < 40 {
		return len(p)
	}
	next, at := p[6], 40
	for next == protocolHopByHop || next == protocolRouting || next == protocolDestination {
		if at+8 > len(p) {
			return len(p)
		}
		next, at = p[at], at+8*(int(p[at+1])+1)
	}
	return min(at, len(p))
}

// FlipBit flips one bit of what a transport checksum covers, chosen by a random
// number. A packet without such bytes is left as it is and false returned.
func FlipBit(p []byte, random uint32) bool {
	from := transportOffset(p)
	bits := uint32(len(p)-from) * 8
	if bits == 0 {
		return false
	}
	bit := random % bits
	p[from+int(bit/8)] ^= 1 << (bit % 8)
	return true
}

// ECNCapable tells whether the packet's flow understands congestion marks.
func ECNCapable(p []byte) bool {
	if len(p) < 20 {
		return false
	}
	if p[0]>>4 == 4 {
		return p[1]&3 != 0
	}
	return p[1]>>4&3 != 0
}

// MarkCE sets the congestion mark of an IP packet, and mends IPv4's checksum.
func MarkCE(p []byte) {
	if p[0]>>4 == 6 {
		p[1] |= 3 << 4
		return
	}
	p[1] |= 3
	mendChecksum(p[:transportOffset(p)])
}

// mendChecksum sets the checksum of IPv4's header.
func mendChecksum(header []byte) {
	header[10], header[11] = 0, 0
	var sum uint32
	for n := 0; n+1 < len(header); n += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[n:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum))
}
