package tc

import (
	"encoding/binary"
	"fmt"
)

// attrs builds a sequence of netlink attributes, which the kernel reads and
// writes in the byte order of the machine.
type attrs []byte

func (a *attrs) bytes(kind uint16, data []byte) {
	*a = binary.NativeEndian.AppendUint16(*a, uint16(4+len(data)))
	*a = binary.NativeEndian.AppendUint16(*a, kind)
	*a = append(*a, data...)
	for len(*a)%4 != 0 {
		*a = append(*a, 0)
	}
}

func (a *attrs) u32(kind uint16, v uint32) { a.bytes(kind, binary.NativeEndian.AppendUint32(nil, v)) }
func (a *attrs) u64(kind uint16, v uint64) { a.bytes(kind, binary.NativeEndian.AppendUint64(nil, v)) }

func (a *attrs) u32s(kind uint16, values ...uint32) { a.bytes(kind, u32s(values...)) }

//nolint:unparam // like its siblings it takes the kind, which is 1 by chance
func (a *attrs) text(kind uint16, s string) { a.bytes(kind, append([]byte(s), 0)) }

func u32s(values ...uint32) []byte {
	var out []byte
	for _, v := range values {
		out = binary.NativeEndian.AppendUint32(out, v)
	}
	return out
}

// parseAttrs splits a sequence of attributes; the last one of a kind wins. The
// flags in a kind's upper bits are dropped.
func parseAttrs(b []byte) (map[uint16][]byte, error) {
	out := map[uint16][]byte{}
	for len(b) >= 4 {
		length := int(binary.NativeEndian.Uint16(b))
		if length < 4 || length > len(b) {
			return out, fmt.Errorf("an attribute says it is %d bytes long, and %d are left", length, len(b))
		}
		out[binary.NativeEndian.Uint16(b[2:])&0x3fff] = b[4:length]
		b = b[min((length+3)&^3, len(b)):]
	}
	return out, nil
}

// words reads up to len(to) 32-bit values; those that are missing stay zero.
func words(b []byte, to ...*uint32) {
	for n, p := range to {
		if len(b) >= 4*n+4 {
			*p = binary.NativeEndian.Uint32(b[4*n:])
		}
	}
}

func u32(b []byte) (v uint32) {
	words(b, &v)
	return v
}

func u64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.NativeEndian.Uint64(b)
}
