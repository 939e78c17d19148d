package packet

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// ip4 and ip6 make packets of UDP whose data is all different.
func ip4(size int, flags uint16, options ...byte) []byte {
	p := make([]byte, 20, 20+len(options)+size)
	p = append(p, options...)
	p[0], p[9] = 0x40|byte(len(p)/4), 17
	binary.BigEndian.PutUint16(p[6:], flags)
	for n := range size {
		p = append(p, byte(n*7>>3))
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

func ip6(size int, extensions ...byte) []byte {
	p := make([]byte, 40, 40+len(extensions)+size)
	p[0], p[6] = 0x60, 17
	if len(extensions) > 0 {
		p[6] = protocolHopByHop
	}
	p = append(p, extensions...)
	for n := range size {
		p = append(p, byte(n*7>>3))
	}
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	return p
}

// Fragments are short enough, and put together they are the data.
func TestFragments(t *testing.T) {
	hop := []byte{17, 0, 1, 4, 0, 0, 0, 0}
	for _, tt := range []struct {
		name   string
		packet []byte
		header int // what stays of each fragment
		want   int // fragments
	}{
		{"short", ip4(100, 0), 20, 1},
		{"as long as the link takes", ip4(1480, 0), 20, 1},
		{"one byte more", ip4(1481, 0), 20, 2},
		{"long", ip4(60_000, 0), 20, 41},
		{"with options", ip4(3000, 0, 7, 3, 0, 1), 24, 3},
		{"forbidden", ip4(3000, 0x4000), 20, 1},
		{"IPv6 short", ip6(1000), 40, 1},
		{"IPv6 long", ip6(3000), 48, 3},
		{"IPv6 hop by hop", ip6(3000, hop...), 56, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Fragments(bytes.Clone(tt.packet), 1500, 77)
			if len(got) != tt.want {
				t.Fatalf("%d fragments, want %d", len(got), tt.want)
			}
			if len(got) == 1 {
				if !bytes.Equal(got[0], tt.packet) {
					t.Error("the one fragment is not the packet")
				}
				return
			}
			var data []byte
			for n, p := range got {
				offset, more := fragmentField(p, tt.header)
				if len(p) > 1500 || offset != len(data) || more != (n < len(got)-1) {
					t.Errorf("fragment %d has %d bytes at %d, more %v", n, len(p), offset, more)
				}
				data = append(data, p[tt.header:]...)
			}
			head := tt.header
			if tt.packet[0]>>4 == 6 {
				head -= 8
			}
			if !bytes.Equal(data, tt.packet[head:]) {
				t.Error("the fragments together are not the data")
			}
		})
	}
}

func fragmentField(p []byte, header int) (offset int, more bool) {
	if p[0]>>4 == 4 {
		f := binary.BigEndian.Uint16(p[6:])
		return int(f&0x1fff) * 8, f&0x2000 != 0
	}
	f := binary.BigEndian.Uint16(p[header-6:])
	return int(f &^ 7), f&1 != 0
}
