package emulate

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

// jumpTo goes to a chain without coming back.
func jumpTo(c *nftables.Chain) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: c.Name}}
}

func interfaceIs(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, 16)
	copy(padded, name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded},
	}
}

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func markIs(mark uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: native32(mark)},
	}
}

func markHas(bit uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(bit), Xor: native32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native32(0)},
	}
}

// setMarkBits keeps the bits of the mark that are in keep and not in set, and sets those in set.
func setMarkBits(keep, set uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(keep &^ set), Xor: native32(set)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

func protocolIs(number uint8) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}
}

// noSYN matches TCP packets that begin no connection; the protocol must have
// been matched before.
func noSYN() []expr.Any {
	const flagsAt, syn = 13, 2
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flagsAt, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{syn}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0}},
	}
}

func lengthAtMost(bytes uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyLEN, Register: 1},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: binary.BigEndian.AppendUint32(nil, bytes)},
	}
}

// matchSelector matches what a selector does among the packets of a family; ok
// is false if that is none.
func matchSelector(s netfault.Selector, f nftables.TableFamily, egress bool) (match []expr.Any, ok bool) {
	v6 := f == nftables.TableFamilyIPv6
	if s.Prefix.IsValid() && s.Prefix.Addr().Is6() != v6 ||
		s.Protocol == netfault.ProtoICMP && v6 || s.Protocol == netfault.ProtoICMPv6 && !v6 {
		return nil, false
	}
	if s.Prefix.IsValid() {
		match = append(match, addressIn(s.Prefix, egress)...)
	}
	if s.Protocol != 0 {
		match = append(match, protocolIs(s.Protocol)...)
	}
	const source, destination = 0, 2
	far, near := uint32(source), uint32(destination)
	if egress {
		far, near = near, far
	}
	match = append(match, portIn(s.Ports, far)...)
	return append(match, portIn(s.LocalPorts, near)...), true
}

// addressIn matches the far end: the destination of what leaves, the source of
// what arrives.
func addressIn(p netip.Prefix, egress bool) []expr.Any {
	size, at := uint32(4), uint32(12)
	if p.Addr().Is6() {
		size, at = 16, 8
	}
	if egress {
		at += size
	}
	match := []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: size}}
	if p.Bits() < int(size)*8 {
		mask := make([]byte, size)
		for bit := range p.Bits() {
			mask[bit/8] |= 0x80 >> (bit % 8)
		}
		match = append(match, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)})
	}
	return append(match, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()})
}

func portIn(r netfault.PortRange, at uint32) []expr.Any {
	if r == netfault.AnyPort {
		return nil
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: at, Len: 2},
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: binary.BigEndian.AppendUint16(nil, r.First)},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: binary.BigEndian.AppendUint16(nil, r.Last)},
	}
}
