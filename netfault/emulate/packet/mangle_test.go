package packet

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// checksum is the Internet checksum; 0 over a header that is right.
func checksum(b []byte) uint16 {
	var sum uint32
	for n := 0; n+1 < len(b); n += 2 {
		sum += uint32(b[n])<<8 | uint32(b[n+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func ipv4(tos byte) []byte {
	p := []byte{0x45, tos, 0, 28, 1, 2, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 3, 4, 0, 8, 0, 0}
	binary.BigEndian.PutUint16(p[10:], checksum(p[:20]))
	return p
}

func ipv6(class byte, extensions bool) []byte {
	p := make([]byte, 40, 64)
	p[0], p[1], p[6] = 0x60|class>>4, class<<4, 17
	if extensions {
		p[6] = protocolHopByHop
		p = append(p, protocolRouting, 0, 0, 0, 0, 0, 0, 0)
		p = append(p, 17, 0, 0, 0, 0, 0, 0, 0)
	}
	return append(p, 1, 2, 3, 4, 0, 8, 0, 0)
}

func TestMarkCE(t *testing.T) {
	for tos, capable := range map[byte]bool{0: false, 1: true, 2: true, 3: true, 0xb8: false, 0xb9: true} {
		p4, p6 := ipv4(tos), ipv6(tos, false)
		if ECNCapable(p4) != capable || ECNCapable(p6) != capable {
			t.Errorf("%#x: ECN-capable %v and %v, want %v", tos, ECNCapable(p4), ECNCapable(p6), capable)
		}
		MarkCE(p4)
		MarkCE(p6)
		if p4[1] != tos|3 || checksum(p4[:20]) != 0 {
			t.Errorf("%#x became %#x with checksum %#x", tos, p4[1], checksum(p4[:20]))
		}
		if class := p6[0]<<4 | p6[1]>>4; class != tos|3 || p6[0]>>4 != 6 {
			t.Errorf("IPv6: %#x became %#x", tos, class)
		}
	}
}

func TestFlipBitSparesTheHeader(t *testing.T) {
	for _, packet := range [][]byte{ipv4(0), ipv6(0, false), ipv6(0, true)} {
		header := len(packet) - 8
		if at := transportOffset(packet); at != header {
			t.Errorf("the transport header begins at %d, want %d", at, header)
		}
		for random := range uint32(200) {
			p := bytes.Clone(packet)
			if !FlipBit(p, random) {
				t.Fatal("nothing was flipped")
			}
			if !bytes.Equal(p[:header], packet[:header]) || bytes.Equal(p[header:], packet[header:]) {
				t.Fatalf("random %d: %x became %x", random, packet, p)
			}
		}
	}
	if FlipBit(ipv4(0)[:20], 5) {
		t.Error("a bit of a packet without a payload was flipped")
	}
}

func FuzzMangle(f *testing.F) {
	f.Add(ipv4(1), uint32(3))
	f.Add(ipv6(1, true), uint32(3))
	f.Fuzz(func(t *testing.T, p []byte, random uint32) {
		if at := transportOffset(p); at > len(p) {
			t.Fatalf("transport header at %d of %d", at, len(p))
		}
		if ECNCapable(p) {
			MarkCE(p)
		}
		FlipBit(p, random)
	})
}
